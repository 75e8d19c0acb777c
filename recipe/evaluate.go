package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"lep/chat"
	"lep/checkpoint"
	"lep/corpus"
	"lep/eval"
	"lep/eval/darumeru"
	"lep/infer"
	"lep/internal/atomic"
	"lep/model"
	"lep/report"
)

// Measured is what is known of one model: the result of an evaluation stage.
type Measured struct {
	Fingerprint string                     `json:"fingerprint"`
	VocabSize   int                        `json:"vocab_size"`
	Parameters  int64                      `json:"parameters"`
	Languages   map[string]report.Language `json:"languages,omitempty"`
	Tasks       *eval.Result               `json:"tasks,omitempty"`
	Answers     []Reply                    `json:"answers,omitempty"`
}

// Reply is a model's answer to one of Eval.Prompts.
type Reply struct {
	Prompt  string  `json:"prompt"`
	Lang    string  `json:"lang,omitempty"`
	Text    string  `json:"text"`
	Tokens  int     `json:"tokens"`
	Seconds float64 `json:"seconds"`
}

// modelKinds are the names that Eval.Models takes.
var modelKinds = []string{"source", "target", "donor", "result", stepTuned, stepInstructed, stepPhase}

// wants reports whether a model is to be measured.
func (e *Eval) wants(m *Model) bool { return among(e.Models, m) }

// among tells whether a model is of one of the kinds; none stands for all that are the end of a training.
func among(kinds []string, m *Model) bool {
	kind := m.Role
	switch {
	case m.Step != "":
		kind = m.Step
	case kind == "control":
		kind = "result"
	}
	if len(kinds) == 0 {
		return kind != stepPhase
	}
	return slices.Contains(kinds, kind)
}

// check refuses what no model could be measured by.
func (e *Eval) check() error {
	for _, key := range []struct {
		name  string
		kinds []string
	}{{"models", e.Models}, {"task_models", e.TaskModels}} {
		for _, m := range key.kinds {
			if !slices.Contains(modelKinds, m) {
				return fmt.Errorf("%s: %q, want some of %s", key.name, m, strings.Join(modelKinds, ", "))
			}
		}
	}
	if e.MaxTexts < 0 || e.MaxPrompts < 0 || e.MaxAnswer < 1 {
		return fmt.Errorf("max_texts is %d, max_prompts %d, max_answer_tokens %d: want numbers from 0, 0 and 1 on", e.MaxTexts, e.MaxPrompts, e.MaxAnswer)
	}
	if _, err := e.tasks(); err != nil {
		return err
	}
	return e.Options.Validate()
}

func (e *Eval) inputs(s *Stage) {
	for name, files := range e.HeldOut {
		s.reads("held_out."+name, dataPath, files...)
	}
	s.reads("tasks", taskPath, e.Tasks...)
	s.reads("data", filePath, e.Data...)
	s.reads("wording", filePath, e.Wording)
	s.reads("prompts", filePath, e.Prompts)
}

// tasks finds the tasks by name, group or YAML file.
func (e *Eval) tasks() ([]eval.Task, error) {
	var list []eval.Task
	for _, name := range e.Tasks {
		var found []eval.Task
		var err error
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
			var t eval.Task
			t, err = eval.ReadTask(name)
			found = []eval.Task{t}
		} else {
			found, err = darumeru.Select([]string{name})
		}
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

// evaluate measures a model: texts, tasks, answers.
func (r *Run) evaluate(ctx context.Context, s *Stage, o Eval) (any, error) {
	path := s.model.path
	if s.model.stage != nil {
		path = s.model.stage.Out()
	}
	dir, err := checkpoint.Resolve(path)
	if err != nil {
		return nil, err
	}
	m := &measuring{Run: r, stage: s, opts: o}
	if m.Fingerprint, err = checkpoint.Fingerprint(dir); err != nil {
		return nil, err
	}
	engine := infer.DefaultOptions()
	engine.Threads, engine.BLAS = r.threads(s), r.opts.BLAS
	if m.engine, err = infer.Open(dir, engine); err != nil {
		return nil, err
	}
	defer m.engine.Close()
	cfg := m.engine.Model().Config
	m.VocabSize = cfg.VocabSize
	for _, p := range cfg.Parameters() {
		m.Parameters += int64(p.Elements())
	}
	if err := os.MkdirAll(s.Out(), 0o755); err != nil {
		return nil, err
	}
	for _, do := range []func(context.Context) error{m.texts, m.runTasks, m.answer} {
		if err := do(ctx); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(m.Measured, "", "  ")
	if err != nil {
		return nil, err
	}
	return m.Measured, atomic.WriteFile(filepath.Join(s.Out(), "measured.json"), append(data, '\n'), true)
}

// measuring is an evaluation under way.
type measuring struct {
	*Run
	Measured
	stage  *Stage
	opts   Eval
	engine *infer.Engine
}

// texts measures the held-out sets.
func (m *measuring) texts(ctx context.Context) error {
	m.Languages = map[string]report.Language{}
	for _, name := range sortedKeys(m.opts.HeldOut) {
		docs, err := m.read(ctx, m.opts.HeldOut[name])
		if err != nil {
			return fmt.Errorf("held_out.%s: %w", name, err)
		}
		l, err := m.language(ctx, name, docs)
		if err != nil {
			return fmt.Errorf("held_out.%s: %w", name, err)
		}
		m.Languages[name] = l
	}
	return nil
}

func (m *measuring) read(ctx context.Context, files []string) ([]string, error) {
	reader, err := corpus.Open(files, corpus.DefaultOptions())
	if err != nil {
		return nil, err
	}
	var docs []string
	for text, err := range reader.Texts(ctx) {
		if err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		if docs = append(docs, text); len(docs) == m.opts.MaxTexts {
			break
		}
	}
	if len(docs) == 0 {
		return nil, errors.New("no texts")
	}
	return docs, nil
}

// language scores texts and continues the beginnings of a few.
func (m *measuring) language(ctx context.Context, name string, docs []string) (report.Language, error) {
	list := make([]infer.Sequence, len(docs))
	characters, tokens := 0, 0
	for i, d := range docs {
		list[i].Text = d
		characters += utf8.RuneCountInString(d)
		tokens += len(m.engine.Tokenizer().Encode(d))
	}
	update, done := m.progress(m.stage, "score "+name, "texts")
	defer done()
	var scores []infer.Score
	for batch := range slices.Chunk(list, 64) {
		got, err := m.engine.Score(ctx, batch)
		if err != nil {
			return report.Language{}, err
		}
		scores = append(scores, got...)
		update(int64(len(scores)), int64(len(list)))
	}
	l := report.Language{BitsPerByte: bitsPerByte(scores, uint64(m.opts.Seed)), CharactersPerToken: report.Plain(float64(characters) / float64(max(1, tokens)))}
	for _, s := range scores {
		l.Bytes += int64(s.Bytes)
	}
	speed, err := m.speed(ctx, docs)
	l.CharactersPerSecond = speed
	return l, err
}

// Draws of the bootstrap over documents.
const draws = 1000

// bitsPerByte is that of all texts together, with its interval by drawing documents.
func bitsPerByte(scores []infer.Score, seed uint64) *report.Figure {
	total := func(pick func(i int) infer.Score) float64 {
		nll, bytes := 0.0, 0
		for i := range scores {
			s := pick(i)
			nll, bytes = nll+s.NLL, bytes+s.Bytes
		}
		return infer.BitsPerByte(nll, bytes)
	}
	f := report.Plain(total(func(i int) infer.Score { return scores[i] }))
	f.N = len(scores)
	if len(scores) < 2 {
		return f
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	drawn := make([]float64, draws)
	for i := range drawn {
		drawn[i] = total(func(int) infer.Score { return scores[rng.IntN(len(scores))] })
	}
	f.Spread = spread(drawn)
	return f
}

// How the speed of generation is taken: so many texts are continued together, each behind its
// beginning by so many tokens. They are sampled: what small models write greedily goes round in circles of a few common words.
const (
	speedTexts  = 16
	speedPrompt = 200 // characters
	speedTokens = 48
)

// speed measures the characters that a second brings.
func (m *measuring) speed(ctx context.Context, docs []string) (*report.Figure, error) {
	var reqs []infer.Request
	for i, d := range docs[:min(speedTexts, len(docs))] {
		if runes := []rune(d); len(runes) > speedPrompt {
			d = string(runes[:speedPrompt])
		}
		reqs = append(reqs, infer.Request{Text: d, AddSpecial: true, MaxNewTokens: speedTokens, IgnoreEOS: true,
			Sampling: model.Sampling{Temperature: 1}, Seed: uint64(i)})
	}
	start := time.Now()
	results, err := m.engine.Generate(ctx, reqs)
	if err != nil {
		return nil, err
	}
	characters := 0
	for _, r := range results {
		characters += utf8.RuneCountInString(r.Text)
	}
	return report.Plain(float64(characters) / time.Since(start).Seconds()), nil
}

// runTasks does the tasks; answers that an earlier attempt has are kept.
func (m *measuring) runTasks(ctx context.Context) error {
	tasks, err := m.opts.tasks()
	if err != nil || len(tasks) == 0 || len(m.opts.TaskModels) > 0 && !among(m.opts.TaskModels, m.stage.model) {
		return err
	}
	native, err := eval.NewNative(m.engine, eval.NativeOptions{Name: m.stage.model.Name, Digest: m.Fingerprint, System: m.opts.System})
	if err != nil {
		return err
	}
	o := m.opts.Options
	if o.Wording = darumeru.DefaultWording(); m.opts.Wording != "" {
		if o.Wording, err = darumeru.ReadWording(m.opts.Wording); err != nil {
			return err
		}
	}
	hub, err := checkpoint.HubFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	o.Data = eval.Data{Dirs: m.opts.Data, Hub: hub.Cache}
	o.Out, o.Resume, o.Warn = m.stage.Out(), true, m.warn(m.stage)
	for _, t := range tasks {
		if t.Group != eval.Extra {
			o.Expected = append(o.Expected, t.Name)
		}
	}
	update, done := m.progress(m.stage, "tasks", "answers")
	defer done()
	o.Progress = func(_ string, done, total int) { update(int64(done), int64(total)) }
	m.Tasks, err = eval.Run(ctx, native, tasks, o)
	return err
}

// answer puts the prompts to the model: through its chat template if it has one, else as the
// beginning of a text.
func (m *measuring) answer(ctx context.Context) error {
	if m.opts.Prompts == "" {
		return nil
	}
	prompts, err := readPrompts(m.opts.Prompts, m.opts.MaxPrompts)
	if err != nil {
		return err
	}
	tok := m.engine.Tokenizer()
	var template *chat.Template
	if text := tok.Config().ChatTemplate; text != "" {
		if template, err = chat.Parse(text); err != nil {
			return err
		}
	}
	for _, p := range prompts {
		req := infer.Request{Text: p.Text, AddSpecial: true, MaxNewTokens: m.opts.MaxAnswer}
		if template != nil {
			rendered, err := template.Render(chat.Options{Messages: []chat.Message{{Role: "user", Content: p.Text}}, AddGenerationPrompt: true,
				Special: chat.Special(tok.Config())})
			if err != nil {
				return err
			}
			req = infer.Request{IDs: tok.Encode(rendered.Text), MaxNewTokens: m.opts.MaxAnswer}
		}
		start := time.Now()
		got, err := m.engine.Generate(ctx, []infer.Request{req})
		if err != nil {
			return err
		}
		m.Answers = append(m.Answers, Reply{Prompt: p.Text, Lang: p.Lang, Text: got[0].Text, Tokens: len(got[0].IDs), Seconds: time.Since(start).Seconds()})
	}
	return nil
}

type prompt struct {
	Text string `json:"prompt"`
	Lang string `json:"lang"`
}

// readPrompts reads JSON lines {"prompt", "lang"}, or plain lines.
func readPrompts(path string, limit int) ([]prompt, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []prompt
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		p := prompt{Text: line}
		if strings.HasPrefix(line, "{") {
			p = prompt{}
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
			}
		}
		if p.Text == "" {
			return nil, fmt.Errorf(`%s:%d: field "prompt" is missing`, path, i+1)
		}
		if out = append(out, p); len(out) == limit {
			break
		}
	}
	return out, nil
}
