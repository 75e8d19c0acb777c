package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/eval"
)

// maxCompared is how many samples of a task are compared by resampling: more take minutes
// and say no more.
const maxCompared = 20_000

// finish compares models and chooses samples, task by task, so that no more than one task's
// samples are held at a time.
func (b *builder) finish() error {
	if len(b.run.Models)+len(b.run.Curves)+len(b.run.Steps) == 0 {
		return ErrNothing
	}
	names, err := b.sampledTasks()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		if err := b.addSamples(name); err != nil {
			return err
		}
	}
	return nil
}

// sampledTasks lists the tasks that any evaluation has samples of, in the order of the columns.
func (b *builder) sampledTasks() ([]string, error) {
	found := map[string]bool{}
	for _, e := range b.evaluations {
		entries, err := os.ReadDir(filepath.Join(e.dir, eval.SamplesDir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, f := range entries {
			if name, ok := strings.CutSuffix(f.Name(), ".jsonl"); ok && !f.IsDir() {
				found[name] = true
			}
		}
	}
	var out []string
	for _, t := range b.run.Tasks {
		if found[t.Name] {
			out = append(out, t.Name)
			delete(found, t.Name)
		}
	}
	return append(out, slices.Sorted(maps.Keys(found))...), nil
}

// side is a model's samples of a task.
type side struct {
	model   string
	samples []eval.Sample
	graded  []eval.Measured // nil if the task is not known
}

func (b *builder) addSamples(name string) error {
	task, known := b.task(name)
	var sides []side
	for _, e := range b.evaluations {
		path := filepath.Join(e.dir, eval.SamplesDir, name+".jsonl")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		list, err := eval.ReadSamples(path)
		if err != nil {
			return err
		}
		s := side{model: e.model, samples: list}
		if known {
			if s.graded, err = eval.MeasureAll(task, list); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		sides = append(sides, s)
	}
	if known {
		if err := b.compare(task, sides); err != nil {
			return err
		}
	}
	if b.opts.SamplesPerTask > 0 && len(sides) > 0 {
		b.run.Samples = append(b.run.Samples, b.choose(name, task, sides))
	}
	return nil
}

func (b *builder) task(name string) (eval.Task, bool) {
	for _, t := range b.opts.Tasks {
		if t.Name == name {
			return t, true
		}
	}
	return eval.Task{}, false
}

// compare holds every model against the reference.
func (b *builder) compare(task eval.Task, sides []side) error {
	reference := b.run.reference()
	at := slices.IndexFunc(sides, func(s side) bool { return s.model == reference })
	if at < 0 {
		return nil
	}
	for i, s := range sides {
		if i == at {
			continue
		}
		if n := min(len(s.samples), len(sides[at].samples)); n > maxCompared {
			b.run.Notes = append(b.run.Notes, fmt.Sprintf("%s has %d samples: compare models by lep eval compare, which has no limit", task.Name, n))
			return nil
		}
		c, err := eval.Compare(task, sides[at].samples, s.samples, b.opts.Seed)
		if err != nil {
			b.run.Notes = append(b.run.Notes, fmt.Sprintf("%s and %s are not compared: %v", reference, s.model, err))
			continue
		}
		c.Differing = []eval.Difference{} // the sample browser shows them
		b.addComparison(reference, s.model, c)
	}
	return nil
}

func (b *builder) addComparison(a, m string, c eval.Comparison) {
	for i := range b.run.Comparisons {
		if p := &b.run.Comparisons[i]; p.A == a && p.B == m {
			p.Tasks = append(p.Tasks, c)
			return
		}
	}
	b.run.Comparisons = append(b.run.Comparisons, Comparison{A: a, B: m, Tasks: []eval.Comparison{c}})
}

// choose takes the samples to show: first those where models differ, then the others, in
// their order.
func (b *builder) choose(name string, task eval.Task, sides []side) Samples {
	rows := map[int]*Answered{}
	var order []int
	for _, s := range sides {
		for i, sample := range s.samples {
			row := rows[sample.Index]
			if row == nil {
				row = &Answered{Want: b.goldText(sample.Gold)}
				rows[sample.Index] = row
				order = append(order, sample.Index)
			}
			if row.Prompt == "" {
				var prompt string
				if sample.Field("prompt", &prompt) == nil {
					row.Prompt = clip(prompt, b.opts.MaxText)
				}
			}
			row.Answers = append(row.Answers, b.answer(s, i, task))
		}
	}
	slices.Sort(order)
	out := Samples{Task: name, Total: len(order)}
	if len(order) > b.opts.SamplesPerTask {
		out.Chosen = fmt.Sprintf("%d of %d are shown, those where models differ first", b.opts.SamplesPerTask, len(order))
		slices.SortStableFunc(order, func(x, y int) int { return rank(rows[x]) - rank(rows[y]) })
		order = order[:b.opts.SamplesPerTask]
		slices.Sort(order)
	}
	for _, index := range order {
		out.List = append(out.List, *rows[index])
	}
	return out
}

func rank(a *Answered) int {
	if a.differs() {
		return 0
	}
	return 1
}

// differs reports that models were graded differently or, ungraded, said different things.
func (a *Answered) differs() bool {
	for _, x := range a.Answers[min(1, len(a.Answers)):] {
		first := a.Answers[0]
		switch {
		case x.Right != nil && first.Right != nil:
			if *x.Right != *first.Right {
				return true
			}
		case x.Score != first.Score:
			return true
		case x.Score == 0 && x.Text != first.Text:
			return true
		}
	}
	return false
}

// wrong reports that a model's answer is graded as wrong.
func (a *Answered) wrong() bool {
	return slices.ContainsFunc(a.Answers, func(x Answer) bool { return x.Right != nil && !*x.Right })
}

// answer is what a model said to its i-th sample.
func (b *builder) answer(s side, i int, task eval.Task) Answer {
	a := Answer{Model: s.model, Text: clip(predictionText(s.samples[i]), b.opts.MaxText)}
	if s.graded == nil {
		return a
	}
	values := s.graded[i].Values
	for _, name := range []string{"acc", "em"} {
		if v, ok := values[name]; ok && (v == 0 || v == 1) {
			right := v == 1
			a.Right = &right
			return a
		}
	}
	if s.graded[i].Gold != "" && s.graded[i].Predicted != "" {
		right := s.graded[i].Gold == s.graded[i].Predicted
		a.Right = &right
		return a
	}
	for _, name := range task.Metrics {
		if v, ok := values[name]; ok {
			a.Score = Number(v)
			break
		}
	}
	return a
}

// predictionText shows a prediction: a text as it is, choices with their probabilities, the likeliest
// first, log-probabilities by their mean.
func predictionText(s eval.Sample) string {
	if text, err := s.Text(); err == nil {
		return text
	}
	if choices, scores, err := eval.ReadChoices(s.Prediction); err == nil {
		order := make([]int, len(choices))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case scores[x] > scores[y]:
				return -1
			case scores[x] < scores[y]:
				return 1
			}
			return 0
		})
		parts := make([]string, len(order))
		for i, k := range order {
			parts[i] = fmt.Sprintf("%s (%.3g)", choices[k], scores[k])
		}
		return strings.Join(parts, ", ")
	}
	var list []float64
	if json.Unmarshal(s.Prediction, &list) == nil && len(list) > 0 {
		sum := 0.0
		for _, v := range list {
			sum += v
		}
		return fmt.Sprintf("mean log-probability %.3f over %d tokens", sum/float64(len(list)), len(list))
	}
	return string(s.Prediction)
}

// goldText shows a right answer: a text as it is, a list of texts with "or" between.
func (b *builder) goldText(raw json.RawMessage) string {
	var text string
	var list []string
	switch {
	case json.Unmarshal(raw, &text) == nil:
	case json.Unmarshal(raw, &list) == nil:
		text = strings.Join(list, " or ")
	default:
		text = string(raw)
	}
	return clip(text, b.opts.MaxText)
}
