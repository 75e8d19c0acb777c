package darumeru

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/eval"
	"lep/infer"
	"lep/internal/golden"
	"lep/tokenizer"
)

// openTiny opens the tiny random model of the reference run, with its tokenizer.
func openTiny(t testing.TB) *infer.Engine {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []string{
		golden.Shared(t, "reference", "tokenizers", "models", "darulm-32000-bpe"),
		golden.Shared(t, "reference", "darumeru", "e2e", "model"),
	} {
		unpacked := golden.Unpack(t, from)
		entries, err := os.ReadDir(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.Rename(filepath.Join(unpacked, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := infer.DefaultOptions()
	o.Threads = 1
	e, err := infer.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// wanted is a request of the reference run.
type wanted struct {
	Task         string
	K, Index     int
	PromptTokens int `json:"prompt_tokens"`
	Proba        json.RawMessage
	Tokens       []int32
	LogProbs     []float64
	Text         string
	NTokens      int     `json:"n_tokens"`
	FirstTokens  []int32 `json:"first_tokens"`
	Prompt       string
}

// TestEndToEnd runs all tasks on the tiny model as the reference did (base model, 0 and 5
// examples) and compares every probability, log-probability and text, the totals and groups.
func TestEndToEnd(t *testing.T) {
	dir := golden.Shared(t, "reference", "darumeru", "e2e")
	want := map[string][]wanted{}
	golden.Lines(t, filepath.Join(dir, "samples.jsonl"), func(line []byte) {
		var w wanted
		if err := json.Unmarshal(line, &w); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(w.Task, w.K)
		want[key] = append(want[key], w)
	})
	engine := openTiny(t)
	m, err := eval.NewNative(engine, eval.NativeOptions{Name: "tiny", Digest: "tiny", NoChatTemplate: true})
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := Select([]string{"darumeru", "rutie"})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []int{0, 5} {
		t.Run(fmt.Sprint(k, " examples"), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			result, err := eval.Run(t.Context(), m, tasks, eval.Options{
				Data:    eval.Data{Dirs: []string{golden.Shared(t, "reference", "darumeru", "samples")}},
				Wording: DefaultWording(), NumFewshot: k, MaxPromptLen: 4000, Out: out, Seed: 1, LogSamples: true, Warn: t.Logf,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range tasks {
				samples, err := eval.ReadSamples(filepath.Join(out, "samples", task.Name+".jsonl"))
				if err != nil {
					t.Fatal(err)
				}
				key := fmt.Sprint(task.Name, k)
				if want[key] == nil && (task.Name == "treewayextractive" || task.Name == "rutie") {
					key = fmt.Sprint(task.Name, 0) // takes no examples: stored once
				}
				compareSamples(t, engine.Tokenizer(), key, samples, want[key])
			}
			compareTotals(t, dir, k, result)
		})
	}
}

// TestAnswerLogProbs scores the right answers behind the prompts.
func TestAnswerLogProbs(t *testing.T) {
	m, err := eval.NewNative(openTiny(t), eval.NativeOptions{Name: "tiny", NoChatTemplate: true})
	if err != nil {
		t.Fatal(err)
	}
	built := map[string][]eval.Request{}
	n := 0
	golden.Lines(t, golden.Shared(t, "reference", "darumeru", "e2e", "answer_logprob.jsonl"), func(line []byte) {
		var c struct {
			Task     string
			K, Index int
			Answer   string
			LogProbs []float64
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		n++
		if built[c.Task] == nil {
			tasks, err := Select([]string{c.Task})
			if err != nil {
				t.Fatal(err)
			}
			if built[c.Task], err = tasks[0].Requests(t.Context(), plan(t, c.K, 1e6)); err != nil {
				t.Fatal(err)
			}
		}
		q := built[c.Task][c.Index]
		if q.Answer != c.Answer {
			t.Errorf("%s %d: answer %q, want %q", c.Task, c.Index, q.Answer, c.Answer)
		}
		got, err := m.AnswerLogProbs(t.Context(), []eval.Request{q})
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0]) != len(c.LogProbs) {
			t.Fatalf("%s %d: %d tokens, want %d", c.Task, c.Index, len(got[0]), len(c.LogProbs))
		}
		for i, v := range got[0] {
			if math.Abs(v-c.LogProbs[i]) > 1e-4 {
				t.Errorf("%s %d: token %d: %g, want %g", c.Task, c.Index, i, v, c.LogProbs[i])
			}
		}
	})
	if n == 0 {
		t.Error("no cases")
	}
}

func compareSamples(t *testing.T, tok *tokenizer.Tokenizer, key string, got []eval.Sample, want []wanted) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: the reference has no samples", key)
	}
	for _, w := range want {
		if w.Index >= len(got) {
			t.Fatalf("%s: %d samples, the reference has number %d", key, len(got), w.Index)
		}
		s := got[w.Index]
		var prompt string
		if err := s.Field("prompt", &prompt); err != nil {
			t.Fatal(err)
		}
		if w.Prompt != "" && prompt != trimmed(w.Prompt) && prompt != w.Prompt && w.Proba == nil {
			t.Errorf("%s %d: prompt\n%q, want\n%q", key, w.Index, prompt, w.Prompt)
		}
		switch {
		case w.Proba != nil:
			choices, proba, err := eval.ReadChoices(w.Proba)
			if err != nil {
				t.Fatal(err)
			}
			mine, scores, err := eval.ReadChoices(s.Prediction)
			if err != nil || !slices.Equal(choices, mine) {
				t.Fatalf("%s %d: choices %q, %v, want %q", key, w.Index, mine, err, choices)
			}
			for i := range proba {
				if math.Abs(scores[i]-proba[i]) > 1e-4*proba[i] {
					t.Errorf("%s %d: P(%s) = %g, want %g", key, w.Index, choices[i], scores[i], proba[i])
				}
			}
		case w.LogProbs != nil:
			var mine []float64
			if err := json.Unmarshal(s.Prediction, &mine); err != nil || len(mine) != len(w.LogProbs) {
				t.Fatalf("%s %d: %d log-probabilities, %v, want %d", key, w.Index, len(mine), err, len(w.LogProbs))
			}
			for i := range mine {
				if math.Abs(mine[i]-w.LogProbs[i]) > 1e-4 {
					t.Errorf("%s %d: log-probability %d is %g, want %g", key, w.Index, i, mine[i], w.LogProbs[i])
				}
			}
		default:
			text, err := s.Text()
			if err != nil {
				t.Fatal(err)
			}
			var tokens int
			if err := s.Field("predicted_tokens", &tokens); err != nil {
				t.Fatal(err)
			}
			// Behind the first 48 tokens nearly equal logits may be decided by rounding.
			begin := strings.TrimRight(tok.DecodeSkip(w.FirstTokens), "\ufffd")
			if !strings.HasPrefix(text, begin) || len(w.FirstTokens) < 48 && text != w.Text || tokens != w.NTokens {
				t.Errorf("%s %d: %d tokens\n%.300q, want %d\n%.300q", key, w.Index, tokens, text, w.NTokens, begin)
			}
		}
	}
}

// trimmed is a prompt without the blank that the reference moved into it.
func trimmed(s string) string { return s[:len(s)-len(" ")] }

func compareTotals(t *testing.T, dir string, k int, got *eval.Result) {
	t.Helper()
	golden.Lines(t, filepath.Join(dir, "totals.jsonl"), func(line []byte) {
		var w struct {
			Task        string
			K           int
			Results     map[string]float64
			Leaderboard float64 `json:"leaderboard_result"`
		}
		if err := json.Unmarshal(line, &w); err != nil {
			t.Fatal(err)
		}
		if w.K != k {
			return
		}
		for name, v := range w.Results {
			if mine, ok := got.Results[w.Task][name]; !ok || math.Abs(mine-v) > 1e-9 {
				t.Errorf("%s %s = %g, want %g", w.Task, name, mine, v)
			}
		}
		if mine := got.Scores[w.Task].Score; math.Abs(mine-w.Leaderboard) > 1e-9 {
			t.Errorf("%s: score %g, want %g", w.Task, mine, w.Leaderboard)
		}
	})
	var reports []struct {
		K      int
		Groups map[string]float64
		Total  float64
		Extra  map[string]float64
	}
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "report.json")), &reports); err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		if r.K != k {
			continue
		}
		for group, v := range r.Groups {
			if math.Abs(got.Groups[group]-v) > 1e-9 {
				t.Errorf("%s = %g, want %g", group, got.Groups[group], v)
			}
		}
		if got.Total == nil || math.Abs(*got.Total-r.Total) > 1e-9 {
			t.Errorf("total %v, want %g", got.Total, r.Total)
		}
		if got.Extra["rutie"] != r.Extra["rutie"] {
			t.Errorf("rutie %g, want %g", got.Extra["rutie"], r.Extra["rutie"])
		}
	}
}
