package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"lep/internal/hint"
)

type inner struct {
	LearningRate float64 `yaml:"learning_rate"`
	MaxSteps     int     `yaml:"max_steps"`
}

// level decodes itself of a text.
type level int

func (l *level) UnmarshalText(text []byte) error {
	for i, name := range []string{"low", "high"} {
		if string(text) == name {
			*l = level(i)
			return nil
		}
	}
	return hint.Errorf("low or high", "unknown level %q", text)
}

// files is a list, or one text in place of a list of one.
type files []string

func (f *files) UnmarshalYAMLNode(n *Node) error {
	if n.Kind == Scalar {
		*f = files{n.Text}
		return nil
	}
	return n.Decode((*[]string)(f))
}

type outer struct {
	Name   string         `yaml:"name"`
	Save   bool           `yaml:"save"`
	Small  int8           `yaml:"small"`
	Seed   uint64         `yaml:"seed"`
	Wait   time.Duration  `yaml:"wait"`
	Shots  *int           `yaml:"shots"`
	List   []string       `yaml:"list"`
	Parts  map[string]int `yaml:"parts"`
	Any    any            `yaml:"any"`
	Train  inner          `yaml:"train"`
	Level  level          `yaml:"level"`
	Data   files          `yaml:"data"`
	Inline struct {
		Deep string `yaml:"deep"`
	} `yaml:",inline"`
	Hidden string `yaml:"-"`
}

func TestUnmarshal(t *testing.T) {
	got := outer{Name: "kept", Train: inner{MaxSteps: 7}}
	text := "\ufeff# settings\r\nsave: true\r\nsmall: -128\nseed: 0x10\nwait: 1m30s\nshots: 0\nlist: [yes, 1.10, 'x']\n" +
		"parts: {a: 1_000, b: +2}\nany:\n  - 2e-5\n  - 'on'\n  - {k: ~}\ntrain: &t\n  learning_rate: 2e-5\n" +
		"level: high\ndata: one\ndeep: |\n  two\n  lines\n"
	if err := Unmarshal("x.yaml", []byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := outer{Name: "kept", Save: true, Small: -128, Seed: 16, Wait: 90 * time.Second, Shots: new(int), List: []string{"yes", "1.10", "x"},
		Parts: map[string]int{"a": 1000, "b": 2}, Any: []any{2e-5, "on", map[string]any{"k": nil}},
		Train: inner{LearningRate: 2e-5, MaxSteps: 7}, Level: 1, Data: files{"one"}}
	want.Inline.Deep = "two\nlines\n"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPlainScalars(t *testing.T) {
	for text, want := range map[string]any{
		"1": int64(1), "-0": int64(0), "0123": int64(123), "1_000": int64(1000), "0o17": int64(15), "1e3": 1e3, ".5": .5, "5.": 5.0, "-.inf": math.Inf(-1),
		"true": true, "yes": "yes", "1_": "1_", "1e": "1e", "'1'": "1", `"true"`: "true", "~": nil, "": nil, "0x": "0x", "12:30": "12:30", "1.2.3": "1.2.3",
		"9223372036854775808": 9223372036854775808.0, "2026-01-01": "2026-01-01",
	} {
		n, err := Parse("x", []byte("k: "+text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := n.Get("k").Value(); got != want {
			t.Errorf("%q is %T %v, want %T %v", text, got, got, want, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want, advice string }{
		{"unknown key", "train:\n  lerning_rate: 1", "x.yaml:2:3: train: unknown key \"lerning_rate\"\n    2 |   lerning_rate: 1\n          ^", "did you mean learning_rate?"},
		{"nothing near", "zzzzzzzzz: 1", `x.yaml:1:1: unknown key "zzzzzzzzz"`, "known are name, save"},
		{"hidden field", "hidden: 1", `unknown key "hidden"`, ""},
		{"key twice", "name: a\nname: b", "x.yaml:2:1: ", ""},
		{"key twice in brackets", "train: {max_steps: 1, max_steps: 2}", "x.yaml:1:", ""},
		{"quoted number", "train: {max_steps: '5'}", `x.yaml:1:20: train.max_steps: want a whole number, got "5"`, ""},
		{"fraction", "seed: 1.5", "seed: want a whole number from 0, got 1.5", ""},
		{"negative", "seed: -1", "want a whole number from 0, got -1", ""},
		{"too large", "small: 128", "want a whole number of 8 bits, got 128", ""},
		{"word as a switch", "save: yes", "save: want true or false, got yes", ""},
		{"text as a number", "train:\n  learning_rate: fast", "x.yaml:2:18: train.learning_rate: want a number, got fast", ""},
		{"nothing", "name:", "x.yaml:1:1: name: want a text, got nothing", ""},
		{"text as a list", "list: a", "list: want a list, got a", ""},
		{"list as a text", "name: [a]", "name: want a text, got a list", ""},
		{"inside a list", "list: [a, {b: c}]", "list[1]: want a text, got keys and values", ""},
		{"list as a struct", "train: [1]", "train: want keys and values, got a list", ""},
		{"inside a map", "parts: {a: b}", "parts.a: want a whole number, got b", ""},
		{"duration", "wait: 5", "wait: want a time like 90s or 1h30m, got 5", ""},
		{"own type", "level: mid", `x.yaml:1:8: level: unknown level "mid"`, "low or high"},
		{"own type, list", "level: [low]", "level: want one value, got a list", ""},
		{"tag", "name: !!str 5", "x.yaml:1:7: tag !!str", "types follow"},
		{"merge key", "a: &a {x: 1}\nb:\n  <<: *a", "x.yaml:3:3: merge keys are not read", "write the keys out"},
		{"unknown alias", "name: *q", "", ""},
		{"alias of itself", "any: &a [*a]", "alias *a stands inside its own anchor", ""},
		{"second document", "name: a\n---\nname: b", "x.yaml:3:5: a second document", ""},
		{"syntax", "name: [a", "x.yaml:1:", ""},
		{"tab", "train:\n\tmax_steps: 1", "x.yaml:2:", ""},
		{"not UTF-8", "name: \xff", "x.yaml: not UTF-8", ""},
		{"deep", "any: " + strings.Repeat("[", 101), "more than 100 levels", ""},
		{"deep items", strings.Repeat("- ", 500_000), "more than 100 levels", ""},
		{"deep brackets", strings.Repeat("[", 1<<20), "more than 100 levels", ""},
		{"large", strings.Repeat("#", 1<<20+1), "1048577 bytes of YAML, want 1048576 or less", ""},
		{"laughs", laughs(12), "more than 200000 values", ""},
		{"complex key", "? [a]\n: b", "x.yaml:", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var into outer
			err := Unmarshal("x.yaml", []byte(tt.text), &into)
			if err == nil {
				t.Fatalf("no error, got %+v", into)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "x.yaml") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if advice := hint.Of(err); !strings.Contains(advice, tt.advice) {
				t.Errorf("hint %q, want %q", advice, tt.advice)
			}
		})
	}
}

// laughs is a document whose aliases expand to 9^n values.
func laughs(n int) string {
	var b strings.Builder
	fmt.Fprint(&b, "any:\n  a0: &a0 [x]\n")
	for i := range n {
		fmt.Fprintf(&b, "  a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	return b.String()
}

func TestAlias(t *testing.T) {
	n, err := Parse("x.yaml", []byte("a: &q {x: 1}\nb: *q\nc: *q\n"))
	if err != nil {
		t.Fatal(err)
	}
	n.Get("b").Set("x", &Node{Kind: Scalar, Text: "2"})
	want := map[string]any{"a": map[string]any{"x": int64(1)}, "b": map[string]any{"x": int64(2)}, "c": map[string]any{"x": int64(1)}}
	if got := n.Value(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v: aliases share nothing", got, want)
	}
}

func TestSet(t *testing.T) {
	n, err := Parse("x.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Set("name", &Node{Kind: Scalar, Text: "a"})
	n.Set("name", &Node{Kind: Scalar, Text: "b"})
	var got outer
	if err := n.Decode(&got); err != nil || got.Name != "b" || n.Get("none") != nil {
		t.Errorf("%+v, %v", got, err)
	}
	var e *Error
	if err := n.Get("name").Errorf("advice", "message %d", 1); !errors.As(err, &e) || e.Error() != "yaml: message 1" || e.Hint() != "advice" {
		t.Errorf("%v", err)
	}
}

// TestExcerpt: a long line is cut around the place.
func TestExcerpt(t *testing.T) {
	var into outer
	err := Unmarshal("x.yaml", []byte("any: ["+strings.Repeat("я, ", 200)+"]\nlist: ["+strings.Repeat("я, ", 200)+"{}]"), &into)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || len([]rune(lines[1])) > 110 || []rune(lines[1])[len([]rune(lines[2]))-1] != '{' {
		t.Errorf("%s", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a: 1", "- [x, {y: *a}]", "a: &a\n  - b\n", "? a\n: b", "a: |\n  b\n", "{", "'", "%YAML 1.2\n---\n", "a: !!binary x", "<<: 1", "\t", "a: \"\\x\""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse("x", []byte(text))
		if (n == nil) == (err == nil) {
			t.Fatalf("node %v, error %v", n, err)
		}
		if err == nil {
			n.Value()
			var into outer
			_ = n.Decode(&into)
		}
	})
}
