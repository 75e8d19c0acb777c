package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/hint"
	"lep/propagate"
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
		{"phases", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], phases: [{train: embeddings}, {name: whole, train: all}]", 1) + "export: {}",
			"vocab init train-1 train-whole propagate export-propagate report", "each phase is a stage, the last one's model goes on"},
		{"phases in a grid", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], learning_rate: 1e-4, grid: [{name: a}, {name: b, phases: [{}, {}]}]", 1) + "eval: {models: [donor, phase]}",
			"vocab init train-a train-b-1 train-b-2 propagate-a propagate-b eval-train-a eval-train-b-1 eval-train-b-2 report", "an entry may have phases; they are measured when asked for"},
		{"phases for some", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], grid: [{name: a}, {name: b}]", 1) + "tune: {data: [c.jsonl], only: b, phases: [{}, {name: last}]}\neval: {}",
			"vocab init train-a train-b propagate-a propagate-b tune-b-1 tune-b-last eval-source eval-target eval-train-a eval-train-b eval-propagate-a eval-propagate-b eval-tune-b-last report", "patterns speak of choices, not of phases"},
		{"phases of tuning", method + "calibrate: {prompts: [p.txt]}\ntune: {phases: [{}, {}]}\ninstruct: {data: [i.jsonl], phases: [{}, {}]}",
			"vocab init train propagate calibrate tune-1 tune-2 instruct-1 instruct-2 report", "all trainings may have phases"},
		{"the base as it is", "model: {source: base}\ntrain: {data: [ru.txt], phases: [{}, {}]}\ntune: {data: [c.jsonl]}\ninstruct: {data: [i.jsonl]}\neval: {}\nseed: [1, 2]",
			"train-seed1-1 train-seed1-2 train-seed2-1 train-seed2-2 tune-seed1 instruct-seed1 tune-seed2 instruct-seed2 " +
				"eval-source eval-train-seed1-2 eval-train-seed2-2 eval-tune-seed1 eval-instruct-seed1 eval-tune-seed2 eval-instruct-seed2 report", "no vocabulary, nothing to propagate into"},
		{"continued pre-training", "model: {source: base, target: instruct}\ntrain: {data: [ru.txt]}\npropagate: {}", "train propagate report", "the baseline of the paper"},
		{"tuning the base", "model: {source: base}\ntune: {data: [c.jsonl]}", "tune report", "it begins with model.source"},
		{"tuning a target", "model: {target: [/t/chat, /t/code]}\ncalibrate: {prompts: [p.txt]}\ntune: {}",
			"calibrate-chat tune-chat calibrate-code tune-code report", "or with model.target, on its own answers"},
		{"tuning a donor", "model: {source: base, donor: /d/a}\ninstruct: {data: [c.jsonl]}", "instruct report", "or with model.donor"},
		{"tuning first rows", "model: {source: base}\ntokenizer: {corpus: [ru.txt]}\ntune: {data: [c.jsonl]}", "vocab init tune report", "or with first rows"},
		{"answers of the trained", "model: {source: base}\ntrain: {data: [ru.txt]}\ncalibrate: {prompts: [p.txt]}\ntune: {}", "train calibrate tune report", "without a target it asks itself"},
		{"answers alone", "model: {target: chat}\ncalibrate: {prompts: [p.txt]}", "calibrate report", "they may be all that is wanted"},
		{"answers and data", "model: {source: base, target: chat}\ncalibrate: {prompts: [p.txt], from: [target, result]}\ninstruct: {data: [c.jsonl]}", "calibrate-target calibrate-result instruct report",
			"what nothing is tuned on is kept"},
		{"a donor alone", "model: {donor: /d/a}\ntune: {data: [c.jsonl]}", "tune report", "a donor is a model like others"},
		{"models alone", "model: {source: base, target: chat}\neval: {}", "eval-source eval-target report", "they may be all that is measured"},
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

// TestPhases holds that each phase begins with what the one before has made, under the section's settings with
// its own laid over them, that paths in phases are relative to the recipe, and that the last one's model is propagated.
func TestPhases(t *testing.T) {
	r, err := load(t, strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], learning_rate: 1e-3, phases: [{train: new_rows}, {name: whole, train: lora, data: [en.txt], learning_rate: 1e-5}]", 1)+
		"calibrate: {prompts: [p.txt]}\ntune: {data: [c.jsonl], phases: [{}, {answers_weight: 0}]}\n", "train.phases.whole.max_steps=7")
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGraph(r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	folder := filepath.Dir(r.File)
	for _, s := range g.Stages {
		if o, ok := s.options.(Train); ok {
			line := fmt.Sprintf("%s: %s %g %d of %s on %s", s.Name, o.Options.Train, o.LearningRate, o.MaxSteps, o.Model, strings.Join(o.Data, " "))
			got = append(got, strings.NewReplacer(folder+"/", "", r.RunDir+"/stages/", "").Replace(line))
		}
		if o, ok := s.options.(propagate.Options); ok {
			got = append(got, s.Name+": "+strings.TrimPrefix(o.Donor, r.RunDir+"/stages/"))
		}
	}
	want := []string{
		"train-1: new_rows 0.001 0 of init/model on ru.txt",
		"train-whole: lora 1e-05 7 of train-1/model on en.txt",
		"propagate: train-whole/model",
		"tune-1: all 1e-05 0 of propagate/model on calibrate/answers.jsonl c.jsonl",
		"tune-2: all 1e-05 0 of tune-1/model on c.jsonl",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
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
		{"train a target", "model: {target: a}\ntrain: {data: [x]}", "model.source is missing", ""},
		{"rows of no vocabulary", "model: {source: a}\ninit: {}", "init needs a section tokenizer", ""},
		{"answers of nobody", "model: {source: a}\ncalibrate: {prompts: [p], from: target}\ntune: {}", "there is no model.target", "from: result"},
		{"answers of which", "model: {source: a, target: [b, c]}\ncalibrate: {prompts: [p]}\ntune: {}", "open which of the 2", "name one"},
		{"a phase on nothing", method + "tune: {phases: [{data: [x]}, {}]}", "tune has nothing to train on", "calibrate"},
		{"a key of a phase", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], phases: [{max_step: 3}]", 1), `r.yaml:4:35: unknown key "max_step"`, "did you mean max_steps?"},
		{"a value of a phase", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], phases: [{}, {learning_rate: -1}]", 1), "train (stage train-2): learning_rate", ""},
		{"a grid in a phase", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], phases: [{max_steps: [1, 2]}]", 1), "max_steps takes one value", "grid"},
		{"managed in a phase", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], phases: [{seed: 2}]", 1), "train.seed cannot be set", "outside all sections"},
		{"phases of a vocabulary", strings.Replace(method, "corpus: [ru.txt]", "corpus: [ru.txt], phases: [{}]", 1), `unknown key "phases"`, ""},
		{"weight of answers", method + "tune: {data: [x], answers_weight: -1}", "tune (stage tune): answers_weight is -1", ""},
		{"scale of an adapter", strings.Replace(method, "data: [ru.txt]", "data: [ru.txt], alpha_scale: 0", 1), "train (stage train): alpha_scale is 0", ""},
		{"answers to instruct", method + "instruct: {data: [x], answers_weight: 2}", "instruct.answers_weight cannot be set", "section tune"},
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

// TestOlderRecords holds that a setting which the lep of a record did not have counts as its default, so that
// stages of an earlier version are kept, and that any other value of it does not.
func TestOlderRecords(t *testing.T) {
	path := folder(t, 2)
	look := func(set ...string) *Run {
		r, err := Load(path, LoadOptions{Set: set, RunDir: filepath.Join(filepath.Dir(path), "run")})
		if err != nil {
			t.Fatal(err)
		}
		run, err := lay(r, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		if err := run.look(); err != nil {
			t.Fatal(err)
		}
		return run
	}
	run := look()
	unknown := strings.NewReplacer(`, "alpha_scale": 1.0`, "", `, "muon_momentum": 0.95`, "", `, "max_repetition": 1.0`, "")
	spelled := func(options any) []byte {
		text, err := settings(options)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(unknown.Replace(string(text)))
	}
	for _, s := range run.graph.Stages {
		st := run.state[s]
		rec := &Record{Stage: s.Name, Kind: s.Kind, State: Done, Hash: run.mixed(s, spelled(thatMatter(s.options)), st.inputs), Inputs: st.inputs, Options: spelled(s.options)}
		st.identity = rec.Hash
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := rec.write(s.dir); err != nil {
			t.Fatal(err)
		}
	}
	run = look()
	for _, s := range run.graph.Stages {
		want := Done
		if s.Kind == KindCalibrate || strings.Contains(s.Name, "tune") || s.Kind == KindReport {
			want = Outdated // the recipe's max_repetition is not the default, and what follows from the answers
		}
		if st := run.state[s]; st.state != want {
			t.Errorf("%s is %s (%s), want %s", s.Name, st.state, st.why, want)
		}
	}
	run = look("train.muon_momentum=0.5")
	i := slices.IndexFunc(run.graph.Stages, func(s *Stage) bool { return s.Name == "train-1" })
	if st := run.state[run.graph.Stages[i]]; st.state != Outdated || st.why != "muon_momentum was 0.95 and is 0.5" {
		t.Errorf("train-1 is %s (%s)", st.state, st.why)
	}
}

func TestWithout(t *testing.T) {
	for _, tt := range []struct{ now, was, defaults, want string }{
		{`{"a": 1, "b": {"c": 2, "d": [3, 4]}}`, `{}`, `{"a": 1, "b": {"c": 2, "d": [3, 4]}}`, `{}`},
		{`{"a": 1, "b": {"c": 2, "d": 3}}`, `{"a": 9, "b": {"c": 2}}`, `{"a": 1, "b": {"c": 2, "d": 3}}`, `{"a": 1, "b": {"c": 2}}`},
		{`{"a": 1, "b": 2}`, `{"a": 1}`, `{"a": 1, "b": 3}`, `{"a": 1, "b": 2}`},
		{`{"a": "x, \"y\": 1", "b": 2}`, `{"a": 1}`, `{"b": 2}`, `{"a": "x, \"y\": 1"}`},
		{`{"a": 1}`, `null`, `{"a": 1}`, `{"a": 1}`},
		{`{"a": 1, "a": 2, "b": 3}`, `{"a": 2}`, `{"b": 3}`, `{"a": 1, "a": 2}`},
	} {
		if got := string(without([]byte(tt.now), []byte(tt.was), []byte(tt.defaults))); got != tt.want {
			t.Errorf("%s without what %s lacks of %s: %s, want %s", tt.now, tt.was, tt.defaults, got, tt.want)
		}
	}
	for _, s := range sections() {
		text, err := settings(s.value)
		if err != nil {
			t.Fatal(err)
		}
		if got := without(text, text, text); string(got) != string(text) {
			t.Errorf("%s is spelled anew as %s, want %s", s.name, got, text)
		}
	}
}

// TestAbroad holds that results name places as a reader on another machine can use them.
func TestAbroad(t *testing.T) {
	r := &Recipe{RunDir: "/project/runs/x", dir: "/project", env: map[string]string{"DATA": "/data", "TOP": "/", "N": "3"}}
	for _, tt := range []struct{ text, want string }{
		{"/project/runs/x/stages/train/model", "stages/train/model"},
		{`["/project/texts/ru=0.5","/data/en.jsonl"]`, `["texts/ru=0.5","${env:DATA}/en.jsonl"]`},
		{"/mnt/data/x", "/mnt/data/x"},
		{`{"a":"/elsewhere/texts/ru.txt=0.5"}`, `{"a":"ru.txt=0.5"}`},
		{"/elsewhere/texts/ru.txt=0.5", "ru.txt=0.5"},
		{"train.data=[/data/a, /data/b]", "train.data=[${env:DATA}/a, ${env:DATA}/b]"},
		{"meta-llama/Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B"},
	} {
		if got := r.abroad(tt.text, []input{{"data", "/elsewhere/texts/ru.txt=0.5", dataPath}, {"model", "meta-llama/Meta-Llama-3-8B", modelPath}}); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
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
		if f.Kind == KindTrain && (f.Memory < 5e6 || f.Disk < 1e6 || f.Seconds <= 0) {
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

// TestSpeechless holds that a model without a chat template is told before anything runs, where conversations are to be
// trained on or answers taken.
func TestSpeechless(t *testing.T) {
	path := folder(t, 2)
	dir := filepath.Dir(path)
	if err := os.CopyFS(filepath.Join(dir, "base"), os.DirFS(filepath.Join(family(t), "base"))); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "base", "tokenizer_config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), `"chat_template"`, `"no_template"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ids.jsonl"), []byte(`{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	vocabulary := "model: {source: base, target: " + family(t) + "/instruct}\ntokenizer: {corpus: [ru.txt], train_size: 300}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"tuning a base", "model: {source: base}\ntune: {data: [chats.jsonl]}", "stage tune: " + dir + "/base: has no chat template"},
		{"after training", "model: {source: base}\ntrain: {data: [ru.txt], phases: [{}, {}]}\ninstruct: {data: [chats.jsonl]}", "stage instruct: "},
		{"first rows", vocabulary + "tune: {data: [chats.jsonl]}", "stage tune: "},
		{"its own answers", "model: {source: base}\ncalibrate: {prompts: [prompts.txt]}", "stage calibrate: "},
		{"token ids", "model: {source: base}\ntune: {data: [ids.jsonl]}", ""},
		{"texts", "model: {source: base}\ntrain: {data: [ru.txt]}", ""},
		{"a result", vocabulary + "propagate: {}\ntune: {data: [chats.jsonl]}", ""},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Load(path, LoadOptions{RunDir: filepath.Join(dir, "run")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Foresee(r, DefaultOptions())
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), "chat_template.jinja") {
			t.Errorf("%s: %v (%s), want %q", tt.name, err, hint.Of(err), tt.want)
		}
	}
}
