package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lep/eval"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/train"
)

// Options say how folders are read.
type Options struct {
	// Tasks are those whose samples can be graded and compared; others are shown without marks.
	Tasks []eval.Task
	// SamplesPerTask is how many samples of a task are shown, 0 for none; MaxText how many
	// characters of a prompt or answer.
	SamplesPerTask int
	MaxText        int
	// Reference is the name of the model that others are held against, "" for Run.Reference or the
	// first that fits.
	Reference string
	// Seed is that of the paired resampling.
	Seed int64
}

// DefaultOptions shows 100 samples of each task.
func DefaultOptions() Options { return Options{SamplesPerTask: 100, MaxText: 4000, Seed: 1} }

// Validate checks ranges.
func (o Options) Validate() error {
	if o.SamplesPerTask < 0 || o.MaxText < 1 {
		return fmt.Errorf("report: %d samples of a task, %d characters of a text: want none or more, and 1 or more", o.SamplesPerTask, o.MaxText)
	}
	return nil
}

// maxFile bounds the files that are read whole, except samples.
const maxFile = 256 << 20

// ErrNothing is what a path that holds no results is.
var ErrNothing = errors.New("no results of lep run, eval, train or propagate")

// Open makes one Run of folders and files: those of lep run, lep eval, lep train and lep
// propagate, the JSON that lep propagate prints, or folders of such folders, in any mix. Several folders of one
// model become one row. Evaluations bring their samples; with two or more, models are compared on
// the samples that they share.
func Open(ctx context.Context, paths []string, opts Options) (*Run, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, opts: opts, run: &Run{Format: Format, Title: "Results"}}
	for _, p := range paths {
		if err := b.add(p); err != nil {
			return nil, err
		}
	}
	if err := b.refer(); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	return b.run, nil
}

// refer settles which model others are held against.
func (b *builder) refer() error {
	if b.opts.Reference == "" {
		return nil
	}
	var names []string
	for _, m := range b.run.Models {
		if m.Name == b.opts.Reference {
			b.run.Reference = m.Name
			return nil
		}
		names = append(names, m.Name)
	}
	return hint.Errorf("the models are "+strings.Join(names, ", "), "no model %q to hold others against", b.opts.Reference)
}

// Save writes a run's results.json, whole or not at all.
func Save(path string, r *Run) error {
	r.Format = Format
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomic.WriteFile(path, append(data, '\n'), true)
}

// builder collects what paths hold.
type builder struct {
	ctx  context.Context
	opts Options
	run  *Run
	// evaluations are the folders with samples, by model.
	evaluations []evaluation
	runs        int // of lep run
}

type evaluation struct {
	model string
	dir   string
}

// add reads a path.
func (b *builder) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return b.addFile(path)
	}
	found, err := b.addFolder(path)
	if err != nil || found {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		ok, err := b.addFolder(filepath.Join(path, e.Name()))
		if err != nil {
			return err
		}
		found = found || ok
	}
	if !found {
		return hint.Errorf("give folders that hold results.json, metrics.jsonl or lep.json", "%s: %w", path, ErrNothing)
	}
	return nil
}

// addFolder reads what a folder holds: a folder may be several things at once.
func (b *builder) addFolder(dir string) (found bool, err error) {
	if err := b.ctx.Err(); err != nil {
		return false, err
	}
	for _, part := range []struct {
		file string
		read func(path string) error
	}{
		{eval.ResultsName, b.addResults},
		{recordName, b.addRecord},
		{train.MetricsFile, b.addMetrics},
	} {
		path := filepath.Join(dir, part.file)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := part.read(path); err != nil {
			if errors.Is(err, ErrNothing) {
				continue
			}
			return false, err
		}
		found = true
	}
	return found, nil
}

// addFile reads a file that was named itself.
func (b *builder) addFile(path string) error {
	switch filepath.Base(path) {
	case train.MetricsFile:
		return b.addMetrics(path)
	case recordName:
		return b.addRecord(path)
	}
	return b.addResults(path)
}

// addResults reads results.json of lep run or lep eval, or the JSON that lep propagate prints.
func (b *builder) addResults(path string) error {
	data, err := readFile(path)
	if err != nil {
		return err
	}
	doc, err := orderedjson.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case doc.Has("format"):
		if f := doc.Text("format"); f != Format {
			return hint.Errorf("it was written by another version of lep", "%s: format: got %q, want %q", path, f, Format)
		}
		var r Run
		if err := decode(path, data, &r); err != nil {
			return err
		}
		return b.addRun(filepath.Dir(path), &r)
	case doc.Has("results") && doc.Has("n-samples"):
		var r eval.Result
		if err := decode(path, data, &r); err != nil {
			return err
		}
		b.addEvaluation(filepath.Dir(path), &r)
		return nil
	case doc.Has("targets") && doc.Has("donor"):
		return b.addPropagation(path, data)
	}
	return hint.Errorf("a results.json has \"results\" (lep eval) or \"format\" (lep run)", "%s: %w", path, ErrNothing)
}

// addRun takes over a run; its evaluations bring their samples.
func (b *builder) addRun(dir string, r *Run) error {
	for i, m := range r.Models {
		if m.Name == "" {
			return fmt.Errorf("%s: models[%d]: no name", filepath.Join(dir, eval.ResultsName), i)
		}
		if m.Evaluation == "" {
			continue
		}
		if !filepath.IsLocal(m.Evaluation) {
			return fmt.Errorf("%s: models[%d]: evaluation: %q leads out of the run's folder", filepath.Join(dir, eval.ResultsName), i, m.Evaluation)
		}
		b.evaluations = append(b.evaluations, evaluation{m.Name, filepath.Join(dir, m.Evaluation)})
	}
	b.runs++
	if b.runs == 1 {
		before := *b.run
		*b.run = *r
		b.run.Models = append(b.run.Models, before.Models...)
		b.run.Steps = append(b.run.Steps, before.Steps...)
		b.run.Curves = append(b.run.Curves, before.Curves...)
		b.run.Projections = append(b.run.Projections, before.Projections...)
		b.run.Notes = append(b.run.Notes, before.Notes...)
		return nil
	}
	prefix := filepath.Base(dir) + ": "
	b.run.append(r, prefix)
	for i := len(b.evaluations) - 1; i >= 0 && strings.HasPrefix(b.evaluations[i].dir, dir+string(filepath.Separator)); i-- {
		b.evaluations[i].model = prefix + b.evaluations[i].model
	}
	return nil
}

// append adds a further run with a prefix to the names of its models.
func (r *Run) append(o *Run, prefix string) {
	for _, m := range o.Models {
		m.Name = prefix + m.Name
		r.Models = append(r.Models, m)
	}
	for _, s := range o.Steps {
		s.Name = prefix + s.Name
		r.Steps = append(r.Steps, s)
	}
	for _, c := range o.Curves {
		c.Name = prefix + c.Name
		r.Curves = append(r.Curves, c)
	}
	for _, p := range o.Projections {
		p.Model = prefix + p.Model
		r.Projections = append(r.Projections, p)
	}
	for _, a := range o.Answers {
		list := make([]Answer, len(a.Answers))
		for i, x := range a.Answers {
			x.Model = prefix + x.Model
			list[i] = x
		}
		a.Answers = list
		r.Answers = append(r.Answers, a)
	}
	for _, t := range o.Tasks {
		r.addTask(t)
	}
	r.Cuts = append(r.Cuts, o.Cuts...)
	r.Reproduce = append(r.Reproduce, o.Reproduce...)
	for _, n := range o.Notes {
		r.Notes = append(r.Notes, prefix+n)
	}
}

// addTask adds a column once.
func (r *Run) addTask(t Task) {
	for _, old := range r.Tasks {
		if old.Name == t.Name {
			return
		}
	}
	r.Tasks = append(r.Tasks, t)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// decode reads JSON; an error names the line and the field.
func decode(path string, data []byte, to any) error {
	err := json.Unmarshal(data, to)
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return fmt.Errorf("%s:%d: %q: got %s, want %s", path, line(data, wrong.Offset), wrong.Field, wrong.Value, kind(wrong))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d: %w", path, line(data, syntax.Offset), err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func line(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(int64(len(data)), max(0, offset))], []byte("\n"))
}

// kind names what JSON should have held.
func kind(e *json.UnmarshalTypeError) string {
	switch name := e.Type.Kind().String(); {
	case strings.HasPrefix(name, "float"), strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a number"
	case name == "struct", name == "map":
		return "an object"
	case name == "slice":
		return "a list"
	case name == "bool":
		return "true or false"
	default:
		return "a " + name
	}
}
