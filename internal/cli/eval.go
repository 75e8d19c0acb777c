package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/eval"
	"lep/eval/darumeru"
	"lep/infer"
	"lep/internal/hint"
	"lep/linalg"
	"lep/tokenizer"
)

func (a *app) evalCmd() *cobra.Command {
	var o evalFlags
	cmd := &cobra.Command{
		Use:   "eval --model DIR|--api URL --tasks darumeru|NAME,… --data DIR --out DIR",
		Short: "Run the Darumeru benchmark, or tasks of your own, on a model",
		Long: `Run tasks on a model and sum up: metrics with standard errors, groups and the total.

darumeru means the 17 tasks of the paper; rutie and rutie_own (whose context holds the model's own answers) are extras. A name that ends in .yaml is a task of your own (docs/own-task.md), and so
are those in a folder of --include-path. --list prints all.
Data is looked for in the folders of --data (jsonl, json, csv or parquet, in the hub's layouts) and then in the hub's cache.

Instruct models are asked through their chat template, without examples unless told otherwise; models without one, or with
--no-chat-template, as plain text (Query: … Response: …) with 5 examples. Answers are greedy.

Every answer is kept in OUT as it comes: --resume goes on where a run was stopped. results.json and samples/TASK.jsonl are written
at the end; the exit status is 3 if a task could not be run.`,
		Example: `  lep eval --model ./llama3-ru-instruct --tasks darumeru --data ./darumeru --out eval/llama3-ru
  lep eval --model hf --model_args pretrained=./base --tasks parus,capitals --include_path ./tasks --num_fewshot 5 --output_path eval/base
  lep eval --model ./base --tasks multiq,parus --data ./darumeru --num-fewshot 5 --no-chat-template --limit 100 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runEval(cmd, &o) },
	}
	o.bind(cmd.Flags())
	cmd.AddCommand(a.evalScoreCmd(), a.evalMetricCmd(), a.evalCompareCmd())
	return cmd
}

func (a *app) runEval(cmd *cobra.Command, o *evalFlags) error {
	if err := o.settle(); err != nil {
		return err
	}
	own, err := ownTasks(o.include)
	if err != nil {
		return err
	}
	if o.list || slices.Equal(o.tasks, []string{"list"}) {
		return a.listTasks(own)
	}
	if err := o.check(); err != nil {
		return err
	}
	tasks, err := evalTasks(o.tasks, own...)
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

// ownTasks reads the tasks in folders. One that has the name of another is an error.
func ownTasks(dirs []string) ([]eval.Task, error) {
	var list []eval.Task
	for _, dir := range dirs {
		found, err := eval.ReadTasks(dir)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			same := func(l eval.Task) bool { return l.Name == t.Name }
			if slices.Contains(darumeru.Names(), t.Name) || slices.ContainsFunc(list, same) {
				return nil, fmt.Errorf("%s: there is another task %q", dir, t.Name)
			}
			list = append(list, t)
		}
	}
	return list, nil
}

// evalTasks finds tasks by name, group or YAML file, among those of the table and the user's own.
func evalTasks(names []string, own ...eval.Task) ([]eval.Task, error) {
	var list []eval.Task
	for _, name := range names {
		found, err := evalTask(name, own)
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

func evalTask(name string, own []eval.Task) ([]eval.Task, error) {
	if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
		t, err := eval.ReadTask(name)
		return []eval.Task{t}, err
	}
	var names []string
	for _, t := range own {
		if t.Name == name {
			return []eval.Task{t}, nil
		}
		names = append(names, t.Name)
	}
	found, err := darumeru.Select([]string{name})
	if near := hint.Nearest(name, names, 2); err != nil && near != "" {
		err = hint.Wrap(err, "did you mean "+near+"?")
	}
	return found, err
}

// listTasks prints all tasks.
func (a *app) listTasks(own []eval.Task) error {
	type entry struct {
		Task         string   `json:"task"`
		Group        string   `json:"group"`
		Method       string   `json:"method"`
		MaxNewTokens int      `json:"max_new_tokens,omitempty"`
		Metrics      []string `json:"metrics"`
	}
	all, err := darumeru.Select(darumeru.Names())
	if err != nil {
		return err
	}
	rows := [][]string{{"TASK", "GROUP", "METHOD", "NEW TOKENS", "METRICS"}}
	for _, t := range append(all, own...) {
		e := entry{Task: t.Name, Group: t.Group, Method: string(t.Method), Metrics: t.Metrics}
		room := "-"
		if t.Method == eval.Generate {
			e.MaxNewTokens, room = t.MaxNewTokens, fmt.Sprint(t.MaxNewTokens)
		}
		if a.json {
			if err := a.printJSON(e); err != nil {
				return err
			}
		}
		rows = append(rows, []string{e.Task, e.Group, e.Method, room, strings.Join(e.Metrics, ", ")})
	}
	if a.json {
		return nil
	}
	return a.table(rows)
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
	var err error
	if o.opts.Data, err = evalData(o.data); err != nil {
		return err
	}
	for _, t := range darumeru.Tasks() {
		if slices.ContainsFunc(tasks, func(l eval.Task) bool { return l.Group != eval.Extra }) {
			o.opts.Expected = append(o.opts.Expected, t.Name)
		}
	}
	o.opts.Config = map[string]any{"lep": currentVersion().Version, "num_fewshot": o.opts.NumFewshot, "tasks": o.tasks, "no_chat_template": o.noTemplate,
		"system_instruction": o.system, "wording": o.wording, "gen_kwargs": o.opts.Generation}
	return nil
}

// evalData says where data sets lie: in folders, and in the hub's cache.
func evalData(dirs []string) (eval.Data, error) {
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return eval.Data{}, err
		} else if !info.IsDir() {
			return eval.Data{}, usagef("--data %s: not a folder", dir)
		}
	}
	hub, err := checkpoint.HubFromEnv(os.Getenv)
	return eval.Data{Dirs: dirs, Hub: hub.Cache}, err
}

// evalModel opens what is to be asked; done closes it.
func (a *app) evalModel(ctx context.Context, o *evalFlags) (m eval.Model, done func(), err error) {
	if o.api != "" {
		m, err := a.evalServer(ctx, o)
		return m, func() {}, err
	}
	opts, err := a.precise(o.precision)
	if err != nil {
		return nil, nil, err
	}
	if opts.Slots, err = o.slots(opts.Slots); err != nil {
		return nil, nil, err
	}
	dir, err := checkpoint.Resolve(o.model)
	if err != nil {
		return nil, nil, err
	}
	digest, err := checkpoint.Fingerprint(dir)
	if err != nil {
		return nil, nil, err
	}
	if opts.Precision != linalg.Float32 {
		digest = string(opts.Precision) + "-" + digest // other answers than in float32
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
	a.notef("%s: model %s, context %d; text: %t, chat: %t, log-probabilities of prompts: %t, of any next token: %t, likeliest tokens: %d, counts tokens: %t",
		server.Address(), can.Model, can.Context, can.Completions, can.Chat, can.PromptLogProbs, can.Forced, can.Top, can.Tokenize != "")
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
		metrics = append(metrics, measures(r.Measures[t.Name])...)
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
	if m := measures(r.Overall); len(m) > 0 {
		rows = append(rows, []string{"measures", "", "", "", "", strings.Join(m, ", ")})
	}
	return a.table(rows)
}

// measures names what is measured beside the metrics.
func measures(m eval.Measure) (list []string) {
	if m.CharactersPerSecond > 0 {
		list = append(list, fmt.Sprintf("%.0f characters/s", m.CharactersPerSecond), fmt.Sprintf("%.2f characters/token", m.CharactersPerToken))
	}
	if m.AnswerBitsPerByte != nil {
		list = append(list, fmt.Sprintf("%.3f bits/byte of the right answers", *m.AnswerBitsPerByte))
	}
	return list
}
