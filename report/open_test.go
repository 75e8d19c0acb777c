package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/eval/darumeru"
	"lep/internal/hint"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// evaluated writes a results folder of the task ruworldtree, in which right says which answers are.
func evaluated(t testing.TB, dir, model string, n int, right func(i int) bool) {
	t.Helper()
	var lines strings.Builder
	correct := 0
	for i := range n {
		answer := `{"1":0.2,"2":0.7}`
		if right(i) {
			answer = `{"1":0.7,"2":0.2}`
			correct++
		}
		fmt.Fprintf(&lines, `{"index":%d,"id":%d,"gold":"1","prediction":%s,"prompt":"question %d"}`+"\n", i, i, answer, i)
	}
	write(t, filepath.Join(dir, "samples", "ruworldtree.jsonl"), lines.String())
	acc := float64(correct) / float64(n)
	write(t, filepath.Join(dir, "results.json"), fmt.Sprintf(`{"results": {"ruworldtree": {"acc": %g, "acc_stderr": 0.1}}, "scores": {"ruworldtree": {"score": %g, "stderr": 0.1, "low": 0.2, "high": 0.9}},
 "groups": {"DaruMERA": %g}, "groups_stderr": {"DaruMERA": 0.1}, "total": %g, "total_stderr": 0.1, "total_complete": false, "missing": ["rcb"],
 "n-samples": {"ruworldtree": {"original": %d, "effective": %d}}, "measures": {}, "config": {"model": %q, "model_digest": "d1"}}`, acc, acc, acc, acc, n, n, model))
}

func options() Options {
	o := DefaultOptions()
	o.Tasks = darumeru.Tasks()
	return o
}

func TestOpenEvaluations(t *testing.T) {
	dir := t.TempDir()
	evaluated(t, filepath.Join(dir, "old"), "models/old", 40, func(i int) bool { return i < 10 })
	evaluated(t, filepath.Join(dir, "new"), "models/new", 40, func(i int) bool { return i < 30 })
	opts := options()
	opts.Reference, opts.SamplesPerTask = "old", 15
	r, err := Open(t.Context(), []string{dir}, opts) // a folder of folders
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 2 || r.Models[1].Name != "old" || r.Models[1].Digest != "d1" {
		t.Fatalf("models: %+v", r.Models)
	}
	if len(r.Comparisons) != 1 || r.Comparisons[0].A != "old" || r.Comparisons[0].B != "new" {
		t.Fatalf("comparisons: %+v %q", r.Comparisons, r.Notes)
	}
	if c := r.Comparisons[0].Tasks[0]; c.Difference < 0.3 || c.Low <= 0 || c.McNemar == nil || *c.McNemar > 1e-4 {
		t.Errorf("20 of 40 answers became right: %+v", c)
	}
	s := r.Samples[0]
	if s.Total != 40 || len(s.List) != 15 || !strings.Contains(s.Chosen, "15 of 40") {
		t.Fatalf("samples: %d of %d, %q", len(s.List), s.Total, s.Chosen)
	}
	for _, a := range s.List {
		if !a.differs() || !a.wrong() {
			t.Errorf("%+v: those where the models differ come first", a)
		}
	}
	if a := s.List[0]; a.Prompt != "question 10" || a.Want != "1" || a.Answers[0].Text != "1 (0.7), 2 (0.2)" {
		t.Errorf("first sample: %+v", a)
	}
	seen := text(render(t, r))
	for _, want := range []string{"+0.50 *", "its total is not that of all tasks; without rcb", "new: a total of 0.750 over the tasks against 0.250, better than old", "1 better, 0 worse"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestOpenOtherData(t *testing.T) {
	dir := t.TempDir()
	evaluated(t, filepath.Join(dir, "a"), "a", 5, func(int) bool { return true })
	evaluated(t, filepath.Join(dir, "b"), "b", 5, func(int) bool { return true })
	path := filepath.Join(dir, "b", "samples", "ruworldtree.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(data), `"gold":"1"`, `"gold":"2"`, 1))
	r, err := Open(t.Context(), []string{dir}, options())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Comparisons) != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "not the same data") {
		t.Errorf("other data cannot be compared, and that is said: %+v %q", r.Comparisons, r.Notes)
	}
}

func TestOpenTrainingAndPropagation(t *testing.T) {
	dir := t.TempDir()
	donor, result := filepath.Join(dir, "donor"), filepath.Join(dir, "result")
	write(t, filepath.Join(donor, "metrics.jsonl"), `{"event":"step","step":1,"tokens":100,"loss":5.5}
{"event":"eval","step":1,"tokens":100,"eval_loss":5,"eval_bits_per_byte":1.9}
{"event":"tasks","step":1,"tokens":100,"tasks":{"multiq":0.5}}
{"event":"step","step":2,"tokens":200,"lo`) // torn by a kill
	write(t, filepath.Join(donor, "lep.json"), `{"lep": "0.1", "command": "train", "options": {"learning_rate": 0.002, "layers": "", "data": ["ru.txt"]}, "result": {"seconds": 12.5}}`)
	write(t, filepath.Join(result, "lep.json"), `{"lep": "0.1", "command": "propagate", "options": {"method": "ridge"}, "result": {"source": "s", "donor": "d", "seconds": null, "notes": ["n1"],
 "targets": [{"target": "t", "out": "elsewhere", "rows": 5080, "modules": [{"module": "lm_head", "method": "ridge", "dim": 192, "rank": 190, "residual": null, "held_out": {"tokens": 9, "r2": 0.93, "cosine": 0.97}}],
 "checks": [{"name": "finite rows", "ok": false, "detail": "row 3"}]}]}}`)
	evaluated(t, filepath.Join(dir, "eval"), result, 8, func(int) bool { return true })
	r, err := Open(t.Context(), []string{donor, result, filepath.Join(dir, "eval")}, options())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 1 || r.Models[0].Name != "result" || r.Models[0].Method != "ridge" || r.Models[0].Total == nil {
		t.Errorf("the propagated model and its evaluation are one row: %+v", r.Models)
	}
	if len(r.Curves) != 3 || r.Curves[2].Measure != "multiq" || r.Curves[0].Name != "donor" || len(r.Curves[0].Y) != 1 {
		t.Errorf("curves: %+v", r.Curves)
	}
	if len(r.Steps) != 2 || r.Steps[0].Seconds != 12.5 || len(r.Steps[0].Settings) != 2 || r.Steps[0].Settings[1] != (Setting{"data", `["ru.txt"]`}) {
		t.Errorf("steps: %+v", r.Steps)
	}
	if len(r.Notes) != 2 || !strings.Contains(r.Notes[1], `check "finite rows" not passed: row 3`) {
		t.Errorf("notes: %q", r.Notes)
	}
	seen := text(render(t, r))
	for _, want := range []string{"190 of 192", "0.9300", "12.5 s", "learning_rate"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestOpenBadInput(t *testing.T) {
	for _, tt := range []struct{ name, file, content, want string }{
		{"nothing", "notes.txt", "hello", "no results of lep run, eval, train or propagate"},
		{"cut off", "results.json", `{"results": {"ruworldtree": {"acc": 0.5`, "results.json: "},
		{"NaN", "results.json", "{\"format\": \"lep-run-1\",\n\"models\": [{\"name\": NaN}]}", "invalid character 'N'"},
		{"wrong type", "results.json", "{\"results\": {}, \"n-samples\": {},\n \"scores\": {\"parus\":\n {\"score\": \"good\"}}}", `results.json:3: "scores.score": got string, want a number`},
		{"wrong type of a run", "results.json", "{\"format\": \"lep-run-1\",\n\"models\": {}}", `results.json:2: "models": got object, want a list`},
		{"later format", "results.json", `{"format": "lep-run-9"}`, `format: got "lep-run-9", want "lep-run-1"`},
		{"other results", "results.json", `{"accuracy": 1}`, "no results of lep run"},
		{"nameless model", "results.json", `{"format": "lep-run-1", "models": [{}]}`, "models[0]: no name"},
		{"way out", "results.json", `{"format": "lep-run-1", "models": [{"name": "a", "evaluation": "../../etc"}]}`, `models[0]: evaluation: "../../etc" leads out`},
		{"no command", "lep.json", `{"options": {}}`, "no results of lep run"},
		{"propagation without result", "lep.json", `{"command": "propagate"}`, `lep.json: no "result"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, tt.file), tt.content)
			_, err := Open(t.Context(), []string{dir}, options())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("bad sample", func(t *testing.T) {
		dir := t.TempDir()
		evaluated(t, dir, "m", 3, func(int) bool { return true })
		write(t, filepath.Join(dir, "samples", "ruworldtree.jsonl"), "{\"index\":0,\"id\":0,\"gold\":\"1\",\"prediction\":{}}\n")
		_, err := Open(t.Context(), []string{dir}, options())
		if err == nil || !strings.Contains(err.Error(), "ruworldtree.jsonl") || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("got %v, want the file and the line", err)
		}
	})
	t.Run("reference", func(t *testing.T) {
		dir := t.TempDir()
		evaluated(t, filepath.Join(dir, "m"), "m", 3, func(int) bool { return true })
		opts := options()
		opts.Reference = "x"
		_, err := Open(t.Context(), []string{dir}, opts)
		if err == nil || hint.Of(err) != "the models are m" {
			t.Errorf("got %v (%s), want the names there are", err, hint.Of(err))
		}
	})
	if _, err := Open(t.Context(), nil, options()); !errors.Is(err, ErrNothing) {
		t.Errorf("no paths: got %v", err)
	}
	if _, err := Open(t.Context(), []string{"/does/not/exist"}, options()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: got %v", err)
	}
}

// TestManySamples: a hundred thousand samples make a page of a bounded size.
func TestManySamples(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a large folder is left to the full run")
	}
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		evaluated(t, filepath.Join(dir, name), name, 100_000, func(i int) bool { return i%7 != 0 || name == "a" })
	}
	r, err := Open(t.Context(), []string{dir}, options())
	if err != nil {
		t.Fatal(err)
	}
	page := render(t, r)
	if len(page) > 1<<20 || len(r.Samples[0].List) != 100 || r.Samples[0].Total != 100_000 {
		t.Errorf("%d bytes, %d samples of %d", len(page), len(r.Samples[0].List), r.Samples[0].Total)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "lep eval compare") {
		t.Errorf("what was not compared is said: %q", r.Notes)
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	if err := Save(filepath.Join(dir, "run.json"), fullRun()); err != nil {
		f.Fatal(err)
	}
	run, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil {
		f.Fatal(err)
	}
	evaluated(f, filepath.Join(dir, "e"), "m", 2, func(int) bool { return true })
	result, err := os.ReadFile(filepath.Join(dir, "e", "results.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(run)
	f.Add(result)
	f.Add([]byte(`{"donor": "d", "targets": [{"modules": [{"module": "lm_head", "rank": -1, "diagnosis": {"spectrum_ranks": [1], "spectrum_before": [], "spectrum_after": [null, 1]}}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "results.json")
		write(t, path, string(data))
		r, err := Open(t.Context(), []string{path}, DefaultOptions())
		if err != nil {
			return
		}
		if page := render(t, r); strings.Count(page, "<script") != 1 || strings.Contains(page, "ZgotmplZ") {
			t.Error("a file has changed the page's structure")
		}
	})
}
