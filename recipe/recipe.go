package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/export"
	"lep/internal/hint"
	"lep/internal/strictyaml"
	"lep/modelcard"
	"lep/propagate"
	"lep/recipe/spec"
	"lep/recipes"
	"lep/vocab/build"
)

// Recipe is what a file says, with all defaults filled in.
type Recipe struct {
	Name   string // of the file, without its ending, unless it says otherwise
	File   string
	RunDir string
	Seeds  []uint64
	Models Models
	Eval   *Eval    // nil: nothing is measured
	Set    []string // changes beside the file
	Report Report

	tokenizer []variant[build.Options]
	init      []variant[propagate.EmbedOptions]
	train     []variant[Train]
	propagate []variant[propagate.Options]
	calibrate []variant[Calibrate]
	tune      []variant[Train]
	instruct  []variant[Train]
	export    []variant[export.Options]
	seeds     bool // more than one, so that names must tell them apart

	dir string            // of the file
	env map[string]string // that the recipe asked for
}

// plainKeys are the keys beside the sections.
type plainKeys struct {
	Name   string `yaml:"name"`
	RunDir string `yaml:"run_dir"`
	Seed   Seeds  `yaml:"seed"`
}

// Seeds is one seed or a list of them, which makes a grid.
type Seeds []uint64

// UnmarshalYAMLNode reads either form.
func (s *Seeds) UnmarshalYAMLNode(n *strictyaml.Node) error {
	if n.Kind == strictyaml.List {
		if err := n.Decode((*[]uint64)(s)); err != nil {
			return err
		}
		if len(*s) == 0 || len(slices.Compact(slices.Sorted(slices.Values(*s)))) != len(*s) {
			return n.Errorf("", "seed: want different seeds")
		}
		return nil
	}
	var one uint64
	if err := n.Decode(&one); err != nil {
		return err
	}
	*s = Seeds{one}
	return nil
}

// LoadOptions change a recipe as it is read.
type LoadOptions struct {
	Set    []string // "train.max_steps=10"
	RunDir string   // in the place of the recipe's
	// Getenv answers ${env:NAME}; nil knows none.
	Getenv func(string) (string, bool)
}

// Load reads a recipe: a file, or a bundled one by its name.
func Load(name string, opts LoadOptions) (*Recipe, error) {
	root, err := spec.Load(name, find, resolvePaths)
	if err != nil {
		return nil, err
	}
	for _, set := range opts.Set {
		if err := spec.Set(root, set, resolvePaths); err != nil {
			return nil, err
		}
	}
	file, err := find("", name)
	if err != nil {
		return nil, err
	}
	r := &Recipe{File: file.Name, dir: file.Dir, env: map[string]string{}, Name: strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), Set: opts.Set}
	if err := r.decodePlain(root, opts); err != nil {
		return nil, err
	}
	if err := r.decode(root); err != nil {
		return nil, err
	}
	return r, r.check()
}

// command runs the recipe with its changes.
func (r *Recipe) command() string {
	words := []string{"lep", "run", strings.TrimSuffix(r.File, ".yaml")}
	if exists(r.File) {
		words[2] = filepath.Base(r.File)
	}
	for _, set := range r.Set {
		words = append(words, "--set", r.abroad(set, nil))
	}
	return modelcard.ShellLine(words)
}

// find reads a recipe file, or a bundled recipe by its name.
func find(dir, name string) (spec.File, error) {
	path := name
	if !filepath.IsAbs(path) && dir != "" {
		path = filepath.Join(dir, name)
	}
	data, err := os.ReadFile(path)
	if err == nil {
		abs, err := filepath.Abs(path)
		if err != nil {
			return spec.File{}, err
		}
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		return spec.File{ID: abs, Name: path, Dir: filepath.Dir(abs), Data: data}, nil
	}
	if !errors.Is(err, os.ErrNotExist) || strings.ContainsAny(name, `/\`) {
		return spec.File{}, err
	}
	bundled := strings.TrimSuffix(name, ".yaml")
	data, inner := recipes.Files.ReadFile(bundled + ".yaml")
	if inner != nil {
		return spec.File{}, hint.Wrap(err, bundledAdvice(bundled))
	}
	cwd, err := os.Getwd()
	return spec.File{ID: "lep:" + bundled, Name: bundled + ".yaml", Dir: cwd, Data: data}, err
}

func bundledAdvice(name string) string {
	list := Bundled()
	if near := hint.Nearest(name, list, 3); near != "" {
		return "did you mean the bundled recipe " + near + "?"
	}
	return "the bundled recipes are " + strings.Join(list, ", ")
}

// Bundled lists the names of the recipes that come with lep.
func Bundled() []string {
	entries, err := recipes.Files.ReadDir(".")
	if err != nil {
		panic("recipe: the bundled recipes cannot be listed: " + err.Error())
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			out = append(out, name)
		}
	}
	return out
}

// Show returns the text of a recipe as it is written, comments included.
func Show(name string) ([]byte, error) {
	file, err := find("", name)
	return file.Data, err
}

// decodePlain reads the keys beside the sections and fills in ${…}.
func (r *Recipe) decodePlain(root *strictyaml.Node, opts LoadOptions) error {
	env := func(name string) (string, error) {
		key, ok := strings.CutPrefix(name, "env:")
		if !ok {
			return "", errors.New("no such name")
		}
		if opts.Getenv != nil {
			if value, ok := opts.Getenv(key); ok {
				r.env[key] = value
				return value, nil
			}
		}
		return "", fmt.Errorf("environment variable %s is not set", key)
	}
	plain := &strictyaml.Node{Kind: strictyaml.Map}
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	for _, p := range root.Map {
		if !slices.Contains(names, p.Key.Text) {
			plain.Map = append(plain.Map, p)
		}
	}
	keys := plainKeys{Name: r.Name, Seed: Seeds{1}}
	for _, p := range plain.Map {
		if known := []string{"name", "run_dir", "seed"}; !slices.Contains(known, p.Key.Text) {
			return p.Key.Errorf(hint.DidYouMean(p.Key.Text, append(known, names...)), "unknown key %q", p.Key.Text)
		}
	}
	if err := spec.Interpolate(plain, env); err != nil {
		return err
	}
	if err := plain.Decode(&keys); err != nil {
		return err
	}
	r.Name, r.RunDir, r.Seeds, r.seeds = keys.Name, keys.RunDir, keys.Seed, len(keys.Seed) > 1
	if opts.RunDir != "" {
		r.RunDir = opts.RunDir
	}
	if r.RunDir == "" {
		r.RunDir = filepath.Join("runs", spec.Label(r.Name))
	}
	var err error
	if r.RunDir, err = filepath.Abs(r.RunDir); err != nil {
		return err
	}
	return spec.Interpolate(root, func(name string) (string, error) {
		if name == "run.dir" {
			return r.RunDir, nil
		}
		return env(name)
	})
}

func (r *Recipe) decode(root *strictyaml.Node) (err error) {
	if r.Models, _, err = decodePlain[Models](root, "model"); err != nil {
		return err
	}
	measure, given, err := decodePlain[Eval](root, "eval")
	if err != nil {
		return err
	}
	if given {
		r.Eval = &measure
	}
	if r.Report, _, err = decodePlain[Report](root, "report"); err != nil {
		return err
	}
	if r.tokenizer, err = decodeSection[build.Options](root, "tokenizer"); err != nil {
		return err
	}
	if r.init, err = decodeSection[propagate.EmbedOptions](root, "init"); err != nil {
		return err
	}
	if r.train, err = decodeSection[Train](root, "train"); err != nil {
		return err
	}
	if r.propagate, err = decodeSection[propagate.Options](root, "propagate"); err != nil {
		return err
	}
	if r.calibrate, err = decodeSection[Calibrate](root, "calibrate"); err != nil {
		return err
	}
	if r.tune, err = decodeSection[Train](root, "tune"); err != nil {
		return err
	}
	if r.instruct, err = decodeSection[Train](root, "instruct"); err != nil {
		return err
	}
	r.export, err = decodeSection[export.Options](root, "export")
	return err
}

// check refuses sections that do not go together.
func (r *Recipe) check() error {
	m := &r.Models
	bad := func(advice, format string, args ...any) error {
		return hint.Errorf(advice, r.File+": "+format, args...)
	}
	switch {
	case m.Source == "" && len(m.Target) == 0 && len(m.Donor) == 0:
		return bad("name the base model: model: {source: …}", "model: no model to start from")
	case len(m.Donor) > 0 && (r.tokenizer != nil || r.train != nil || r.init != nil):
		return bad("leave out model.donor, or these sections", "model.donor is given, and tokenizer, init or train would make one")
	case m.Source == "" && (r.tokenizer != nil || r.train != nil || r.propagate != nil):
		return bad("", "model.source is missing: the base model that the vocabulary and the donor are made from")
	case r.propagate != nil && len(m.Target) == 0:
		return bad("", "model.target is missing: the instruct model to propagate into")
	case r.propagate != nil && len(m.Donor) == 0 && r.tokenizer == nil && r.train == nil:
		return bad("give a section tokenizer or train, or model.donor", "propagate has no donor")
	case r.init != nil && r.tokenizer == nil:
		return bad("", "init needs a section tokenizer: it makes first rows for a new vocabulary")
	case r.calibrate == nil && withoutData(r.tune):
		return bad("add a section calibrate, or tune.data", "tune has nothing to train on")
	case withoutData(r.instruct):
		return bad("", "instruct.data is missing")
	}
	return r.checkAnswers(bad)
}

// withoutData reports that a phase of a training has no data of its own.
func withoutData(list []variant[Train]) bool {
	return slices.ContainsFunc(list, func(v variant[Train]) bool {
		return !v.skip && slices.ContainsFunc(v.steps(), func(p phase[Train]) bool { return len(p.opts.Data) == 0 })
	})
}

// checkAnswers fills in whose answers are taken and refuses those that nobody could give.
func (r *Recipe) checkAnswers(bad func(advice, format string, args ...any) error) error {
	for i := range r.calibrate {
		c := &r.calibrate[i].opts
		if c.From == "" {
			c.From = fromResult
			if len(r.Models.Target) > 0 || c.API != "" {
				c.From = fromTarget
			}
		}
		switch {
		case c.From != fromTarget && c.From != fromResult:
			return bad("", "calibrate.from: %q, want %s or %s", c.From, fromTarget, fromResult)
		case c.From == fromTarget && c.API == "" && len(r.Models.Target) == 0:
			return bad("name it in model.target, or take from: result", "calibrate.from is target, and there is no model.target")
		case c.From == fromTarget && c.API == "" && len(r.Models.Target) > 1 && r.propagate == nil && r.Models.Source != "":
			return bad("name one", "calibrate.from is target, and without propagate it is open which of the %d", len(r.Models.Target))
		}
	}
	return nil
}
