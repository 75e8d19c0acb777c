package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"lep/eval"
	"lep/internal/orderedjson"
	"lep/propagate"
	"lep/train"
)

// recordName is the file that says how a model folder was made.
const recordName = "lep.json"

// addEvaluation makes a row of the results of lep eval. The folder's name is the row's.
func (b *builder) addEvaluation(dir string, r *eval.Result) {
	folder, _ := r.Config["model"].(string)
	digest, _ := r.Config["model_digest"].(string)
	m := b.row(filepath.Base(absolute(dir)), folder)
	if folder != "" {
		m.Folder = folder
	}
	m.Digest = digest
	b.run.Score(m, r, b.opts.Tasks)
	if v, ok := r.Config["lep"].(string); ok && b.run.Lep == "" {
		b.run.Lep = v
	}
	b.evaluations = append(b.evaluations, evaluation{m.Name, dir})
}

// Score fills a model's tasks, groups and total from the results of its evaluation and adds
// their columns to the run. tasks says which group a task is of and what is measured.
func (r *Run) Score(m *Model, result *eval.Result, tasks []eval.Task) {
	m.Tasks, m.Groups = map[string]Figure{}, map[string]Figure{}
	names := make([]string, 0, len(result.Scores))
	for name := range result.Scores {
		names = append(names, name)
	}
	sort.Strings(names)
	ordered := make([]string, 0, len(names))
	for _, t := range tasks {
		if _, ok := result.Scores[t.Name]; ok {
			ordered = append(ordered, t.Name)
			r.addTask(Task{Name: t.Name, Group: t.Group, Score: strings.Join(t.Metrics, ", ")})
		}
	}
	for _, name := range names {
		if !slices.Contains(ordered, name) {
			r.addTask(Task{Name: name})
		}
	}
	for name, s := range result.Scores {
		m.Tasks[name] = *Sampled(s, result.Samples[name].Effective)
	}
	for name, v := range result.Groups {
		m.Groups[name] = *normal(v, result.GroupsStderr[name])
	}
	if result.Total != nil {
		m.Total = Plain(*result.Total)
		if result.TotalStderr != nil {
			m.Total = normal(*result.Total, *result.TotalStderr)
		}
	}
	m.Failed, m.Missing = result.Failed, result.Missing
	if v := result.Overall.CharactersPerSecond; v > 0 {
		m.CharactersPerSecond = Plain(v)
	}
}

// z95 is how many standard errors around it hold 95 % of a normal distribution.
const z95 = 1.959964

// normal is a figure with the interval of a normal distribution: means of many tasks are near one.
func normal(value, stderr float64) *Figure {
	return &Figure{Value: Number(value), Spread: &Spread{Number(stderr), Number(value - z95*stderr), Number(value + z95*stderr)}}
}

// row finds the model of a folder, or adds one with a name that no other has.
func (b *builder) row(name, folder string) *Model {
	for i := range b.run.Models {
		m := &b.run.Models[i]
		if folder != "" && m.Folder != "" && absolute(m.Folder) == absolute(folder) && len(m.Tasks) == 0 {
			return m
		}
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(b.run.Models, func(m Model) bool { return m.Name == name })
	}
	unique := name
	for i := 2; taken(unique); i++ {
		unique = fmt.Sprintf("%s (%d)", name, i)
	}
	b.run.Models = append(b.run.Models, Model{Name: unique, Folder: folder})
	return &b.run.Models[len(b.run.Models)-1]
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// addRecord reads lep.json: a propagation brings its projections, every record its settings.
func (b *builder) addRecord(path string) error {
	data, err := readFile(path)
	if err != nil {
		return err
	}
	var rec struct {
		Lep     string              `json:"lep"`
		Command string              `json:"command"`
		Options *orderedjson.Object `json:"options"`
		Result  json.RawMessage     `json:"result"`
	}
	if err := decode(path, data, &rec); err != nil {
		return err
	}
	if rec.Command == "" {
		return fmt.Errorf("%s: %w: no \"command\"", path, ErrNothing)
	}
	dir := filepath.Dir(path)
	step := Step{Name: rec.Command + " " + filepath.Base(absolute(dir)), Verb: rec.Command, State: "done", Settings: settings(rec.Options)}
	if b.run.Lep == "" {
		b.run.Lep = rec.Lep
	}
	var times struct {
		Seconds    Number `json:"seconds"`
		CPUSeconds Number `json:"cpu_seconds"`
	}
	if rec.Command == "propagate" && len(rec.Result) == 0 {
		return fmt.Errorf("%s: no \"result\"", path)
	}
	if len(rec.Result) > 0 {
		if err := decode(path, rec.Result, &times); err != nil {
			return err
		}
	}
	step.Seconds, step.CPUSeconds = times.Seconds, times.CPUSeconds
	b.run.Steps = append(b.run.Steps, step)
	if rec.Command == "propagate" {
		var r propagate.Result
		if err := decode(path, rec.Result, &r); err != nil {
			return err
		}
		for i := range r.Targets {
			b.addTarget(dir, &r, &r.Targets[i])
		}
	}
	return nil
}

// settings lists options in the order of the file; empty ones are left out.
func settings(o *orderedjson.Object) []Setting {
	if o == nil {
		return nil
	}
	var list []Setting
	for _, key := range o.Keys() {
		raw := string(o.Raw(key))
		if raw == `""` || raw == "null" || raw == "[]" || raw == "{}" {
			continue
		}
		if text := o.Text(key); text != "" {
			raw = text
		}
		list = append(list, Setting{key, raw})
	}
	return list
}

// addPropagation reads what lep propagate --json prints.
func (b *builder) addPropagation(path string, data []byte) error {
	var r propagate.Result
	if err := decode(path, data, &r); err != nil {
		return err
	}
	for i := range r.Targets {
		b.addTarget(r.Targets[i].Out, &r, &r.Targets[i])
	}
	return nil
}

// addTarget makes a row of a propagated model with its projections.
func (b *builder) addTarget(dir string, r *propagate.Result, t *propagate.TargetResult) {
	m := b.row(filepath.Base(absolute(dir)), dir)
	m.Role, m.VocabSize = "result", t.Rows
	if len(t.Modules) > 0 {
		m.Method = string(t.Modules[0].Method)
	}
	for _, p := range t.Modules {
		b.run.Projections = append(b.run.Projections, Projection{Model: m.Name, ModuleResult: p})
	}
	for _, n := range append(slices.Clone(r.Notes), t.Notes...) {
		b.run.Notes = append(b.run.Notes, m.Name+": "+n)
	}
	for _, c := range t.Checks {
		if !c.OK {
			b.run.Notes = append(b.run.Notes, fmt.Sprintf("%s: check %q not passed: %s", m.Name, c.Name, c.Detail))
		}
	}
}

// addMetrics reads the course of a training.
func (b *builder) addMetrics(path string) error {
	dir := filepath.Dir(path)
	records, err := train.ReadMetrics(dir)
	if err != nil {
		return err
	}
	b.run.Curves = append(b.run.Curves, Curves(filepath.Base(absolute(dir)), records)...)
	return nil
}

// maxPoints bounds the points of a curve; longer ones are thinned evenly.
const maxPoints = 400

// Curves makes the curves of a training: its loss, the bits per byte of its held-out texts, and the
// scores of tasks.
func Curves(name string, records []train.Record) []Curve {
	var out []Curve
	add := func(measure string, tokens int64, value float64) {
		i := slices.IndexFunc(out, func(c Curve) bool { return c.Measure == measure })
		if i < 0 {
			i = len(out)
			out = append(out, Curve{Name: name, Measure: measure})
		}
		out[i].X, out[i].Y = append(out[i].X, Number(tokens)), append(out[i].Y, Number(value))
	}
	for _, r := range records {
		if r.Loss != nil {
			add("loss", r.Tokens, *r.Loss)
		}
		if r.BitsPerByte != nil {
			add("bits_per_byte", r.Tokens, *r.BitsPerByte)
		}
		for _, task := range slices.Sorted(maps.Keys(r.Tasks)) {
			add(task, r.Tokens, r.Tasks[task])
		}
	}
	for i := range out {
		out[i].X, out[i].Y = thin(out[i].X), thin(out[i].Y)
	}
	return out
}

// thin keeps the first, the last and evenly chosen values between.
func thin(v []Number) []Number {
	if len(v) <= maxPoints {
		return v
	}
	out := make([]Number, maxPoints)
	for i := range out {
		out[i] = v[i*(len(v)-1)/(maxPoints-1)]
	}
	return out
}

// clip cuts a text to a number of characters and says how many are left out.
func clip(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return fmt.Sprintf("%s… (%d more characters)", string(runes[:limit]), len(runes)-limit)
}
