package recipe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/hint"
)

// Kind is what a stage does.
type Kind string

// The kinds, in the order in which a model passes through them.
const (
	KindVocab     Kind = "vocab"
	KindInit      Kind = "init"
	KindTrain     Kind = "train"
	KindPropagate Kind = "propagate"
	KindCalibrate Kind = "calibrate"
	KindTune      Kind = "tune"
	KindInstruct  Kind = "instruct"
	KindExport    Kind = "export"
	KindEval      Kind = "eval"
	KindReport    Kind = "report"
)

var kinds = []Kind{KindVocab, KindInit, KindTrain, KindPropagate, KindCalibrate, KindTune, KindInstruct, KindExport, KindEval, KindReport}

// section is the part of a recipe that has a kind's settings.
func (k Kind) section() string {
	if k == KindVocab {
		return "tokenizer"
	}
	return string(k)
}

// Stage is a piece of work whose result is kept.
type Stage struct {
	Name  string
	Kind  Kind
	Needs []*Stage

	options any     // the package's Options, with places of stages as they will be
	inputs  []input // files and folders from outside the run
	output  string  // what it makes, relative to its folder; "" for nothing but a record
	dir     string  // stages/NAME
	seed    uint64
	model   *Model // of an evaluation
}

// input is something from outside the run that a stage reads.
type input struct {
	name string // of the setting
	path string
	kind pathKind
}

// Out is where the stage's result lies.
func (s *Stage) Out() string { return filepath.Join(s.dir, s.output) }

// Model is a model of the grid: one given, or the result of a stage.
type Model struct {
	Name       string
	Role       string // source, target, donor, control, result
	Vocabulary string
	Method     string
	Step       string // one of those below; "" for a model that is not trained after propagation
	Seed       *uint64

	stage *Stage // nil for one that was given
	path  string
}

// Steps of models.
const (
	stepPhase      = "phase" // of a training: not its last
	stepTuned      = "tuned"
	stepInstructed = "instructed"
)

// Graph is a recipe's stages, each behind those that it needs, and its models.
type Graph struct {
	Stages []*Stage
	Models []*Model
}

// graph builds the stages of a recipe.
type graph struct {
	Graph
	r     *Recipe
	names map[string]bool
	err   error
}

// point is where a chain of stages has come to in the grid.
type point struct {
	label      string // of all choices so far, and of the seed if there are several
	choices    string // without the seed: what the key only speaks of
	vocabulary string
	method     string
	target     string // the instruct model that it is about, "" while that is open
	seed       uint64
	at         place // the model that it has come to
	control    bool
}

// place is a model that stages begin with: what another stage makes, or one from outside the run.
type place struct {
	stage *Stage
	path  string
}

func (p place) dir() string {
	if p.stage != nil {
		return p.stage.Out()
	}
	return p.path
}

// NewGraph lays out the stages of a recipe.
func NewGraph(r *Recipe) (*Graph, error) {
	g := &graph{r: r, names: map[string]bool{}}
	m := &r.Models
	if m.Source != "" {
		g.Models = append(g.Models, &Model{Name: "source", Role: "source", path: m.Source})
	}
	for _, t := range m.Target {
		g.Models = append(g.Models, &Model{Name: dash("target", g.targetLabel(t)), Role: "target", path: t})
	}
	for _, p := range g.donors() {
		if r.propagate != nil {
			g.propagate(p)
		} else {
			g.tunings(p)
		}
	}
	g.exports()
	g.evaluations()
	if g.err != nil {
		return nil, g.err
	}
	return &g.Graph, nil
}

func dash(parts ...string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" }), "-")
}

func orDefault[T any](list []variant[T], section string) []variant[T] {
	if list != nil {
		return list
	}
	return []variant[T]{{opts: sectionOf(section).value.(T)}}
}

// applying returns the variants that are for a chain of stages.
func applying[T any](list []variant[T], label string) []variant[T] {
	var out []variant[T]
	for _, v := range list {
		if v.applies == nil || v.applies(label) {
			out = append(out, v)
		}
	}
	return out
}

// targetLabel tells instruct models apart where there are several.
func (g *graph) targetLabel(target string) string {
	if len(g.r.Models.Target) < 2 || target == "" {
		return ""
	}
	return filepath.Base(target)
}

// add puts a stage behind the others.
func (g *graph) add(kind Kind, label, output string, options any, needs ...*Stage) *Stage {
	s := &Stage{Name: dash(string(kind), label), Kind: kind, output: output, options: options,
		Needs: slices.DeleteFunc(needs, func(n *Stage) bool { return n == nil })}
	s.dir = filepath.Join(g.r.RunDir, "stages", s.Name)
	if g.names[s.Name] {
		g.err = hint.Errorf("give the variants names of their own", "%s: two stages are called %s", g.r.File, s.Name)
	}
	g.names[s.Name] = true
	g.Stages = append(g.Stages, s)
	return s
}

// reads notes what a stage reads from outside the run.
func (s *Stage) reads(name string, kind pathKind, paths ...string) {
	for _, p := range paths {
		if p != "" {
			s.inputs = append(s.inputs, input{name, p, kind})
		}
	}
}

// begins notes the model that a stage begins with.
func (s *Stage) begins(name string, p place) {
	if p.stage != nil {
		s.Needs = append(s.Needs, p.stage)
		return
	}
	s.reads(name, modelPath, p.path)
}

// valid keeps the first complaint of a package about its settings.
func (g *graph) valid(s *Stage, err error) {
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("%s: %s (stage %s): %w", g.r.File, s.Kind.section(), s.Name, err)
	}
}

func (g *graph) withSeed(label string, seed uint64) string {
	if !g.r.seeds {
		return label
	}
	return dash(label, fmt.Sprintf("seed%d", seed))
}

// model names the model that a chain has come to, which a stage has made.
func (g *graph) model(role string, p point, step string) *Model {
	m := &Model{Name: p.at.stage.Name, Role: role, Vocabulary: p.vocabulary, Method: p.method, Step: step, stage: p.at.stage}
	if p.control && role == "result" {
		m.Role = "control"
	}
	if g.r.seeds {
		m.Seed = &p.seed
	}
	return m
}

// exports adds an export of every model that nothing follows from.
func (g *graph) exports() {
	for _, s := range slices.Clone(g.Stages) {
		if s.output != "model" || s.Kind == KindInit || slices.ContainsFunc(g.Stages, func(o *Stage) bool {
			return o.Kind != KindCalibrate && o.Kind != KindExport && slices.Contains(o.Needs, s)
		}) {
			continue
		}
		for _, v := range g.r.export {
			o := v.opts
			e := g.add(KindExport, dash(s.Name, v.label), "model.gguf", nil, s)
			o.Model, o.Out = s.Out(), e.Out()
			e.options = o
			g.valid(e, o.Validate())
		}
	}
}

// evaluations adds a stage for every model that is to be measured, and the report behind all.
func (g *graph) evaluations() {
	var all []*Stage
	if g.r.Eval != nil {
		if err := g.r.Eval.check(); err != nil && g.err == nil {
			g.err = hint.Wrap(fmt.Errorf("%s: eval: %w", g.r.File, err), hint.Of(err))
		}
		for _, m := range g.Models {
			if !g.r.Eval.wants(m) {
				continue
			}
			s := g.add(KindEval, m.Name, "evaluation", *g.r.Eval, m.stage)
			s.model = m
			if m.stage == nil {
				s.reads("model", modelPath, m.path)
			}
			g.r.Eval.inputs(s)
			all = append(all, s)
		}
	}
	report := g.add(KindReport, "", "", g.r.Report)
	report.Needs = all
	for _, s := range g.Stages {
		if s != report && !slices.Contains(all, s) {
			report.Needs = append(report.Needs, s)
		}
	}
}
