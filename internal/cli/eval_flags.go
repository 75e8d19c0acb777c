package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lep/eval"
	"lep/internal/hint"
	"lep/linalg"
)

// evalFlags are what the command line says beside eval.Options.
type evalFlags struct {
	model, api              string
	tokenizer               string
	concurrency             int
	timeout                 time.Duration
	tasks, include, data    []string
	wording, system         string
	noTemplate, useTemplate bool
	modelArgs, genArgs      []string // NAME=VALUE,…
	batch                   string
	list                    bool
	precision               linalg.Precision
	opts                    eval.Options
}

func (o *evalFlags) bind(f *pflag.FlagSet) {
	o.opts = eval.DefaultOptions()
	f.StringVar(&o.model, "model", "", "model folder or hub id; with --api the name that the server knows it by")
	f.StringVar(&o.api, "api", "", "address of an OpenAI-compatible server (http://HOST:PORT/v1), asked in place of a folder; the key is OPENAI_API_KEY")
	f.StringVar(&o.tokenizer, "tokenizer", "", "with --api: folder with the model's tokenizer and chat template, so that prompts are written here")
	f.IntVar(&o.concurrency, "concurrency", 8, "with --api: requests at a time")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "with --api: longest time of one try")
	f.StringArrayVar(&o.modelArgs, "model-args", nil, "the same in lm-evaluation-harness' words: pretrained=DIR, or base_url=URL,model=NAME,tokenizer=DIR,num_concurrent=N,timeout=SECONDS")
	f.StringSliceVar(&o.tasks, "tasks", []string{"darumeru"}, "tasks, by name, group or YAML file; list prints them")
	f.StringArrayVar(&o.include, "include-path", nil, "folder with tasks of your own, which --tasks then knows by name; may be repeated")
	f.BoolVar(&o.list, "list", false, "print the tasks there are and run nothing")
	f.StringArrayVar(&o.data, "data", nil, "folder with the data; may be repeated")
	f.StringVar(&o.opts.Out, "out", "", "folder for results.json, samples and answers (none: only print)")
	f.IntVar(&o.opts.NumFewshot, "num-fewshot", o.opts.NumFewshot, "examples in front of each question (-1: 0 with a chat template, else 5)")
	f.IntVar(&o.opts.Limit, "limit", 0, "most records of each task (0: all)")
	f.IntVar(&o.opts.MaxPromptLen, "max-prompt-len", o.opts.MaxPromptLen, "prompts stay shorter than this many tokens; examples are dropped until they do")
	f.StringArrayVar(&o.genArgs, "gen-kwargs", nil, "change how answers are written: max_gen_toks=N,until=STRING,temperature=T,do_sample=true,top_p=P,top_k=K (default: as each task says, greedy)")
	f.BoolVar(&o.opts.LogSamples, "log-samples", false, "keep the rendered prompts in the samples")
	f.BoolVar(&o.opts.AnswerLogProb, "answer-logprob", false, "also score the right answers: log-probability and bits per byte, under measures in results.json")
	f.BoolVar(&o.opts.Resume, "resume", false, "go on with the answers that OUT has")
	f.StringVar(&o.opts.Cache, "use-cache", "", "file of answers that runs share: what it has is not asked again, what is new is added")
	f.BoolVar(&o.noTemplate, "no-chat-template", false, "ask in plain text, as base models are asked")
	f.BoolVar(&o.useTemplate, "apply-chat-template", false, "insist on a chat template: an error if the model has none")
	f.StringVar(&o.wording, "wording", "", "file with the strings of tasks whose text is not in the data")
	f.StringVar(&o.system, "system-instruction", "", "system message in front of every request")
	precisionFlag(f, &o.precision)
	f.StringVar(&o.batch, "batch-size", "auto", "answers generated at a time")
	for alias, name := range map[string]string{"output-path": "out", "max-batch-size": "batch-size"} {
		f.VarPF(f.Lookup(name).Value, alias, "", "the same as --"+name).Hidden = true
	}
}

// check finds what excludes each other.
func (o *evalFlags) check() error {
	switch {
	case o.model == "" && o.api == "":
		return usagef("no model: give --model or --api")
	case o.api != "" && o.opts.AnswerLogProb:
		return usagef("--answer-logprob needs a model folder, not a server")
	case o.api == "" && o.tokenizer != "":
		return usagef("--tokenizer goes with --api: a model folder has its own")
	case o.api != "" && o.precision != linalg.Float32:
		return usagef("--precision is for a model folder: a server has its own")
	case o.concurrency < 1 || o.timeout <= 0:
		return usagef("--concurrency is %d, --timeout %s: want 1 or more and some time", o.concurrency, o.timeout)
	case o.noTemplate && o.useTemplate:
		return usagef("--no-chat-template and --apply-chat-template exclude each other")
	case o.opts.Resume && o.opts.Out == "":
		return usagef("--resume goes on in a folder: give --out")
	case o.opts.MaxPromptLen < 1:
		return usagef("--max-prompt-len is %d, want 1 or more", o.opts.MaxPromptLen)
	}
	if _, err := o.slots(0); err != nil {
		return err
	}
	if err := o.opts.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// slots returns the number that --batch-size gives, or the default for auto.
func (o *evalFlags) slots(otherwise int) (int, error) {
	if o.batch == "auto" || strings.HasPrefix(o.batch, "auto:") {
		return otherwise, nil
	}
	n, err := strconv.Atoi(o.batch)
	if err != nil || n < 1 {
		return 0, usagef("--batch-size is %q, want auto or a number from 1 on", o.batch)
	}
	return n, nil
}

// harnessModels are lm-evaluation-harness' kinds of models: --model hf --model-args pretrained=DIR.
var harnessModels = []string{"hf", "local-completions", "local-chat-completions", "openai-completions", "openai-chat-completions"}

var modelArgs = []string{"pretrained", "model", "base_url", "tokenizer", "num_concurrent", "timeout"}

// settle takes in what stands in NAME=VALUE lists.
func (o *evalFlags) settle() error {
	if len(o.modelArgs) > 0 && slices.Contains(harnessModels, o.model) {
		o.model = ""
	}
	for _, list := range o.modelArgs {
		if err := o.setModelArgs(list); err != nil {
			return usageError{fmt.Errorf("--model-args: %w", err)}
		}
	}
	for _, list := range o.genArgs {
		if err := eachPair(list, o.opts.Generation.Set); err != nil {
			return usageError{fmt.Errorf("--gen-kwargs: %w", err)}
		}
	}
	return nil
}

// setModelArgs reads k=v,… as lm-evaluation-harness has them.
func (o *evalFlags) setModelArgs(list string) error {
	return eachPair(list, func(key, value string) (err error) {
		switch key {
		case "pretrained", "model":
			o.model = value
		case "base_url":
			for _, end := range []string{"/completions", "/chat"} {
				value = strings.TrimSuffix(strings.TrimSuffix(value, "/"), end)
			}
			o.api = value
		case "tokenizer":
			o.tokenizer = value
		case "num_concurrent":
			if o.concurrency, err = strconv.Atoi(value); err != nil {
				return fmt.Errorf("%s: %q is no number", key, value)
			}
		case "timeout":
			seconds, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("%s: %q is no number of seconds", key, value)
			}
			o.timeout = time.Duration(seconds) * time.Second
		default:
			return hint.Errorf(hint.DidYouMean(key, modelArgs), "unknown %q", key)
		}
		return nil
	})
}

// eachPair calls set for each of k=v,….
func eachPair(list string, set func(key, value string) error) error {
	for part := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("%q: want NAME=VALUE,…", part)
		}
		if err := set(strings.TrimSpace(key), unescape(value)); err != nil {
			return err
		}
	}
	return nil
}

// unescape reads \n and \t, which shells do not.
func unescape(s string) string { return strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s) }
