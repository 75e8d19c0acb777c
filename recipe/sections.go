package recipe

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"lep/calibrate"
	"lep/eval"
	"lep/export"
	"lep/internal/strictyaml"
	"lep/propagate"
	"lep/recipe/spec"
	"lep/train"
	"lep/vocab/build"
)

// Names is one name or a list of them.
type Names []string

// UnmarshalYAMLNode reads either form.
func (l *Names) UnmarshalYAMLNode(n *strictyaml.Node) error {
	if n.Kind == strictyaml.Scalar {
		*l = Names{n.Text}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// Models are the checkpoints that a run starts from: folders or hub ids.
type Models struct {
	Source string `yaml:"source"` // the base model
	Target Names  `yaml:"target"` // instruct models of its family
	// Donor is the base with a new vocabulary, trained: the sections tokenizer, init and train make it
	// where it is not given; without tokenizer, train goes on with the base as it is.
	Donor Names `yaml:"donor"`
	// For the cards of released models.
	Language string   `yaml:"language"`
	License  string   `yaml:"license"`
	Datasets []string `yaml:"datasets"`
}

// Calibrate is the section for a model's own answers.
type Calibrate struct {
	calibrate.Options `yaml:",inline"`
	// From is whose answers are taken: target (the original instruct model) or result (the one that is
	// tuned); empty: target where there is one, or a server.
	From string `yaml:"from"`
}

// Train is a training: of the donor, or of what came of it, on data and on the answers of calibrate.
// What comes out is always a model: an adapter is merged.
type Train struct {
	train.Options `yaml:",inline"`
	// AnswersWeight is the share of the answers in a mixture with data, as a weight behind a file is;
	// 0 leaves them out.
	AnswersWeight float64 `yaml:"answers_weight"`
	// AlphaScale divides lora_alpha when an adapter is merged.
	AlphaScale float64 `yaml:"alpha_scale"`
}

// Validate reports the first setting that cannot be.
func (o *Train) Validate() error {
	if !(o.AnswersWeight >= 0) || math.IsInf(o.AnswersWeight, 1) {
		return fmt.Errorf("answers_weight is %v, want a number from 0 on", o.AnswersWeight)
	}
	if !(o.AlphaScale > 0) || math.IsInf(o.AlphaScale, 1) {
		return fmt.Errorf("alpha_scale is %v, want a number above 0", o.AlphaScale)
	}
	return o.Options.Validate()
}

// Eval says what is measured, and on which models.
type Eval struct {
	Models []string `yaml:"models"` // of source, target, donor, result, tuned, instructed, phase; empty: all but phase
	// HeldOut are sets of texts, by language or any name: bits per byte and characters per token.
	HeldOut  map[string][]string `yaml:"held_out"`
	MaxTexts int                 `yaml:"max_texts"` // of each set, 0 for all

	Tasks        []string `yaml:"tasks"`       // darumeru, a group, names, or YAML files
	TaskModels   []string `yaml:"task_models"` // those of models that get them; empty: all
	Data         []string `yaml:"data"`        // folders of the tasks' data
	Wording      string   `yaml:"wording"`
	System       string   `yaml:"system_instruction"`
	eval.Options `yaml:",inline"`

	// Prompts are answered by every model, for the report and for the speed of generation: a file of
	// JSON lines {"prompt", "lang"} or of plain lines.
	Prompts    string `yaml:"prompts"`
	MaxPrompts int    `yaml:"max_prompts"`
	MaxAnswer  int    `yaml:"max_answer_tokens"`
}

// Report is the section for the page.
type Report struct {
	Title string `yaml:"title"`
	Lead  string `yaml:"lead"`
}

// section is a part of a recipe: a struct with its defaults, and the keys in it that the run
// fills in itself.
type section struct {
	name    string
	about   string
	value   any // the defaults
	managed []string
	form    spec.Form
	paths   map[string]pathKind
}

// pathKind says what a value names, so that relative paths can be made absolute.
type pathKind int

const (
	modelPath pathKind = iota + 1 // a folder, or a hub id if there is no such folder
	dataPath                      // file, folder or glob, with =WEIGHT
	filePath
	taskPath // a YAML file, or a task's name
)

// trainManaged are the keys of a training that follow from the stages.
var trainManaged = []string{"model", "output_dir", "threads", "blas", "memory", "resume_from_checkpoint", "seed"}

var trainPaths = map[string]pathKind{"data": dataPath, "eval_data": dataPath}

// sections lists what a recipe may hold, in the order of the stages. The one-value keys beside them
// are in plainKeys.
func sections() []section {
	tuning := defaultTune()
	grid, phased := spec.Form{Grid: true}, spec.Form{Grid: true, Phases: true}
	noAnswers := append([]string{"answers_weight"}, trainManaged...)
	return []section{
		{name: "model", about: "the checkpoints to start from", value: Models{},
			paths: map[string]pathKind{"source": modelPath, "target": modelPath, "donor": modelPath}},
		{name: "tokenizer", about: "a vocabulary with the new language", value: build.DefaultOptions(), form: grid, managed: []string{"base"},
			paths: map[string]pathKind{"add": modelPath, "corpus": dataPath, "held_out": dataPath}},
		{name: "init", about: "first rows for it", value: propagate.DefaultEmbedOptions(), form: grid, managed: []string{"model", "tokenizer", "out", "force"}},
		{name: "train", about: "the donor: continued pre-training of the base model", value: defaultTrain(), form: phased,
			managed: noAnswers, paths: trainPaths},
		{name: "propagate", about: "into the instruct model", value: defaultPropagate(), form: grid,
			managed: []string{"source", "donor", "targets", "force", "language", "license", "datasets"},
			paths:   map[string]pathKind{"occurrences": filePath, "chat_template": filePath}},
		{name: "calibrate", about: "a model's own answers as training data", value: defaultCalibrate(), form: grid,
			managed: []string{"out", "rejected", "engine", "seed"}, paths: map[string]pathKind{"prompts": dataPath}},
		{name: "tune", about: "training of the result on these answers", value: tuning, form: phased, managed: trainManaged, paths: trainPaths},
		{name: "instruct", about: "further instruction tuning on data of your own", value: tuning, form: phased, managed: noAnswers, paths: trainPaths},
		{name: "eval", about: "what is measured", value: defaultEval(),
			paths: map[string]pathKind{"held_out": dataPath, "tasks": taskPath, "data": filePath, "wording": filePath, "prompts": filePath}},
		{name: "export", about: "the last models in other formats", value: export.DefaultOptions(), form: grid, managed: []string{"model", "out"}},
		{name: "report", about: "the page", value: Report{}},
	}
}

// defaultPropagate has neighbours and spectra made for the report.
func defaultPropagate() propagate.Options {
	o := propagate.DefaultOptions()
	o.Diagnose = 12
	return o
}

func defaultCalibrate() Calibrate {
	return Calibrate{Options: calibrate.DefaultOptions()}
}

func defaultTrain() Train {
	return Train{Options: train.DefaultOptions(), AnswersWeight: 1, AlphaScale: 1}
}

// defaultTune trains all parameters gently on conversations.
func defaultTune() Train {
	t := defaultTrain()
	t.Task, t.Options.Train, t.LearningRate = train.SFT, train.All, 1e-5
	return t
}

func defaultEval() Eval {
	return Eval{Options: eval.DefaultOptions(), MaxTexts: 200, MaxPrompts: 8, MaxAnswer: 64}
}

// Whose answers Calibrate.From names.
const (
	fromTarget = "target"
	fromResult = "result"
)

// resolvePaths makes the paths of a document absolute; those in it are relative to dir.
func resolvePaths(root *strictyaml.Node, dir string) error {
	if n := root.Get("run_dir"); n != nil {
		resolve(n, filePath, dir)
	}
	for _, s := range sections() {
		n := root.Get(s.name)
		if n == nil {
			continue
		}
		for _, m := range spec.Layers(n) {
			for key, kind := range s.paths {
				if value := m.Get(key); value != nil {
					resolve(value, kind, dir)
				}
			}
		}
	}
	return nil
}

func resolve(n *strictyaml.Node, kind pathKind, dir string) {
	for _, item := range n.List {
		resolve(item, kind, dir)
	}
	for _, p := range n.Map {
		resolve(p.Value, kind, dir)
	}
	if n.Kind != strictyaml.Scalar || n.Text == "" || filepath.IsAbs(n.Text) || strings.HasPrefix(n.Text, "${") {
		return
	}
	joined := filepath.Join(dir, n.Text)
	switch kind {
	case modelPath:
		if _, err := os.Stat(joined); err != nil && !strings.HasPrefix(n.Text, ".") {
			return // a hub id
		}
	case taskPath:
		if ext := filepath.Ext(n.Text); ext != ".yaml" && ext != ".yml" {
			return
		}
	}
	n.Text = joined
}

// variant is one point of a section's grid.
type variant[T any] struct {
	label   string
	skip    bool
	applies func(label string) bool // to a chain of stages
	opts    T
	phases  []phase[T] // in the place of opts, if there are any
}

// phase is a step of a variant.
type phase[T any] struct {
	label string
	opts  T
}

// steps are what the variant does, one after the other.
func (v variant[T]) steps() []phase[T] {
	if v.phases != nil {
		return v.phases
	}
	return []phase[T]{{opts: v.opts}}
}

// decodeSection reads all variants of a section of the type of its defaults.
func decodeSection[T any](root *strictyaml.Node, name string) ([]variant[T], error) {
	s := sectionOf(name)
	defaults := s.value.(T)
	n := root.Get(name)
	if err := s.refuseManaged(n); err != nil {
		return nil, err
	}
	list, err := spec.Variants(n, reflect.TypeFor[T](), s.form.Phases)
	if err != nil {
		return nil, err
	}
	var out []variant[T]
	for _, v := range list {
		one := variant[T]{label: v.Label, skip: v.Skip, applies: v.Applies, opts: defaults}
		if err := v.Node.Decode(&one.opts); err != nil {
			return nil, err
		}
		for _, p := range v.Phases {
			step := phase[T]{p.Label, defaults}
			if err := p.Node.Decode(&step.opts); err != nil {
				return nil, err
			}
			one.phases = append(one.phases, step)
		}
		out = append(out, one)
	}
	return out, nil
}

// decodePlain reads a section without a grid; false if it is not there.
func decodePlain[T any](root *strictyaml.Node, name string) (T, bool, error) {
	value := sectionOf(name).value.(T)
	n := root.Get(name)
	if n == nil || n.Kind == strictyaml.Null {
		return value, false, nil
	}
	return value, true, n.Decode(&value)
}

func sectionOf(name string) section {
	list := sections()
	return list[slices.IndexFunc(list, func(s section) bool { return s.name == name })]
}

// refuseManaged refuses keys that follow from the other stages.
func (s *section) refuseManaged(n *strictyaml.Node) error {
	if n == nil {
		return nil
	}
	for _, m := range spec.Layers(n) {
		for _, key := range s.managed {
			if value := m.Get(key); value != nil {
				advice := "leave it out: it follows from the recipe's other stages"
				switch key {
				case "seed":
					advice = "give the seed once, outside all sections"
				case "answers_weight":
					advice = "answers are trained on in the section tune"
				}
				return value.Errorf(advice, "%s.%s cannot be set in a recipe", s.name, key)
			}
		}
	}
	return nil
}
