package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/eval"
	"lep/eval/darumeru"
	"lep/infer"
	"lep/tokenizer"
)

// evalFlags are what the command line says beside eval.Options.
type evalFlags struct {
	model, api              string
	tokenizer               string
	concurrency             int
	timeout                 time.Duration
	tasks, data             []string
	wording, system         string
	noTemplate, useTemplate bool
	slots                   int
	opts                    eval.Options
}

func (a *app) evalCmd() *cobra.Command {
	var o evalFlags
	cmd := &cobra.Command{
		Use:   "eval --model DIR|--api URL --tasks darumeru|NAME,… --data DIR --out DIR",
		Short: "Run the Darumeru benchmark, or tasks of your own, on a model",
		Long: `Run tasks on a model and sum up: metrics with standard errors, groups and the total.

darumeru means the 17 tasks of the paper; rutie is an extra. A name that ends in .yaml is a task of your own (docs/own-task.md).
Data is looked for in the folders of --data (jsonl, json, csv or parquet, in the hub's layouts) and then in the hub's cache.

Instruct models are asked through their chat template, without examples unless told otherwise; models without one, or with
--no-chat-template, as plain text (Query: … Response: …) with 5 examples. Answers are greedy.

Every answer is kept in OUT as it comes: --resume goes on where a run was stopped. results.json and samples/TASK.jsonl are written
at the end; the exit status is 3 if a task could not be run.`,
		Example: `  lep eval --model ./llama3-ru-instruct --tasks darumeru --data ./darumeru --out eval/llama3-ru
  lep eval --model ./base --tasks multiq,parus --data ./darumeru --num-fewshot 5 --no-chat-template --limit 100 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runEval(cmd, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "", "model folder or hub id; with --api the name that the server knows it by")
	f.StringVar(&o.api, "api", "", "address of an OpenAI-compatible server (http://HOST:PORT/v1), asked in place of a folder; the key is OPENAI_API_KEY")
	f.StringVar(&o.tokenizer, "tokenizer", "", "with --api: folder with the model's tokenizer and chat template, so that prompts are written here")
	f.IntVar(&o.concurrency, "concurrency", 8, "with --api: requests at a time")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "with --api: longest time of one try")
	f.StringSliceVar(&o.tasks, "tasks", []string{"darumeru"}, "tasks, by name, group or YAML file")
	f.StringArrayVar(&o.data, "data", nil, "folder with the data; may be repeated")
	f.StringVar(&o.opts.Out, "out", "", "folder for results.json, samples and answers (none: only print)")
	f.IntVar(&o.opts.NumFewshot, "num-fewshot", -1, "examples in front of each question (-1: 0 with a chat template, else 5)")
	f.IntVar(&o.opts.Limit, "limit", 0, "most records of each task (0: all)")
	f.IntVar(&o.opts.MaxPromptLen, "max-prompt-len", 4096, "prompts stay shorter than this many tokens; examples are dropped until they do")
	f.BoolVar(&o.opts.LogSamples, "log-samples", false, "keep the rendered prompts in the samples")
	f.BoolVar(&o.opts.AnswerLogProb, "answer-logprob", false, "also score the right answers: log-probability and bits per byte, under measures in results.json")
	f.BoolVar(&o.opts.Resume, "resume", false, "go on with the answers that OUT has")
	f.BoolVar(&o.noTemplate, "no-chat-template", false, "ask in plain text, as base models are asked")
	f.BoolVar(&o.useTemplate, "apply-chat-template", false, "insist on a chat template: an error if the model has none")
	f.StringVar(&o.wording, "wording", "", "file with the strings of tasks whose text is not in the data")
	f.StringVar(&o.system, "system-instruction", "", "system message in front of every request")
	f.IntVar(&o.slots, "batch-size", 0, "answers generated at a time (0: the default)")
	f.StringVar(&o.opts.Out, "output-path", "", "the same as --out")
	cobra.CheckErr(f.MarkHidden("output-path"))
	cmd.AddCommand(a.evalScoreCmd(), a.evalMetricCmd(), a.evalCompareCmd())
	return cmd
}

func (a *app) runEval(cmd *cobra.Command, o *evalFlags) error {
	switch {
	case o.model == "" && o.api == "":
		return usagef("no model: give --model or --api")
	case o.api != "" && o.opts.AnswerLogProb:
		return usagef("--answer-logprob needs a model folder, not a server")
	case o.api == "" && o.tokenizer != "":
		return usagef("--tokenizer goes with --api: a model folder has its own")
	case o.concurrency < 1 || o.timeout <= 0:
		return usagef("--concurrency is %d, --timeout %s: want 1 or more and some time", o.concurrency, o.timeout)
	case o.opts.NumFewshot < -1 || o.opts.Limit < 0 || o.opts.MaxPromptLen < 1:
		return usagef("--num-fewshot is %d, --limit %d, --max-prompt-len %d: want numbers from -1, 0 and 1 on", o.opts.NumFewshot, o.opts.Limit, o.opts.MaxPromptLen)
	case o.noTemplate && o.useTemplate:
		return usagef("--no-chat-template and --apply-chat-template exclude each other")
	case o.opts.Resume && o.opts.Out == "":
		return usagef("--resume goes on in a folder: give --out")
	}
	tasks, err := evalTasks(o.tasks)
	if err != nil {
		return usageError{err}
	}
	if err := a.evalOptions(o, tasks); err != nil {
		return err
	}
	m, done, err := a.evalModel(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer done()
	if o.useTemplate && !m.Describe().Chat {
		return fmt.Errorf("%s: no chat template", o.model)
	}
	update, finish := a.progress("eval", "answers")
	o.opts.Progress = func(_ string, done, total int) { update(int64(done), int64(total)) }
	result, err := eval.Run(cmd.Context(), m, tasks, o.opts)
	finish()
	if err != nil {
		return err
	}
	if err := a.printResult(result, tasks); err != nil {
		return err
	}
	if len(result.Failed) > 0 {
		return fmt.Errorf("%w: %d of %d tasks could not be run", errCheck, len(result.Failed), len(tasks))
	}
	return nil
}

// evalTasks finds tasks by name, group or YAML file.
func evalTasks(names []string) ([]eval.Task, error) {
	var list []eval.Task
	for _, name := range names {
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
			t, err := eval.ReadTask(name)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
			continue
		}
		found, err := darumeru.Select([]string{name})
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if !slices.ContainsFunc(list, func(l eval.Task) bool { return l.Name == t.Name }) {
				list = append(list, t)
			}
		}
	}
	return list, nil
}

// evalOptions fills what follows from several flags.
func (a *app) evalOptions(o *evalFlags, tasks []eval.Task) error {
	o.opts.Seed, o.opts.Force, o.opts.Warn = a.seed, a.force, a.notef
	o.opts.Wording = darumeru.DefaultWording()
	if o.wording != "" {
		w, err := darumeru.ReadWording(o.wording)
		if err != nil {
			return err
		}
		o.opts.Wording = w
	}
	for _, dir := range o.data {
		if info, err := os.Stat(dir); err != nil {
			return err
		} else if !info.IsDir() {
			return usagef("--data %s: not a folder", dir)
		}
	}
	hub, err := checkpoint.HubFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	o.opts.Data = eval.Data{Dirs: o.data, Hub: hub.Cache}
	for _, t := range darumeru.Tasks() {
		if slices.ContainsFunc(tasks, func(l eval.Task) bool { return l.Group != eval.Extra }) {
			o.opts.Expected = append(o.opts.Expected, t.Name)
		}
	}
	o.opts.Config = map[string]any{"lep": currentVersion().Version, "num_fewshot": o.opts.NumFewshot, "tasks": o.tasks, "no_chat_template": o.noTemplate,
		"system_instruction": o.system, "wording": o.wording}
	return nil
}

// evalModel opens what is to be asked; done closes it.
func (a *app) evalModel(ctx context.Context, o *evalFlags) (m eval.Model, done func(), err error) {
	if o.api != "" {
		m, err := a.evalServer(ctx, o)
		return m, func() {}, err
	}
	opts := a.inferOptions()
	if o.slots > 0 {
		opts.Slots = o.slots
	}
	dir, err := checkpoint.Resolve(o.model)
	if err != nil {
		return nil, nil, err
	}
	digest, err := checkpoint.Fingerprint(dir)
	if err != nil {
		return nil, nil, err
	}
	e, err := infer.Open(dir, opts)
	if err != nil {
		return nil, nil, err
	}
	m, err = eval.NewNative(e, eval.NativeOptions{Name: o.model, Digest: digest, NoChatTemplate: o.noTemplate, System: o.system})
	if err != nil {
		e.Close()
		return nil, nil, err
	}
	return m, func() { e.Close() }, nil
}

// evalServer probes a server and says what it can do.
func (a *app) evalServer(ctx context.Context, o *evalFlags) (eval.Model, error) {
	server, err := infer.Dial(ctx, infer.RemoteOptions{URL: o.api, Key: os.Getenv("OPENAI_API_KEY"), Model: o.model, Concurrency: o.concurrency, Timeout: o.timeout})
	if err != nil {
		return nil, err
	}
	var tok *tokenizer.Tokenizer
	if o.tokenizer != "" {
		if tok, err = tokenizer.Open(o.tokenizer); err != nil {
			return nil, err
		}
	}
	can := server.Capabilities()
	a.notef("%s: model %s, context %d; text: %t, chat: %t, log-probabilities of prompts: %t, likeliest tokens: %d, counts tokens: %t",
		server.Address(), can.Model, can.Context, can.Completions, can.Chat, can.PromptLogProbs, can.Top, can.Tokenize != "")
	return eval.NewRemote(ctx, server, eval.RemoteOptions{Tokenizer: tok, NoChatTemplate: o.noTemplate, System: o.system, Warn: a.notef})
}

// printResult prints a table of the tasks, the groups and the total.
func (a *app) printResult(r *eval.Result, tasks []eval.Task) error {
	if a.json {
		return a.printJSON(r)
	}
	rows := [][]string{{"TASK", "N", "SHOTS", "SCORE", "95 %", "METRICS"}}
	for _, t := range tasks {
		if why, failed := r.Failed[t.Name]; failed {
			rows = append(rows, []string{t.Name, "-", "-", "-", "-", why})
			continue
		}
		s := r.Scores[t.Name]
		var metrics []string
		for _, name := range t.Metrics {
			metrics = append(metrics, fmt.Sprintf("%s %.4f ± %.4f", name, r.Results[t.Name][name], r.Results[t.Name][name+"_stderr"]))
		}
		rows = append(rows, []string{t.Name, fmt.Sprint(r.Samples[t.Name].Effective), fmt.Sprint(r.Shots[t.Name]), fmt.Sprintf("%.4f", s.Score),
			fmt.Sprintf("%.3f–%.3f", s.Low, s.High), strings.Join(metrics, ", ")})
	}
	var groups []string
	for name := range r.Groups {
		groups = append(groups, name)
	}
	slices.Sort(groups)
	for _, name := range groups {
		rows = append(rows, []string{name, "", "", fmt.Sprintf("%.4f", r.Groups[name]), "", fmt.Sprintf("± %.4f", r.GroupsStderr[name])})
	}
	if r.Total != nil {
		note := fmt.Sprintf("± %.4f", *r.TotalStderr)
		if !r.Complete {
			note += ", incomplete: without " + strings.Join(r.Missing, ", ")
		}
		rows = append(rows, []string{"total", "", "", fmt.Sprintf("%.4f", *r.Total), "", note})
	}
	return a.table(rows)
}
