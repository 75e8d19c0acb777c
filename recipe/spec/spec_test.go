package spec

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/strictyaml"
)

// memory finds recipes among texts.
func memory(files map[string]string) Find {
	return func(_, name string) (File, error) {
		text, ok := files[name]
		if !ok {
			return File{}, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
		}
		return File{ID: name, Name: name, Dir: "/" + strings.TrimSuffix(name, ".yaml"), Data: []byte(text)}, nil
	}
}

// paths makes the value of the key file absolute.
func paths(root *strictyaml.Node, dir string) error {
	if n := root.Get("file"); n != nil && !filepath.IsAbs(n.Text) {
		n.Text = filepath.Join(dir, n.Text)
	}
	return nil
}

func TestLoadMerges(t *testing.T) {
	root, err := Load("b.yaml", memory(map[string]string{
		"a.yaml": "train: {steps: 1, rate: 2e-5}\ntune: {steps: 3}\nfile: texts\nlist: [1, 2]\n",
		"b.yaml": "extends: a.yaml\ntrain: {steps: 5}\ntune: null\nlist: [3]\n",
	}), paths)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"train": map[string]any{"steps": int64(5), "rate": 2e-5}, "tune": nil, "list": []any{int64(3)}, "file": "/a/texts"}
	if diff := cmp.Diff(want, root.Value()); diff != "" {
		t.Error(diff)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tt := range []struct{ name, a, b, want string }{
		{"circle", "extends: b.yaml\n", "extends: a.yaml\n", "b.yaml:1:10: extends goes in a circle: a.yaml -> b.yaml -> a.yaml"},
		{"itself", "extends: a.yaml\n", "", "a.yaml -> a.yaml"},
		{"missing", "extends: none.yaml\n", "", "a.yaml:1:10: extends: open none.yaml"},
		{"list", "extends: [a, b]\n", "", "want the name of one recipe"},
		{"no map", "- 1\n", "", "a recipe is keys and values, got a list"},
		{"twice", "x: 1\nx: 2\n", "", "a.yaml:2:1"},
	} {
		_, err := Load("a.yaml", memory(map[string]string{"a.yaml": tt.a, "b.yaml": tt.b}), paths)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSet(t *testing.T) {
	const phases = "map[phases:[map[] map[name:p]]]]"
	for _, tt := range []struct{ set, want string }{
		{"train.steps=7", "map[train:map[grid:[map[name:a] map[name:b]] steps:7] tune:" + phases},
		{"train.data=[a, b]", "map[train:map[data:[a b] grid:[map[name:a] map[name:b]] steps:1] tune:" + phases},
		{"train.grid.b.steps=3", "map[train:map[grid:[map[name:a] map[name:b steps:3]] steps:1] tune:" + phases},
		{"train.grid.0.steps=3", "map[train:map[grid:[map[name:a steps:3] map[name:b]] steps:1] tune:" + phases},
		{"eval.limit=2", "map[eval:map[limit:2] train:map[grid:[map[name:a] map[name:b]] steps:1] tune:" + phases},
		{"tune.phases.0.steps=3", "map[train:map[grid:[map[name:a] map[name:b]] steps:1] tune:map[phases:[map[steps:3] map[name:p]]]]"},
		{"tune.phases.p.steps=3", "map[train:map[grid:[map[name:a] map[name:b]] steps:1] tune:map[phases:[map[] map[name:p steps:3]]]]"},
		{"train=null", "map[train:<nil> tune:" + phases},
	} {
		root, err := strictyaml.Parse("r.yaml", []byte("{train: {steps: 1, grid: [{name: a}, {name: b}]}, tune: {phases: [{}, {name: p}]}}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := Set(root, tt.set, paths); err != nil {
			t.Errorf("%s: %v", tt.set, err)
		} else if got := fmt.Sprint(root.Value()); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.set, got, tt.want)
		}
	}
	for _, bad := range []string{"tune.phases.2.steps=1", "train", "=1", "a..b=1", "train.steps.x=1", "train.grid.c.steps=1", "x=[", "train.steps.x.y=1"} {
		root, err := strictyaml.Parse("r.yaml", []byte("{train: {steps: 1, grid: [{name: a}]}, tune: {phases: [{}]}}"))
		if err != nil {
			t.Fatal(err)
		}
		if Set(root, bad, paths) == nil {
			t.Errorf("--set %s is accepted", bad)
		}
	}
}

func TestInterpolate(t *testing.T) {
	lookup := func(name string) (string, error) {
		if name == "run.dir" {
			return "/runs/x", nil
		}
		return "", fmt.Errorf("no such name")
	}
	root, err := strictyaml.Parse("r.yaml", []byte("a: ${run.dir}/texts\nb: ['x${run.dir}${run.dir}']\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Interpolate(root, lookup); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(root.Value()); got != "map[a:/runs/x/texts b:[x/runs/x/runs/x]]" {
		t.Error(got)
	}
	for _, bad := range []string{"a: ${home}", "a: ${run.dir"} {
		root, err := strictyaml.Parse("r.yaml", []byte(bad))
		if err != nil {
			t.Fatal(err)
		}
		if Interpolate(root, lookup) == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// word reads itself from text, as methods do.
type word string

func (w *word) UnmarshalText(b []byte) error { *w = word(b); return nil }

type inner struct {
	Depth int `yaml:"depth"`
	Seed  int `yaml:"seed"`
}

type options struct {
	Steps  int      `yaml:"steps"`
	Method word     `yaml:"method"`
	Kind   string   `yaml:"kind"`
	Data   []string `yaml:"data"`
	Inner  inner    `yaml:",inline"`
	Seed   uint64   `yaml:"seed"`
	Hidden func()   `yaml:"-"`
}

func TestVariants(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		why  string
	}{
		{"{steps: 1}", []string{""}, "no grid, no name"},
		{"{name: x, steps: 1}", []string{"x"}, "a name of its own"},
		{"{kind: [a, b], steps: [1, 2]}", []string{"steps_1-a", "steps_1-b", "steps_2-a", "steps_2-b"}, "words stand alone, numbers with their key"},
		{"{method: [swap, ridge]}", []string{"swap", "ridge"}, "types that read text are one value"},
		{"{data: [a, b]}", []string{""}, "a list where a list is wanted is no grid"},
		{"{depth: [1, 2]}", []string{"depth_1", "depth_2"}, "inlined keys count"},
		{"{kind: [a], steps: [1, 2]}", []string{"steps_1", "steps_2"}, "a list of one names nothing"},
		{"{steps: 1, grid: [{name: x}, {name: y, kind: [a, b]}]}", []string{"x", "y-a", "y-b"}, "entries are laid over the section"},
		{"{grid: [{steps: 1}, {steps: 2}]}", []string{"1", "2"}, "entries without a name are numbered"},
	} {
		n, err := strictyaml.Parse("r.yaml", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		list, err := Variants(n, reflect.TypeFor[options](), true)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var got []string
		for _, v := range list {
			got = append(got, v.Label)
			var o options
			if err := v.Node.Decode(&o); err != nil {
				t.Errorf("%s: %s: %v", tt.text, v.Label, err)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", tt.text, diff, tt.why)
		}
	}
}

func TestVariantErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[1]", "want keys and values, got a list"},
		{"{grid: {a: 1}}", "grid: want a list"},
		{"{grid: [1]}", "grid: want keys and values"},
		{"{kind: []}", "kind: an empty list"},
		{"{name: a/b}", `name "a/b" cannot name a folder`},
		{"{name: ..}", "cannot name a folder"},
		{"{skip: 3}", "want true or false"},
		{"{grid: [{name: x}, {name: x}]}", `two variants are called "x"`},
		{"{phases: {a: 1}}", "phases: want a list"},
		{"{phases: []}", "phases: want a list"},
		{"{phases: [1]}", "phases: want keys and values"},
		{"{phases: [{name: x}, {name: x}]}", `two phases are called "x"`},
		{"{phases: [{name: '2'}, {}]}", `two phases are called "2"`},
		{"{phases: [{name: a/b}]}", "cannot name a folder"},
		{"{phases: [{steps: [1, 2]}]}", "phases: steps takes one value, got a list"},
		{"{phases: [" + strings.Repeat("{},", 64) + "{}]}", "phases: 65 of them"},
		{"{steps: [" + strings.Repeat("1,", 300) + "1]}", "more than 256 variants"},
	} {
		n, err := strictyaml.Parse("r.yaml", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Variants(n, reflect.TypeFor[options](), true); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: %v, want %q", tt.text, err, tt.want)
		}
	}
	if list, err := Variants(nil, reflect.TypeFor[options](), true); list != nil || err != nil {
		t.Errorf("no section: %v, %v", list, err)
	}
}

func TestSchema(t *testing.T) {
	s := Schema(reflect.ValueOf(options{Steps: 3, Kind: "a"}), Form{Grid: true, Phases: true}, []string{"data"})
	properties := s["properties"].(map[string]any)
	if _, ok := properties["data"]; ok {
		t.Error("a key that is left out is there")
	}
	for _, key := range []string{"steps", "method", "kind", "depth", "seed", "grid", "name", "skip", "only", "phases"} {
		if properties[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	want := map[string]any{"type": "integer", "default": 3}
	if diff := cmp.Diff(want, properties["steps"].(map[string]any)["anyOf"].([]any)[0]); diff != "" {
		t.Error(diff)
	}
}

// TestPhases holds that phases are laid over each variant, and that a variant may have its own.
func TestPhases(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		why  string
	}{
		{"{steps: 1, phases: null}", nil, "nothing is no phase"},
		{"{steps: 1, kind: x, phases: [{steps: 2}, {name: last, kind: y}]}", []string{": 1 {2 x}", ": last {1 y}"}, "what a phase does not say, the section does"},
		{"{steps: [1, 2], phases: [{}, {kind: y}]}", []string{"steps_1: 1 {1 }", "steps_1: 2 {1 y}", "steps_2: 1 {2 }", "steps_2: 2 {2 y}"}, "every combination has them"},
		{"{phases: [{}, {steps: 3}], grid: [{name: a}, {name: b, phases: [{steps: 4}]}, {name: c, phases: null}]}",
			[]string{"a: 1 {0 }", "a: 2 {3 }", "b: 1 {4 }"}, "an entry of the grid has its own, or none"},
	} {
		n, err := strictyaml.Parse("r.yaml", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		list, err := Variants(n, reflect.TypeFor[options](), true)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var got []string
		for _, v := range list {
			for _, p := range v.Phases {
				var o options
				if err := p.Node.Decode(&o); err != nil {
					t.Errorf("%s: %v", tt.text, err)
				}
				got = append(got, fmt.Sprintf("%s: %s {%d %s}", v.Label, p.Label, o.Steps, o.Kind))
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", tt.text, diff, tt.why)
		}
	}
	n, err := strictyaml.Parse("r.yaml", []byte("{phases: [{}]}"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := Variants(n, reflect.TypeFor[options](), false)
	if err != nil {
		t.Fatal(err)
	}
	var o options
	if err := list[0].Node.Decode(&o); err == nil || !strings.Contains(err.Error(), `unknown key "phases"`) {
		t.Errorf("phases in a section without: %v", err)
	}
}

func TestLayers(t *testing.T) {
	n, err := strictyaml.Parse("r.yaml", []byte("{steps: 0, phases: [{steps: 1}], grid: [{steps: 2, phases: [{steps: 3}, {steps: 4}]}, {steps: 5}]}"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, layer := range Layers(n) {
		got = append(got, layer.Get("steps").Text)
	}
	if diff := cmp.Diff([]string{"0", "2", "5", "1", "3", "4"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("train: {steps: [1, 2], grid: [{name: a}]}", "train.steps=3")
	f.Add("extends: a.yaml", "a.b.c=[1,{d: e}]")
	f.Add("kind: ${run.dir}", "grid.0.x=1")
	f.Add("train: {phases: [{steps: 1}, {name: b}]}", "train.phases.b.steps=3")
	f.Fuzz(func(t *testing.T, text, set string) {
		root, err := Load("a.yaml", memory(map[string]string{"a.yaml": text}), paths)
		if err != nil {
			return
		}
		if Set(root, set, paths) != nil {
			return
		}
		if Interpolate(root, func(string) (string, error) { return "x", nil }) != nil {
			return
		}
		for _, p := range root.Map {
			list, err := Variants(p.Value, reflect.TypeFor[options](), true)
			if err != nil {
				continue
			}
			if len(list) > maxVariants {
				t.Errorf("%d variants", len(list))
			}
			for _, v := range list {
				var o options
				_ = v.Node.Decode(&o) // an error is fine, a panic is not
				for _, phase := range v.Phases {
					_ = phase.Node.Decode(&o)
				}
			}
		}
	})
}
