package recipe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/eval"
	"lep/internal/atomic"
	"lep/propagate"
	"lep/report"
	"lep/tokenizer"
	"lep/train"
	"lep/vocab/stats"
)

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// spread sums up the draws of a bootstrap.
func spread(drawn []float64) *report.Spread {
	slices.Sort(drawn)
	mean, square := 0.0, 0.0
	for _, x := range drawn {
		mean += x / float64(len(drawn))
	}
	for _, x := range drawn {
		square += (x - mean) * (x - mean) / float64(len(drawn)-1)
	}
	at := func(q float64) report.Number { return report.Number(drawn[int(q*float64(len(drawn)-1))]) }
	return &report.Spread{Stderr: report.Number(math.Sqrt(square)), Low: at(0.025), High: at(0.975)}
}

// report gathers what all stages have found into results.json and the page.
func (r *Run) report(ctx context.Context, s *Stage) (any, error) {
	g := &gathering{Run: r, out: report.Run{
		Title: r.recipe.Report.Title, Lead: r.recipe.Report.Lead, Lep: r.opts.Version,
		Machine:   fmt.Sprintf("%d threads, %s/%s", r.opts.Threads, runtime.GOOS, runtime.GOARCH),
		Reproduce: []string{r.recipe.command()},
	}}
	if g.out.Title == "" {
		g.out.Title = r.recipe.Name
	}
	if r.recipe.Eval != nil {
		g.out.Languages = sortedKeys(r.recipe.Eval.HeldOut)
		if i := slices.Index(g.out.Languages, r.recipe.Models.Language); i > 0 { // the new language first
			g.out.Languages = slices.Insert(slices.Delete(g.out.Languages, i, i+1), 0, r.recipe.Models.Language)
		}
		tasks, err := r.recipe.Eval.tasks()
		if err != nil {
			return nil, err
		}
		g.tasks = tasks
	}
	for _, n := range r.graph.Stages {
		if n == s {
			break
		}
		if err := g.step(n); err != nil {
			return nil, err
		}
	}
	if err := g.models(); err != nil {
		return nil, err
	}
	if err := g.writeCards(s); err != nil {
		return nil, err
	}
	return nil, r.writeReport(ctx, &g.out, g.tasks)
}

// writeReport writes results.json and report.html, which has the samples and what they show too.
func (r *Run) writeReport(ctx context.Context, out *report.Run, tasks []eval.Task) error {
	if err := report.Save(filepath.Join(r.recipe.RunDir, ResultsName), out); err != nil {
		return err
	}
	opts := report.DefaultOptions()
	opts.Tasks = tasks
	full, err := report.Open(ctx, []string{r.recipe.RunDir}, opts)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := report.Write(&page, full); err != nil {
		return err
	}
	return atomic.WriteFile(filepath.Join(r.recipe.RunDir, ReportName), page.Bytes(), true)
}

// gathering is a report in the making.
type gathering struct {
	*Run
	out     report.Run
	answers map[string]int // place of a prompt in out.Answers
	tasks   []eval.Task
	// vocabularies are those that texts have been cut by.
	vocabularies []string
	cards        []card
	// originalName is that of out.Reference as others know it.
	originalName string
}

func (g *gathering) record(s *Stage) (*Record, error) {
	rec, err := readRecord(s.dir)
	if err == nil && rec == nil {
		err = fmt.Errorf("%s: no record", s.dir)
	}
	return rec, err
}

// step tells of a stage: what was done and how long it took, curves and projections.
func (g *gathering) step(s *Stage) error {
	rec, err := g.record(s)
	if err != nil {
		return err
	}
	step := report.Step{Name: s.Name, Verb: string(s.Kind), State: string(rec.State), Seconds: report.Number(rec.Seconds), Settings: g.settings(s)}
	if g.state[s].count == 0 {
		step.State = "kept"
	}
	g.out.Steps = append(g.out.Steps, step)
	switch s.Kind {
	case KindTrain, KindTune, KindInstruct:
		return g.curves(s)
	case KindPropagate:
		var p propagate.Result
		if err := json.Unmarshal(rec.Result, &p); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(s.dir, recordName), err)
		}
		for _, m := range p.Targets[0].Modules {
			g.out.Projections = append(g.out.Projections, report.Projection{Model: s.Name, ModuleResult: m})
		}
	}
	return nil
}

// settings lists what a stage has beside its package's defaults.
func (g *gathering) settings(s *Stage) []report.Setting {
	usual, err := settings(sectionOf(s.Kind.section()).value)
	if err != nil {
		return nil
	}
	own, err := settings(s.options) // not the record's: the same inputs may lie elsewhere by now
	if err != nil {
		return nil
	}
	var out []report.Setting
	defaults := members(usual)
	for _, m := range members(own) {
		value := compact(m.value)
		if slices.ContainsFunc(defaults, func(d member) bool { return d.key == m.key && compact(d.value) == value }) {
			continue
		}
		out = append(out, report.Setting{Name: m.key, Value: strings.Trim(g.recipe.abroad(value, s.inputs), `"`)})
	}
	return out
}

// compact is JSON without the blanks between its parts.
func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

func (g *gathering) curves(s *Stage) error {
	dir := s.Out()
	if adapter := filepath.Join(s.dir, "adapter"); exists(adapter) {
		dir = adapter
	}
	records, err := train.ReadMetrics(dir)
	if err != nil {
		return err
	}
	g.out.Curves = append(g.out.Curves, report.Curves(s.Name, records)...)
	return nil
}

// models tells of what was measured.
func (g *gathering) models() error {
	g.answers = map[string]int{}
	for _, s := range g.graph.Stages {
		if s.Kind != KindEval {
			continue
		}
		rec, err := g.record(s)
		if err != nil {
			return err
		}
		var got Measured
		if err := json.Unmarshal(rec.Result, &got); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(s.dir, recordName), err)
		}
		if err := g.model(s, &got); err != nil {
			return err
		}
	}
	return nil
}

func (g *gathering) model(s *Stage, got *Measured) error {
	m := s.model
	row := report.Model{Name: m.Name, Role: m.Role, Vocabulary: m.Vocabulary, Method: m.Method, Step: m.Step, Seed: m.Seed,
		Digest: got.Fingerprint, VocabSize: got.VocabSize, Parameters: got.Parameters, Languages: got.Languages, Folder: g.recipe.abroad(m.path, s.inputs)}
	if m.stage != nil {
		row.Folder = g.relative(m.stage.Out())
		g.cards = append(g.cards, card{m.stage, len(g.out.Models), got.Tasks})
	}
	if g.original(m) && g.out.Reference == "" {
		g.out.Reference, g.originalName = m.Name, checkpoint.PublicName(m.path)
	}
	if got.Tasks != nil {
		row.Evaluation = g.relative(s.Out())
		g.out.Score(&row, got.Tasks, g.tasks)
	}
	g.out.Models = append(g.out.Models, row)
	for _, a := range got.Answers {
		i, ok := g.answers[a.Prompt]
		if !ok {
			i = len(g.out.Answers)
			g.answers[a.Prompt] = i
			g.out.Answers = append(g.out.Answers, report.Answered{Prompt: a.Prompt, Lang: a.Lang})
		}
		g.out.Answers[i].Answers = append(g.out.Answers[i].Answers, report.Answer{Model: m.Name, Text: a.Text, Tokens: a.Tokens, Seconds: report.Number(a.Seconds)})
	}
	folder := m.path
	if m.stage != nil {
		folder = m.stage.Out()
	}
	return g.cut(m, folder)
}

// original reports that a model is the one that others are held against: an instruct model, or the base where
// there is none.
func (g *gathering) original(m *Model) bool {
	return m.Role == "target" || m.Role == "source" && len(g.recipe.Models.Target) == 0
}

func (g *gathering) relative(path string) string {
	if rel, err := filepath.Rel(g.recipe.RunDir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// cut shows how the vocabulary of a model cuts a built-in text of each language: the original one and
// each new one once.
func (g *gathering) cut(m *Model, folder string) error {
	name := m.Vocabulary
	if g.original(m) {
		name = "original"
	}
	if name == "" || slices.Contains(g.vocabularies, name) {
		return nil
	}
	g.vocabularies = append(g.vocabularies, name)
	dir, err := checkpoint.Resolve(folder)
	if err != nil {
		return err
	}
	tok, err := tokenizer.Open(dir)
	if err != nil {
		return err
	}
	for _, sample := range stats.Samples() {
		if !slices.Contains(g.out.Languages, sample.Code) {
			continue
		}
		i := slices.IndexFunc(g.out.Cuts, func(c report.CutText) bool { return c.Lang == sample.Code })
		if i < 0 {
			i = len(g.out.Cuts)
			g.out.Cuts = append(g.out.Cuts, report.CutText{Lang: sample.Code})
		}
		g.out.Cuts[i].Cuts = append(g.out.Cuts[i].Cuts, report.Cut{Vocabulary: name, Spans: stats.Spans(tok, sample.Texts[0])})
	}
	return nil
}
