package eval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/chat"
)

// fixedModel answers "right" to every other question and fails when it is told to.
type fixedModel struct {
	digest string
	asked  int
	failAt int // number of a request, 0 for never
}

func (m *fixedModel) Describe() Description {
	return Description{Name: "fixed", Digest: m.digest, Context: 100, Chat: true}
}
func (m *fixedModel) Supports(t Task) error {
	if t.Name == "impossible" {
		return errors.New("the model cannot do this")
	}
	return nil
}
func (m *fixedModel) PromptTokens(messages []chat.Message) (int, error) {
	n := 0
	for _, msg := range messages {
		n += len(strings.Fields(msg.Content))
	}
	return n, nil
}
func (m *fixedModel) Answer(_ context.Context, _ Task, requests []Request, keep func(int, Answer) error) error {
	for i, r := range requests {
		m.asked++
		if m.asked == m.failAt {
			return errors.New("power cut")
		}
		text := "wrong"
		if r.ID%2 == 0 {
			text = "right"
		}
		if err := keep(i, Answer{Text: text, Tokens: 1, Prompt: r.Messages[0].Content}); err != nil {
			return err
		}
	}
	return nil
}

// answerAll returns a model's answers in the order of the requests.
func answerAll(ctx context.Context, m Model, t Task, requests []Request) ([]Answer, error) {
	out := make([]Answer, len(requests))
	err := m.Answer(ctx, t, requests, func(i int, a Answer) error {
		out[i] = a
		return nil
	})
	return out, err
}

// fixedTask asks n questions.
func fixedTask(name, group string, n int) Task {
	return Task{Name: name, Group: group, Version: 1, Method: Generate, MaxNewTokens: 5, Metrics: []string{"em"},
		Requests: func(context.Context, Plan) ([]Request, error) {
			var list []Request
			for i := range n {
				list = append(list, Request{ID: i, Gold: "right", Messages: []chat.Message{{Role: "user", Content: fmt.Sprint(name, i)}}})
			}
			return list, nil
		},
		Measure: func(s Sample) (Measured, error) {
			gold, err := s.GoldText()
			if err != nil {
				return Measured{}, err
			}
			text, err := s.Text()
			v := 0.0
			if text == gold {
				v = 1
			}
			return Measured{Values: map[string]float64{"em": v}}, err
		},
		Aggregate: func(list []Measured) (map[string]float64, error) {
			sum := 0.0
			for _, m := range list {
				sum += m.Values["em"]
			}
			return map[string]float64{"em": sum / float64(len(list))}, nil
		},
	}
}

func TestRun(t *testing.T) {
	tasks := []Task{fixedTask("a", "one", 4), fixedTask("b", "one", 5), fixedTask("impossible", "two", 2), fixedTask("x", Extra, 2)}
	out := filepath.Join(t.TempDir(), "out")
	r, err := Run(t.Context(), &fixedModel{digest: "1"}, tasks, Options{Out: out, Expected: []string{"a", "b", "impossible"}, LogSamples: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Results["a"]["em"] != 0.5 || r.Results["b"]["em"] != 0.6 || r.Groups["one"] != 0.55 || *r.Total != 0.55 {
		t.Errorf("a %v, b %v, group %v, total %v; want 0.5, 0.6, 0.55 and 0.55", r.Results["a"], r.Results["b"], r.Groups, *r.Total)
	}
	if r.Complete || len(r.Missing) != 1 || r.Failed["impossible"] != "the model cannot do this" || r.Extra["x"] != 0.5 {
		t.Errorf("complete %t, missing %q, failed %q, extra %v", r.Complete, r.Missing, r.Failed, r.Extra)
	}
	if r.Results["a"]["em_stderr"] == 0 || r.Scores["a"].Low >= r.Scores["a"].High {
		t.Errorf("no spread: %v, %v", r.Results["a"], r.Scores["a"])
	}
	// What is saved gives the same again.
	list, err := ReadSamples(filepath.Join(out, SamplesDir, "b.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	again, interval, err := Grade(tasks[1], list, 0)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(r.Results["b"]) || interval != r.Scores["b"] {
		t.Errorf("graded again: %v %v %v, want %v %v", again, interval, err, r.Results["b"], r.Scores["b"])
	}
	read, err := ReadResult(out)
	if err != nil || *read.Total != *r.Total {
		t.Errorf("ReadResult: %v, %v", read, err)
	}
}

// TestResume stops a run at every request, with a torn last line, and goes on.
func TestResume(t *testing.T) {
	tasks := []Task{fixedTask("a", "one", 5), fixedTask("b", "one", 3)}
	whole, err := Run(t.Context(), &fixedModel{digest: "1"}, tasks, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= 8; stop++ {
		out := filepath.Join(t.TempDir(), "out")
		if _, err := Run(t.Context(), &fixedModel{digest: "1", failAt: stop}, tasks, Options{Out: out}); err != nil {
			t.Fatal(err)
		}
		log, err := os.OpenFile(filepath.Join(out, answersName), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.WriteString(`{"key": "torn`); err != nil {
			t.Fatal(err)
		}
		log.Close()
		second := &fixedModel{digest: "1"}
		r, err := Run(t.Context(), second, tasks, Options{Out: out, Resume: true})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(r.Results) != fmt.Sprint(whole.Results) || len(r.Failed) > 0 {
			t.Errorf("stopped at %d: %v, %v; want %v", stop, r.Results, r.Failed, whole.Results)
		}
		want := 5 - (stop - 1) // of the task that was stopped
		if stop > 5 {
			want = 3 - (stop - 1 - 5)
		}
		if second.asked != want {
			t.Errorf("stopped at %d: %d requests asked again, want only those without an answer, %d", stop, second.asked, want)
		}
	}
}

func TestResumeRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	tasks := []Task{fixedTask("a", "one", 2)}
	if _, err := Run(t.Context(), &fixedModel{digest: "1"}, tasks, Options{Out: out}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		digest, want string
		o            Options
	}{
		{"1", "there are results already", Options{}},
		{"2", "are of another model", Options{Resume: true}},
	} {
		tt.o.Out = out
		if _, err := Run(t.Context(), &fixedModel{digest: tt.digest}, tasks, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), &fixedModel{}, tasks, Options{Out: foreign}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder of other files: %v", err)
	}
}

func TestTied(t *testing.T) {
	j := job{task: Task{Method: Choice}, answers: []Answer{{Probs: []float64{0.1, 0.1}}, {Probs: []float64{0, 0}}}}
	if !j.tied() {
		t.Error("equal probabilities everywhere are not seen")
	}
	j.answers[1].Probs[1] = 0.2
	if j.tied() {
		t.Error("one answer prefers a choice")
	}
}

// TestTwoRuns lets the second of two runs in one folder fail.
func TestTwoRuns(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	first, err := openFolder(Options{Out: out}, Description{Digest: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(Options{Out: out, Resume: true}, Description{Digest: "1"}); err == nil || !strings.Contains(err.Error(), "another run writes there") {
		t.Errorf("a second run: %v", err)
	}
	first.close()
	second, err := openFolder(Options{Out: out, Resume: true}, Description{Digest: "1"})
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	second.close()
}

func TestCompare(t *testing.T) {
	task := fixedTask("a", "one", 0)
	side := func(answers string) []Sample {
		var list []Sample
		for i, c := range answers {
			text := "wrong"
			if c == '+' {
				text = "right"
			}
			list = append(list, Sample{Index: i, ID: mustJSON(i), Gold: mustJSON("right"), Prediction: mustJSON(text)})
		}
		return list
	}
	c, err := Compare(task, side("++--------"), side("+-++++++--"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.A != 0.2 || c.B != 0.7 || c.OnlyA != 1 || c.OnlyB != 6 || len(c.Differing) != 7 {
		t.Errorf("%+v", c)
	}
	if math.Abs(*c.McNemar-0.125) > 1e-12 { // 2·(1+7)/2⁷
		t.Errorf("McNemar gives %g, want 0.125", *c.McNemar)
	}
	if c.Ahead < 0.95 || c.Low > c.Difference || c.High < c.Difference {
		t.Errorf("ahead %g, interval %g to %g around %g", c.Ahead, c.Low, c.High, c.Difference)
	}
	other := side("+")
	other[0].Gold = mustJSON("left")
	if _, err := Compare(task, side("+"), other, 1); err == nil || !strings.Contains(err.Error(), "not the same data") {
		t.Errorf("other data: %v", err)
	}
}

func TestBootstrapDrawsUnits(t *testing.T) {
	task := fixedTask("a", "one", 0)
	task.Units = true
	task.Aggregate = func(list []Measured) (map[string]float64, error) {
		keys := map[string]int{}
		for _, m := range list {
			keys[m.Key]++
		}
		for k, n := range keys {
			if n != 2 {
				return nil, fmt.Errorf("unit %s has %d answers, want both", k, n)
			}
		}
		return map[string]float64{"em": float64(len(keys))}, nil
	}
	if _, s, err := task.Bootstrap([]Measured{{Key: "1"}, {Key: "1"}, {Key: "2"}, {Key: "2"}, {Key: "3"}, {Key: "3"}}, 1); err != nil || s.Score != 3 || s.Stderr != 0 {
		t.Errorf("score %v, %v; want 3 units in every draw", s, err)
	}
}

func TestReadTask(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("test.jsonl", `{"q":"2+2?","a":4,"more":["four"]}`+"\n")
	write("shots.jsonl", `{"q":"1+1?","a":2,"more":["two"]}`+"\n"+`{"q":"1+2?","a":3,"more":["three"]}`+"\n")
	good := "task: sums\ndataset: [test.jsonl]\nexamples: [shots.jsonl]\nsystem: Count.\nprompt: \"{{ q }}\"\nlead_in: \"Answer:\"\nanswer: \"{{ a }}\"\nanswers: [\"{{ more[0] }}\"]\nmetrics: [em]\n"
	task, err := ReadTask(write("good.yaml", good))
	if err != nil {
		t.Fatal(err)
	}
	list, err := task.Requests(t.Context(), Plan{NumFewshot: 2, Fits: func([]chat.Message) (bool, error) { return true, nil }, Warn: t.Logf})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d requests, %v", len(list), err)
	}
	got := string(mustJSON(list[0].Messages))
	want := `[{"role":"system","content":"Count."},{"role":"user","content":"1+2?"},{"role":"assistant","content":"Answer: 3"},` +
		`{"role":"user","content":"1+1?"},{"role":"assistant","content":"Answer: 2"},{"role":"user","content":"2+2?"},{"role":"assistant","content":"Answer:"}]`
	if got != want || string(mustJSON(list[0].Gold)) != `["4","four"]` {
		t.Errorf("messages %s, gold %s; want %s", got, mustJSON(list[0].Gold), want)
	}
	for _, tt := range []struct{ change, to, want string }{
		{"[em]", "[acc]", `metrics: "acc"; method generate has em, f1`},
		{"{{ q }}", "{{ q", "prompt: "},
		{"sums", "Sums!", `task: "Sums!" is no name`},
		{"examples: [shots.jsonl]\n", "num_fewshot: 2\n", "num_fewshot: there is no file of examples"},
		{"metrics", "metric", `unknown key "metric"`},
	} {
		_, err := ReadTask(write("bad.yaml", strings.Replace(good, tt.change, tt.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s → %s: %v, want %q", tt.change, tt.to, err, tt.want)
		}
	}
}

func FuzzSample(f *testing.F) {
	f.Add([]byte(`{"id":1,"gold":"A","prediction":{"A":0.5,"B":1},"meta":{"subject":"anatomy"}}`))
	f.Add([]byte(`{"prediction":[1,2],"index":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Sample
		if s.UnmarshalJSON(data) != nil {
			return
		}
		_, _ = s.Picked()
		_, _ = s.Key()
		_, _ = s.GoldText()
		out, err := s.MarshalJSON()
		if err == nil && !json.Valid(out) {
			t.Errorf("%s becomes %s", data, out)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("{\"a\":1}\n\n{\"b\":2}")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := scanLines("f", strings.NewReader(text))
		for _, r := range list {
			if err == nil && !json.Valid(r.JSON) {
				t.Errorf("%s is no JSON", r.JSON)
			}
		}
	})
}

func FuzzReadTask(f *testing.F) {
	f.Add("task: a\ndataset: [x]\nprompt: p\nanswer: a\nmetrics: [em]\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "t.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = ReadTask(path)
	})
}
