package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lep/internal/hint"
	"lep/internal/pocket"
	"lep/modelcard"
	"lep/report"
)

// childVariable makes the test binary run a recipe and exit, so that it can be killed.
const childVariable = "LEP_TEST_RUN_RECIPE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if _, err := start(path, DefaultOptions()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if familyDir != "" {
		os.RemoveAll(familyDir)
	}
	os.Exit(code)
}

// start runs a recipe in the folder beside it.
func start(path string, opts Options, set ...string) (*Result, error) {
	r, err := Load(path, LoadOptions{Set: set, RunDir: filepath.Join(filepath.Dir(path), "run")})
	if err != nil {
		return nil, err
	}
	opts.Threads, opts.BLAS = 1, "builtin"
	run, err := Open(r, opts)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	return run.Run(context.Background())
}

var (
	familyDir  string
	familyOnce sync.Once
)

// family unpacks the bundled models once for all tests.
func family(t *testing.T) string {
	t.Helper()
	familyOnce.Do(func() {
		dir, err := os.MkdirTemp("", "recipe-test-")
		if err != nil {
			t.Fatal(err)
		}
		familyDir = dir
		if _, err := pocket.Materialize(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
	})
	return familyDir
}

// small is a recipe of all kinds of stages that runs in a second or two.
const small = `
model:
  source: %[1]s/base
  target: %[1]s/instruct
tokenizer:
  corpus: [ru.txt]
  train_size: 300
  held_out: [ru.txt]
train:
  data: [ru.txt]
  sequence_len: 32
  per_device_batch_size: 1
  save_steps: 2
  shuffle_tokens: 4096
  phases:
    - {max_steps: %[2]d}
    - {name: whole, train: lora, lora_r: 2, max_steps: 2}
propagate:
  method: [swap, conversion]
calibrate:
  prompts: [prompts.txt]
  max_new_tokens: 3
  batch_size: 1
  filters: {keep_cut_off: true, near_duplicates: 0, max_repetition: 1}
tune:
  data: [chats.jsonl]
  max_steps: 2
  sequence_len: 64
  per_device_batch_size: 1
  shuffle_tokens: 4096
  train: embeddings
  only: conversion
eval:
  models: [target, tuned]
  held_out: {ru: [short.txt]}
  prompts: prompts.txt
  max_prompts: 1
  max_answer_tokens: 3
export:
  type: f32
`

// folder writes the small recipe and its texts.
func folder(t *testing.T, steps int) string {
	t.Helper()
	dir := t.TempDir()
	line := "мама мыла раму, а папа читал газету и пил чай с вареньем\nкот сидел у окна и смотрел на птиц за окном\n"
	for name, text := range map[string]string{
		"ru.txt": strings.Repeat(line, 60), "short.txt": line, "prompts.txt": "Name the first word: cat dog\nRepeat: one\nCopy this: two three\n",
		"chats.jsonl": `{"messages":[{"role":"user","content":"Repeat: кот"},{"role":"assistant","content":"кот"}]}` + "\n",
		"small.yaml":  fmt.Sprintf(small, family(t), steps),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "small.yaml")
}

func must(t *testing.T, r *Result, err error, ran, kept int) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v (%s)", err, hint.Of(err))
	}
	if r.Ran != ran || r.Kept != kept {
		t.Fatalf("%d stages ran and %d were kept, want %d and %d", r.Ran, r.Kept, ran, kept)
	}
}

func wantError(t *testing.T, err error, text, advice string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(hint.Of(err), advice) {
		t.Fatalf("%v (%s), want %q (%s)", err, hint.Of(err), text, advice)
	}
}

// TestRun goes through the life of a run folder: parts, the whole, nothing to do, changed settings,
// inputs and outputs.
func TestRun(t *testing.T) {
	path := folder(t, 2)
	dir := filepath.Join(filepath.Dir(path), "run")
	opts := DefaultOptions()

	until := opts
	until.Until = "train-1" // between the phases
	r, err := start(path, until)
	must(t, r, err, 3, 0)

	r, err = start(path, opts)
	must(t, r, err, 10, 3)
	out, err := readResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Models) != 2 || out.Models[1].Step != "tuned" || out.Models[1].Languages["ru"].BitsPerByte == nil || len(out.Answers) != 1 || len(out.Projections) != 4 {
		t.Errorf("results.json: %d models, %d answers, %d projections: %+v", len(out.Models), len(out.Answers), len(out.Projections), out.Models)
	}
	if text, err := os.ReadFile(filepath.Join(dir, ResultsName)); err != nil || strings.Contains(string(text), filepath.Dir(path)) || strings.Contains(string(text), family(t)) {
		t.Errorf("results.json names places of this machine (%v)", err)
	}
	if page, err := os.ReadFile(r.Report); err != nil || !strings.Contains(string(page), "<html") {
		t.Errorf("report.html: %v", err)
	}

	card, err := modelcard.Read(filepath.Join(dir, stagesDir, "tune-conversion", "model"))
	if err != nil || len(card.Evaluations) != 1 || !strings.Contains(string(card.Bytes()), "| ru, bits per byte |") {
		t.Errorf("the card of a measured model: %+v, %v", card, err)
	}
	if card, err = modelcard.Read(filepath.Join(dir, stagesDir, "propagate-swap", "model")); err != nil || len(card.Evaluations) != 0 {
		t.Errorf("the card of a model that is not measured: %+v, %v", card, err)
	}

	began := time.Now()
	r, err = start(path, opts) // although the cards were written after the stages were done
	must(t, r, err, 0, 13)
	if took := time.Since(began); took > time.Second {
		t.Errorf("a finished run took %s to look at", took)
	}

	r, err = start(path, opts, "tune.learning_rate=3e-4") // tuning, its export and evaluation, the report
	must(t, r, err, 4, 9)

	from := opts
	from.From = "propagate-swap" // and its export, the report
	r, err = start(path, from, "tune.learning_rate=3e-4")
	must(t, r, err, 3, 10)

	s, err := ReadStatus(dir)
	if err != nil || s.Done != 13 || s.Active {
		t.Errorf("status: %+v, %v", s, err)
	}
	t.Run("changed by hand", func(t *testing.T) { changedByHand(t, path, dir) })
	t.Run("torn record", func(t *testing.T) {
		record := filepath.Join(dir, stagesDir, "vocab", recordName)
		if err := os.WriteFile(record, []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := start(path, opts)
		wantError(t, err, record, "remove the stage's folder")
	})
}

func changedByHand(t *testing.T, path, dir string) {
	set := "tune.learning_rate=3e-4"
	template := filepath.Join(dir, stagesDir, "tune-conversion", "model", "generation_config.json")
	old, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	change := func() {
		if err := os.WriteFile(template, append(old, ' '), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"README.md", "lep.json", "recipe.yaml"} { // as lep publish --tidy does
		path := filepath.Join(filepath.Dir(template), name)
		if err := os.WriteFile(path, []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := start(path, DefaultOptions(), set)
	must(t, r, err, 0, 13)
	change()
	_, err = start(path, DefaultOptions(), set)
	wantError(t, err, "tune-conversion was changed by hand", "--accept")
	wantError(t, err, "generation_config.json has other content", "--redo")

	accept := DefaultOptions()
	accept.Accept = true
	r, err = start(path, accept, set) // export, evaluation and report follow from the change
	must(t, r, err, 3, 10)
	r, err = start(path, DefaultOptions(), set)
	must(t, r, err, 0, 13)

	if err := os.Remove(template); err != nil {
		t.Fatal(err)
	}
	redo := DefaultOptions()
	redo.Redo = true
	r, err = start(path, redo, set)
	must(t, r, err, 4, 9)
	if now, err := os.ReadFile(template); err != nil || string(now) != string(old) {
		t.Errorf("the redone stage's generation_config.json differs (%v)", err)
	}
}

func readResults(dir string) (*report.Run, error) {
	data, err := os.ReadFile(filepath.Join(dir, ResultsName))
	if err != nil {
		return nil, err
	}
	var out report.Run
	return &out, json.Unmarshal(data, &out)
}

// TestWithoutVocabulary trains a model as it is, tunes it on its own answers and on data, and measures each step.
func TestWithoutVocabulary(t *testing.T) {
	path := folder(t, 2)
	short := "sequence_len: 64, per_device_batch_size: 1, max_steps: 2, shuffle_tokens: 4096"
	text := fmt.Sprintf(`
model: {source: %s/base}
train: {data: [ru.txt], train: all, %[2]s, phases: [{}, {learning_rate: 1e-5}]}
calibrate: {prompts: [prompts.txt], max_new_tokens: 3, filters: {keep_cut_off: true, near_duplicates: 0, max_repetition: 1}}
tune: {data: [chats.jsonl], %[2]s}
instruct: {data: [chats.jsonl], %[2]s}
eval: {models: [source, donor, phase, tuned, instructed], held_out: {ru: [short.txt]}}
`, family(t), short)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := start(path, DefaultOptions())
	must(t, r, err, 11, 0) // two phases, answers, tuning, instructing, five models measured, report
	out, err := readResults(filepath.Join(filepath.Dir(path), "run"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range out.Models {
		got = append(got, strings.TrimSpace(m.Name+" "+m.Role+" "+m.Step))
		if m.Languages["ru"].BitsPerByte == nil {
			t.Errorf("%s is not measured", m.Name)
		}
	}
	want := []string{"source source", "train-1 donor phase", "train-2 donor", "tune result tuned", "instruct result instructed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if out.Reference != "source" {
		t.Errorf("models are held against %q", out.Reference)
	}
}

// TestTwoProcesses holds that a run folder has one process at work.
func TestTwoProcesses(t *testing.T) {
	r, err := Load(folder(t, 2), LoadOptions{RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	run, err := Open(r, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(r, DefaultOptions())
	wantError(t, err, "another process is at work", "--out")
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	run, err = Open(r, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	run.Close()
}

// TestInterrupt holds that a run that is stopped goes on.
func TestInterrupt(t *testing.T) {
	path := folder(t, 400)
	r, err := Load(path, LoadOptions{RunDir: filepath.Join(filepath.Dir(path), "run")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opts := DefaultOptions()
	opts.Until, opts.Threads = "train", 1
	opts.Progress = func(_, what, _ string) (func(done, total int64), func()) {
		return func(done, _ int64) {
			if what == "train" && done > 3 {
				cancel()
			}
		}, func() {}
	}
	run, err := Open(r, opts)
	if err != nil {
		t.Fatal(err)
	}
	_, err = run.Run(ctx)
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want a cancelled run", err)
	}
	s, err := ReadStatus(r.RunDir)
	if err != nil || s.Done != 2 || s.Stages[2].State != Stopped {
		t.Fatalf("status: %+v, %v", s, err)
	}
}

// TestKill kills a run at 20 random moments and compares what it comes to with a run left alone.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 21 processes")
	}
	straight, killed := folder(t, 12), folder(t, 12)
	began := time.Now()
	if _, err := start(straight, DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	rng := rand.New(rand.NewPCG(1, 2))
	ended := 0
	for range 20 {
		cmd := child(t, killed)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + time.Duration(rng.Int64N(int64(took/5+1))))
		if err := cmd.Process.Kill(); err != nil {
			ended++
		}
		_ = cmd.Wait() // it was killed
	}
	cmd := child(t, killed)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if ended == 20 {
		t.Error("no process was killed at work")
	}
	if diff := cmp.Diff(digestsOf(t, filepath.Dir(straight)), digestsOf(t, filepath.Dir(killed))); diff != "" {
		t.Errorf("the killed run differs (-straight +killed):\n%s", diff)
	}
	if diff := cmp.Diff(figures(t, filepath.Dir(straight)), figures(t, filepath.Dir(killed))); diff != "" {
		t.Errorf("results.json of the killed run differs (-straight +killed):\n%s", diff)
	}
}

func child(t *testing.T, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	return cmd
}

// digestsOf lists what a run made, without what tells of times.
func digestsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	records, err := filepath.Glob(filepath.Join(dir, "run", stagesDir, "*", recordName))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range records {
		r, err := readRecord(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		if r.State != Done {
			t.Errorf("%s is %s", path, r.State)
		}
		for name, f := range r.Outputs {
			switch ext := filepath.Ext(name); {
			case ext == ".safetensors", ext == ".gguf", strings.HasPrefix(filepath.Base(name), "tokenizer"), name == "answers.jsonl":
				out[r.Stage+"/"+name] = f.SHA256
			}
		}
	}
	if len(out) < 8 {
		t.Errorf("only %d files were compared", len(out))
	}
	return out
}

// figures are the results of a run without its times and places.
func figures(t *testing.T, dir string) *report.Run {
	t.Helper()
	r, err := readResults(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	r.Steps, r.Reproduce, r.Curves = nil, nil, nil
	for i := range r.Models {
		r.Models[i].Digest = "" // lep.json beside the weights holds paths
		for name, l := range r.Models[i].Languages {
			l.CharactersPerSecond = nil
			r.Models[i].Languages[name] = l
		}
	}
	for i := range r.Answers {
		for j := range r.Answers[i].Answers {
			r.Answers[i].Answers[j].Seconds = 0
		}
	}
	return r
}

// TestMayStart says which stages may run beside which: evaluations among themselves more than others, all as far as memory allows.
func TestMayStart(t *testing.T) {
	train, tune, one, two := &Stage{Kind: KindTrain}, &Stage{Kind: KindTune}, &Stage{Kind: KindEval}, &Stage{Kind: KindEval}
	for _, tt := range []struct {
		name           string
		jobs, evals    int
		memory         int64
		stage, running *Stage
		want           bool
	}{
		{"nothing runs", 1, 0, 1, train, nil, true},
		{"one at a time", 1, 0, 0, one, two, false},
		{"evaluations together", 1, 2, 0, one, two, true},
		{"a training beside an evaluation", 1, 2, 0, train, one, false},
		{"an evaluation beside a training", 1, 2, 0, one, train, false},
		{"two jobs", 2, 0, 0, train, tune, true},
		{"two jobs and too little memory", 2, 0, 15, train, tune, false},
		{"two jobs and enough memory", 2, 0, 20, train, tune, true},
	} {
		r := &Run{opts: Options{Jobs: tt.jobs, EvalJobs: tt.evals, Memory: tt.memory, Threads: 2}, state: map[*Stage]*stageState{}}
		running := map[*Stage]bool{}
		for _, s := range []*Stage{train, tune, one, two} {
			r.state[s] = &stageState{memory: 10}
		}
		if tt.running != nil {
			running[tt.running] = true
		}
		if got := r.mayStart(tt.stage, running); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	r := &Run{opts: Options{Jobs: 1, EvalJobs: 2, Threads: 4}}
	if got := []int{r.threads(train), r.threads(one)}; got[0] != 4 || got[1] != 2 {
		t.Errorf("threads of a training and an evaluation: %v, want 4 and 2", got)
	}
}
