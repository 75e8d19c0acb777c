package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/hint"
)

// load reads a recipe's text.
func load(t *testing.T, text string, set ...string) (*Recipe, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(path, LoadOptions{Set: set, RunDir: "/runs/r", Getenv: func(name string) (string, bool) { return "/env/" + name, name == "HOME" }})
}

const method = `
model: {source: base, target: instruct}
tokenizer: {corpus: [ru.txt]}
train: {data: [ru.txt]}
propagate: {}
`

func TestStages(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string
		why        string
	}{
		{"the method", method, "vocab init train propagate report", "one of everything needs no labels"},
		{"no training", "model: {source: base, target: instruct}\ntokenizer: {corpus: [ru.txt]}\npropagate: {}", "vocab init propagate report", "first rows are propagated as they are"},
		{"a vocabulary", "model: {source: base}\ntokenizer: {corpus: [ru.txt]}", "vocab report", "nothing else is asked for"},
		{"given donors", "model: {source: base, target: instruct, donor: [/d/a, /d/b]}\npropagate: {method: [swap, ridge]}",
			"propagate-a-swap propagate-a-ridge propagate-b-swap propagate-b-ridge report", "folders name donors"},
		{"two targets", "model: {source: base, target: [/t/chat, /t/code], donor: /d/a}\npropagate: {}", "propagate-chat propagate-code report", "folders name targets"},
		{"a grid", strings.Replace(method, "{corpus: [ru.txt]}", "{corpus: [ru.txt], grid: [{name: x, scenario: extend}, {name: y, scenario: replace}]}", 1),
			"vocab-x init-x train-x vocab-y init-y train-y propagate-x propagate-y report", "each vocabulary has a chain of its own"},
		{"seeds", method + "seed: [1, 2]\n", "vocab init train-seed1 train-seed2 propagate-seed1 propagate-seed2 report", "vocabulary and first rows are shared"},
		{"tuning", method + "calibrate: {prompts: [p.txt]}\ntune: {}\ninstruct: {data: [i.jsonl]}\nexport: {}",
			"vocab init train propagate calibrate tune instruct export-instruct report", "only the last model is exported"},
		{"own answers", method + "calibrate: {prompts: [p.txt], from: [target, result]}\ntune: {}",
			"vocab init train propagate calibrate-target tune-target calibrate-result tune-result report", "from is a choice like others"},
		{"control", method + "eval: {models: [result]}\n", "vocab init train propagate eval-propagate report", "one model is measured"},
		{"skipping", strings.Replace(method, "{data: [ru.txt]}", "{data: [ru.txt], grid: [{name: on}, {name: off, skip: true}]}", 1),
			"vocab init train-on propagate-on propagate-off report", "a variant without training is a control"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := load(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			g, err := NewGraph(r)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			done := map[*Stage]bool{}
			for _, s := range g.Stages {
				names = append(names, s.Name)
				for _, n := range s.Needs {
					if !done[n] {
						t.Errorf("%s stands before %s, which it needs", s.Name, n.Name)
					}
				}
				done[s] = true
			}
			if diff := cmp.Diff(tt.want, strings.Join(names, " ")); diff != "" {
				t.Errorf("stages (-want +got):\n%s%s", diff, tt.why)
			}
		})
	}
}

func TestRecipeErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want, advice string }{
		{"empty", "", "keys and values", ""},
		{"no model", "train: {}", "no model to start from", "model: {source"},
		{"unknown section", "modle: {}", `unknown key "modle"`, "did you mean model?"},
		{"unknown key", "model: {sorce: x}", `unknown key "sorce"`, "did you mean source?"},
		{"no donor", "model: {source: a, target: b}\npropagate: {}", "propagate has no donor", "tokenizer"},
		{"two donors", method + "extends: none", "extends", ""},
		{"donor twice", strings.Replace(method, "target: instruct", "target: instruct, donor: d", 1), "model.donor is given", "leave out"},
		{"no target", "model: {source: a}\ntokenizer: {corpus: [x]}\npropagate: {}", "model.target is missing", ""},
		{"train alone", "model: {source: a}\ntrain: {data: [x]}", "need a section tokenizer", ""},
		{"tune alone", "model: {source: a}\ntune: {data: [x]}", "need a section propagate", ""},
		{"tune on nothing", method + "tune: {}", "tune has nothing to train on", "calibrate"},
		{"from", method + "calibrate: {prompts: [p], from: donor}\ntune: {}", `calibrate.from: "donor", want target or result`, ""},
		{"managed", method + "tune: {data: [x], seed: 3}", "tune.seed cannot be set", "outside all sections"},
		{"wrong value", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], learning_rate: -1", 1), "learning_rate", ""},
		{"no variable", "model: {source: '${env:NOTHING}'}", "NOTHING is not set", ""},
		{"unknown variable", "model: {source: '${home}'}", "no such name", "${run.dir}"},
		{"scenario", strings.Replace(method, "corpus: [ru.txt]", "corpus: [ru.txt], scenario: grow", 1), `scenario "grow": want extend, optimize or replace`, ""},
	} {
		r, err := load(t, tt.text)
		if err == nil {
			_, err = NewGraph(r)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.advice) {
			t.Errorf("%s: %v (%s), want %q (%s)", tt.name, err, hint.Of(err), tt.want, tt.advice)
		}
	}
}

// TestMoved holds that a run and its texts may be moved: they count by what they hold.
func TestMoved(t *testing.T) {
	path := folder(t, 2)
	opts := DefaultOptions()
	opts.Until = "init"
	r, err := start(path, opts)
	must(t, r, err, 2, 0)
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(filepath.Dir(path), moved); err != nil {
		t.Fatal(err)
	}
	r, err = start(filepath.Join(moved, "small.yaml"), opts)
	must(t, r, err, 0, 2)
	if err := os.WriteFile(filepath.Join(moved, "ru.txt"), []byte(strings.Repeat("другой текст\n", 50)), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err = start(filepath.Join(moved, "small.yaml"), opts)
	must(t, r, err, 2, 0)
}

func TestImpossible(t *testing.T) {
	r := &Run{recipe: &Recipe{RunDir: t.TempDir()}}
	wantError(t, r.refuse([]Foreseen{{Stage: "train", Disk: 1 << 60}}), "of disk foreseen", "--out")
	wantError(t, r.refuse([]Foreseen{{Stage: "train", Problem: "90 GB of memory needed", Advice: "train less"}}), "stage train: 90 GB", "train less")
	if err := r.refuse([]Foreseen{{Stage: "train", State: Done, Disk: 1 << 60, Problem: "x"}}); err != nil {
		t.Errorf("what is done is refused: %v", err)
	}
	wantError(t, r.explain(fmt.Errorf("stage train: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})), "no space left", "make room")
	if err := errors.New("other"); r.explain(err) != err {
		t.Error("an error of another kind is changed")
	}
}

// TestForeseen holds that forecasts know the model's size and what is done.
func TestForeseen(t *testing.T) {
	path := folder(t, 2)
	r, err := Load(path, LoadOptions{RunDir: filepath.Join(filepath.Dir(path), "run"), Set: []string{"train.per_device_batch_size=4"}})
	if err != nil {
		t.Fatal(err)
	}
	opts := DefaultOptions()
	opts.GFLOPS = 10
	list, err := Foresee(r, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.Kind == KindTrain && (f.Memory < 1e7 || f.Disk < 1e6 || f.Seconds <= 0) {
			t.Errorf("the training takes %+v", f)
		}
	}
	if exists(r.RunDir) {
		t.Error("a forecast makes the run folder")
	}
	opts.Memory = 1e6
	_, err = Foresee(r, opts)
	wantError(t, err, "memory needed", "")
}
