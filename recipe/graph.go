package recipe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/propagate"
	"lep/train"
	"lep/vocab/build"
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
	Step       string // propagated, tuned, instructed
	Seed       *uint64

	stage *Stage // nil for one that was given
	path  string
}

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
	seed       uint64
	base       *Stage // with the donor's weights; nil: path
	path       string
	control    bool
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
		g.propagate(p)
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
	if len(g.r.Models.Target) < 2 {
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

// donors lays out vocabularies, first rows and training, for every seed.
func (g *graph) donors() []point {
	r := g.r
	var out []point
	for _, seed := range r.Seeds {
		for _, d := range r.Models.Donor {
			label := ""
			if len(r.Models.Donor) > 1 {
				label = filepath.Base(d)
			}
			p := point{label: g.withSeed(label, seed), choices: label, vocabulary: label, seed: seed, path: d}
			if seed == r.Seeds[0] {
				g.Models = append(g.Models, &Model{Name: dash("donor", label), Role: "donor", Vocabulary: label, path: d})
			}
			out = append(out, p)
		}
	}
	for _, v := range r.tokenizer {
		vocab := g.vocab(v)
		vocabulary := v.label
		if vocabulary == "" {
			vocabulary = string(v.opts.Scenario)
		}
		if r.propagate == nil && r.train == nil && r.init == nil {
			continue
		}
		for _, i := range orDefault(r.init, "init") {
			first := g.init(v.label, vocab, i)
			for _, seed := range r.Seeds {
				p := point{label: dash(v.label, i.label), choices: dash(v.label, i.label), vocabulary: dash(vocabulary, i.label), seed: seed, base: first}
				out = append(out, g.trained(p)...)
			}
		}
	}
	return out
}

func (g *graph) withSeed(label string, seed uint64) string {
	if !g.r.seeds {
		return label
	}
	return dash(label, fmt.Sprintf("seed%d", seed))
}

func (g *graph) vocab(v variant[build.Options]) *Stage {
	o := v.opts
	o.Base = g.r.Models.Source
	s := g.add(KindVocab, v.label, "vocabulary", o)
	g.valid(s, "tokenizer", o.Validate())
	s.reads("base", modelPath, o.Base)
	s.reads("add", modelPath, o.Add)
	s.reads("corpus", dataPath, o.Files...)
	s.reads("held_out", dataPath, o.HeldOut...)
	return s
}

// valid keeps the first complaint of a package about its settings.
func (g *graph) valid(s *Stage, section string, err error) {
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("%s: %s (stage %s): %w", g.r.File, section, s.Name, err)
	}
}

func (g *graph) init(label string, vocab *Stage, v variant[propagate.EmbedOptions]) *Stage {
	o := v.opts
	s := g.add(KindInit, dash(label, v.label), "model", nil, vocab)
	o.Model, o.Tokenizer, o.Out = g.r.Models.Source, vocab.Out(), s.Out()
	s.options = o
	g.valid(s, "init", o.Validate())
	s.reads("model", modelPath, o.Model)
	return s
}

// trained lays out the trainings that begin at a point; without a section train the first rows are
// propagated as they are.
func (g *graph) trained(p point) []point {
	variants := applying(g.r.train, p.choices)
	if len(variants) == 0 {
		p.label, p.control = g.withSeed(p.label, p.seed), true
		g.Models = append(g.Models, g.model("donor", p, "", p.base))
		return []point{p}
	}
	var out []point
	for _, v := range variants {
		q := p
		q.label, q.choices = dash(g.withSeed(p.label, p.seed), v.label), dash(p.choices, v.label)
		q.method = v.label
		if q.control = v.skip; !v.skip {
			s := g.training(KindTrain, "train", q.label, v.opts, p.base, p.seed)
			q.base = s
			g.Models = append(g.Models, g.model("donor", q, "", s))
		}
		out = append(out, q)
	}
	return out
}

// training adds a stage that trains what a stage made.
func (g *graph) training(kind Kind, section, label string, o train.Options, from *Stage, seed uint64) *Stage {
	s := g.add(kind, label, "model", nil, from)
	o.Model, o.Out, o.Seed, s.seed = from.Out(), s.Out(), seed, seed
	s.options = o
	g.valid(s, section, o.Validate())
	s.reads("data", dataPath, o.Data...)
	s.reads("eval_data", dataPath, o.EvalData...)
	return s
}

// model names the model that a stage made.
func (g *graph) model(role string, p point, step string, s *Stage) *Model {
	m := &Model{Role: role, Vocabulary: p.vocabulary, Method: p.method, Step: step, stage: s}
	if p.control && role == "result" {
		m.Role = "control"
	}
	if g.r.seeds {
		m.Seed = &p.seed
	}
	if s != nil {
		m.Name = s.Name
	}
	return m
}

// propagate lays out what follows from a donor.
func (g *graph) propagate(p point) {
	r := g.r
	for _, target := range r.Models.Target {
		if r.propagate == nil {
			break
		}
		for _, v := range applying(r.propagate, p.choices) {
			q := p
			q.label, q.choices = dash(p.label, g.targetLabel(target), v.label), dash(p.choices, g.targetLabel(target), v.label)
			method := v.label
			if method == "" {
				method = string(v.opts.Method)
			}
			q.method = dash(method, p.method)
			s := g.propagation(q, target, v.opts)
			g.Models = append(g.Models, g.model("result", q, "", s))
			g.tunings(q, target, s)
		}
	}
}

func (g *graph) propagation(p point, target string, o propagate.Options) *Stage {
	m := &g.r.Models
	s := g.add(KindPropagate, p.label, "model", nil, p.base)
	o.Source, o.Donor = m.Source, p.path
	if p.base != nil {
		o.Donor = p.base.Out()
	} else {
		s.reads("donor", modelPath, p.path)
	}
	o.Targets = []propagate.Target{{Model: target, Out: s.Out()}}
	o.Language, o.License, o.Datasets = m.Language, m.License, m.Datasets
	s.options = o
	g.valid(s, "propagate", o.Validate())
	s.reads("source", modelPath, m.Source)
	s.reads("target", modelPath, target)
	s.reads("occurrences", filePath, o.Occurrences)
	s.reads("chat_template", filePath, o.ChatTemplate)
	return s
}

// tunings lays out self-calibration and instruction tuning of a result.
func (g *graph) tunings(p point, target string, result *Stage) {
	r := g.r
	calibrations, tunings := applying(r.calibrate, p.choices), applying(r.tune, p.choices)
	if len(tunings) == 0 || len(calibrations) == 0 {
		calibrations = []variant[Calibrate]{{skip: true}}
	}
	for _, c := range calibrations {
		var answers *Stage
		if !c.skip {
			answers = g.answers(p, target, result, c)
		}
		label := dash(p.label, c.label)
		for _, t := range orSkip(tunings) {
			q, tuned := p, result
			if !t.skip {
				o := t.opts
				q.label, q.choices = dash(label, t.label), dash(p.choices, c.label, t.label)
				q.method = dash(p.method, c.label, t.label)
				tuned = g.tuning(KindTune, q, o, result, answers)
				g.Models = append(g.Models, g.model("result", q, "tuned", tuned))
			}
			for _, i := range applying(r.instruct, q.choices) {
				if i.skip {
					continue
				}
				last := q
				last.label, last.method = dash(q.label, i.label), dash(q.method, i.label)
				s := g.tuning(KindInstruct, last, i.opts, tuned, nil)
				g.Models = append(g.Models, g.model("result", last, "instructed", s))
			}
		}
	}
}

func orSkip[T any](list []variant[T]) []variant[T] {
	if len(list) > 0 {
		return list
	}
	return []variant[T]{{skip: true}}
}

func (g *graph) tuning(kind Kind, p point, o Tune, from, answers *Stage) *Stage {
	if answers != nil {
		spec := answers.Out()
		if o.AnswersWeight != 1 {
			spec = fmt.Sprintf("%s=%g", spec, o.AnswersWeight)
		}
		o.Data = append([]string{spec}, o.Data...)
	}
	s := g.training(kind, string(kind), p.label, o.Options, from, p.seed)
	s.inputs = slices.DeleteFunc(s.inputs, func(in input) bool { return answers != nil && strings.HasPrefix(in.path, answers.dir) })
	o.Options = s.options.(train.Options)
	s.options = o
	if answers != nil {
		s.Needs = append(s.Needs, answers)
	}
	return s
}

// answers adds the stage that asks a model; the original instruct model is asked once for the whole grid.
func (g *graph) answers(p point, target string, result *Stage, v variant[Calibrate]) *Stage {
	o := v.opts
	label := dash(g.withSeed("", p.seed), g.targetLabel(target), v.label)
	var needs *Stage
	if o.From == fromResult {
		label, needs = dash(p.label, v.label), result
	}
	if i := slices.IndexFunc(g.Stages, func(s *Stage) bool { return s.Name == dash(string(KindCalibrate), label) }); i >= 0 && needs == nil {
		return g.Stages[i]
	}
	s := g.add(KindCalibrate, label, "answers.jsonl", nil, needs)
	o.Seed, s.seed = p.seed, p.seed
	switch {
	case needs != nil:
		o.Model = needs.Out()
	case o.API == "":
		o.Model = target
		s.reads("model", modelPath, target)
	}
	o.Out, o.Rejected = s.Out(), filepath.Join(s.dir, "rejected.jsonl")
	s.options = o
	g.valid(s, "calibrate", o.Options.Validate())
	s.reads("prompts", dataPath, o.Prompts...)
	return s
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
			g.valid(e, "export", o.Validate())
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
