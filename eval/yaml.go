package eval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"lep/chat"
	"lep/chat/jinja"
	"lep/eval/metric"
	"lep/internal/hint"
	"lep/internal/strictyaml"
)

// definition is a task as a user writes it (docs/own-task.md).
type definition struct {
	Task         string   `yaml:"task"`
	Version      int      `yaml:"version"`
	Dataset      []string `yaml:"dataset"`  // files, relative to the YAML file
	Examples     []string `yaml:"examples"` // files of solved records
	NumFewshot   *int     `yaml:"num_fewshot"`
	System       string   `yaml:"system"`
	Prompt       string   `yaml:"prompt"`  // Jinja over the record's fields
	LeadIn       string   `yaml:"lead_in"` // what the answer goes on from
	Answer       string   `yaml:"answer"`  // Jinja
	Answers      []string `yaml:"answers"` // Jinja, further accepted answers
	Choices      []string `yaml:"choices"` // of method choice
	Stop         []string `yaml:"stop"`
	MaxNewTokens int      `yaml:"max_new_tokens"`
	Metrics      []string `yaml:"metrics"`

	dir                  string
	prompt, lead, answer *jinja.Template
	otherTexts           []*jinja.Template
}

const maxDefinition = 1 << 20

var taskName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// textMetrics grade a generated text, labelMetrics a choice.
var (
	textMetrics  = []string{"em", "f1", "rougel", "rouge1", "rouge2"}
	labelMetrics = []string{"acc", "f1_macro", "mcc"}
)

// ReadTask makes a task of a YAML file. Unknown keys are errors, as are templates that do not
// parse and metrics that do not fit.
func ReadTask(path string) (Task, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Task{}, err
	}
	if info.Size() > maxDefinition {
		return Task{}, fmt.Errorf("%s: %d bytes, more than %d", path, info.Size(), maxDefinition)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Task{}, err
	}
	d := &definition{dir: filepath.Dir(path), Version: 1, MaxNewTokens: 64}
	if err := strictyaml.Unmarshal(path, data, d); err != nil {
		return Task{}, err
	}
	if err := d.check(); err != nil {
		return Task{}, fmt.Errorf("%s: %w", path, err)
	}
	return d.task(), nil
}

// ReadTasks makes the tasks of all YAML files in a folder and the folders below it.
func ReadTasks(dir string) ([]Task, error) {
	var list []Task
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			return err
		}
		t, err := ReadTask(path)
		if err != nil {
			return err
		}
		list = append(list, t)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: no task: no file ends in .yaml", dir)
	}
	return list, err
}

func (d *definition) check() error {
	known, method := textMetrics, Generate
	if len(d.Choices) > 0 {
		known, method = labelMetrics, Choice
	}
	switch {
	case !taskName.MatchString(d.Task):
		return hint.Errorf("use small letters, digits, - and _", "task: %q is no name for a task", d.Task)
	case len(d.Dataset) == 0:
		return errors.New("dataset: no file")
	case d.Prompt == "":
		return errors.New("prompt: empty")
	case d.Answer == "":
		return errors.New("answer: empty")
	case len(d.Metrics) == 0:
		return fmt.Errorf("metrics: none; method %s has %s", method, strings.Join(known, ", "))
	case len(d.Choices) == 1:
		return errors.New("choices: want two or more")
	case d.MaxNewTokens < 1:
		return fmt.Errorf("max_new_tokens is %d, want 1 or more", d.MaxNewTokens)
	case d.NumFewshot != nil && *d.NumFewshot < 0:
		return fmt.Errorf("num_fewshot is %d, want 0 or more", *d.NumFewshot)
	case d.NumFewshot != nil && *d.NumFewshot > 0 && len(d.Examples) == 0:
		return errors.New("num_fewshot: there is no file of examples")
	case len(d.Choices) > 0 && (len(d.Stop) > 0 || len(d.Answers) > 0):
		return errors.New("choices: with them there is neither stop nor answers")
	}
	for _, m := range d.Metrics {
		if !slices.Contains(known, m) {
			return fmt.Errorf("metrics: %q; method %s has %s", m, method, strings.Join(known, ", "))
		}
	}
	for _, t := range []struct {
		name, source string
		to           **jinja.Template
	}{{"prompt", d.Prompt, &d.prompt}, {"lead_in", d.LeadIn, &d.lead}, {"answer", d.Answer, &d.answer}} {
		parsed, err := jinja.Parse(t.source)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		*t.to = parsed
	}
	for _, source := range d.Answers {
		parsed, err := jinja.Parse(source)
		if err != nil {
			return fmt.Errorf("answers: %w", err)
		}
		d.otherTexts = append(d.otherTexts, parsed)
	}
	return nil
}

func (d *definition) task() Task {
	t := Task{Name: d.Task, Group: Extra, Version: d.Version, Method: Generate, MaxNewTokens: d.MaxNewTokens, Stop: d.Stop, Metrics: d.Metrics,
		Requests: d.requests, Measure: d.measureText, Aggregate: d.means, NumFewshot: d.NumFewshot}
	if len(d.Choices) > 0 {
		t.Method, t.Measure, t.Aggregate = Choice, measureLabel, d.labels
	}
	return t
}

func (d *definition) read(names []string) ([]Record, error) {
	paths := make([]string, len(names))
	for i, n := range names {
		if paths[i] = n; !filepath.IsAbs(n) {
			paths[i] = filepath.Join(d.dir, filepath.FromSlash(n))
		}
	}
	return ReadFiles(paths)
}

// built is a record with its templates filled.
type built struct {
	question, solved []chat.Message
	answers          []string
}

func (d *definition) build(r Record) (built, error) {
	var fields map[string]json.RawMessage
	if err := r.Decode(&fields); err != nil {
		return built{}, err
	}
	vars := make(map[string]any, len(fields))
	for name, v := range fields {
		vars[name] = v
	}
	fill := func(name string, t *jinja.Template) (string, error) {
		out, err := t.Render(vars, time.Now, jinja.Limits{})
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", r.Place(), name, err)
		}
		return out.Text, nil
	}
	prompt, err := fill("prompt", d.prompt)
	if err != nil {
		return built{}, err
	}
	lead, err := fill("lead_in", d.lead)
	if err != nil {
		return built{}, err
	}
	var b built
	for i, t := range append([]*jinja.Template{d.answer}, d.otherTexts...) {
		text, err := fill("answer", t)
		if err != nil {
			return built{}, err
		}
		if text == "" && i == 0 {
			return built{}, fmt.Errorf("%s: answer: empty", r.Place())
		}
		b.answers = append(b.answers, text)
	}
	if len(d.Choices) > 0 && !slices.Contains(d.Choices, b.answers[0]) {
		return built{}, fmt.Errorf("%s: answer: %q is none of %s", r.Place(), b.answers[0], strings.Join(d.Choices, ", "))
	}
	user := chat.Message{Role: "user", Content: prompt}
	b.question, b.solved = []chat.Message{user}, []chat.Message{user, {Role: "assistant", Content: strings.TrimLeft(lead+" "+b.answers[0], " ")}}
	if lead != "" {
		b.question = append(b.question, chat.Message{Role: "assistant", Content: lead})
	}
	return b, nil
}

func (d *definition) requests(ctx context.Context, p Plan) ([]Request, error) {
	records, err := d.read(d.Dataset)
	if err != nil {
		return nil, err
	}
	var shots [][]chat.Message
	if p.NumFewshot > 0 && len(d.Examples) > 0 {
		examples, err := d.read(d.Examples)
		if err != nil {
			return nil, err
		}
		if len(examples) < p.NumFewshot {
			p.Warn("%s: %d examples asked for, the data has %d", d.Task, p.NumFewshot, len(examples))
		}
		for _, r := range examples[:min(p.NumFewshot, len(examples))] {
			b, err := d.build(r)
			if err != nil {
				return nil, err
			}
			shots = append(shots, b.solved)
		}
	} else if p.NumFewshot > 0 {
		p.Warn("%s: %d examples asked for, the task has none", d.Task, p.NumFewshot)
	}
	if p.Limit > 0 {
		records = records[:min(p.Limit, len(records))]
	}
	var system []chat.Message
	if d.System != "" {
		system = []chat.Message{{Role: "system", Content: d.System}}
	}
	fits := func(m []chat.Message) (bool, error) { return p.Fits(slices.Concat(system, m)) }
	var list []Request
	for i, r := range records {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := d.build(r)
		if err != nil {
			return nil, err
		}
		q := Request{ID: i, Choices: d.Choices, Gold: any(b.answers), Answer: " " + b.answers[0]}
		if len(d.Choices) > 0 {
			q.Gold = b.answers[0]
		}
		if q.Messages, q.TooLong, err = Assemble(shots, b.question, fits); err != nil {
			return nil, err
		}
		q.Messages = slices.Concat(system, q.Messages)
		list = append(list, q)
	}
	return list, nil
}

func (d *definition) measureText(s Sample) (m Measured, err error) {
	var answers []string
	if err := json.Unmarshal(s.Gold, &answers); err != nil || len(answers) == 0 {
		return m, errors.New("gold: want a list of accepted answers")
	}
	text, err := s.Text()
	if err != nil {
		return m, err
	}
	m.Values = map[string]float64{}
	for _, name := range d.Metrics {
		switch name {
		case "em":
			m.Values[name] = metric.SQuADExact(text, answers)
		case "f1":
			m.Values[name] = metric.SQuADF1(text, answers)
		default:
			if m.Values[name], err = bestRouge(name, text, answers); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

func bestRouge(name, text string, answers []string) (float64, error) {
	prediction, err := metric.RougeTokens(text)
	if err != nil {
		return 0, err
	}
	best := 0.0
	for _, a := range answers {
		reference, err := metric.RougeTokens(a)
		if err != nil {
			return 0, err
		}
		r := metric.RougeL(reference, prediction)
		switch name {
		case "rouge1":
			r = metric.RougeN(1, reference, prediction)
		case "rouge2":
			r = metric.RougeN(2, reference, prediction)
		}
		best = max(best, r.FMeasure)
	}
	return best, nil
}

func measureLabel(s Sample) (m Measured, err error) {
	if m.Gold, err = s.GoldText(); err != nil {
		return m, err
	}
	m.Predicted, err = s.Picked()
	m.Values = map[string]float64{"acc": 0}
	if m.Gold == m.Predicted {
		m.Values["acc"] = 1
	}
	return m, err
}

func (d *definition) means(list []Measured) (map[string]float64, error) {
	out := map[string]float64{}
	for _, name := range d.Metrics {
		values := make([]float64, len(list))
		for i, m := range list {
			values[i] = m.Values[name]
		}
		out[name] = metric.Mean(values)
	}
	return out, nil
}

func (d *definition) labels(list []Measured) (map[string]float64, error) {
	gold, predicted := make([]string, len(list)), make([]string, len(list))
	for i, m := range list {
		gold[i], predicted[i] = m.Gold, m.Predicted
	}
	out := map[string]float64{}
	for _, name := range d.Metrics {
		switch name {
		case "acc":
			out[name] = metric.Accuracy(gold, predicted)
		case "f1_macro":
			out[name] = metric.F1Macro(gold, predicted)
		case "mcc":
			out[name] = metric.MCC(gold, predicted)
		}
	}
	return out, nil
}
