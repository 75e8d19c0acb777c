package darumeru

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"unicode/utf8"

	"lep/chat"
	"lep/eval"
	"lep/internal/golden"
)

// TestMetrics holds every metric against the Python libraries.
func TestMetrics(t *testing.T) {
	n := 0
	golden.Lines(t, golden.Shared(t, "reference", "darumeru", "metrics.jsonl"), func(line []byte) {
		var c struct {
			ID, Metric, Tag             string
			Prediction, Reference, Args json.RawMessage
			Value                       any
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		n++
		got, err := Measure(c.Metric, c.Prediction, c.Reference, c.Args)
		if err != nil {
			t.Errorf("%s %s: %v", c.ID, c.Metric, err)
			return
		}
		raw, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		if !near(back, c.Value) {
			t.Errorf("%s %s %s: got %v, want %v for %.200s and %.200s", c.ID, c.Metric, c.Tag, back, c.Value, c.Prediction, c.Reference)
		}
	})
	if n != 581 {
		t.Errorf("%d cases, want 581", n)
	}
}

// near compares JSON values, numbers to 1e-9; an empty list equals null.
func near(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= 1e-9
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !near(a[k], b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !near(a[i], b[i]) {
				return false
			}
		}
		return true
	case nil:
		l, ok := b.([]any)
		return ok && len(l) == 0
	}
	return reflect.DeepEqual(a, b)
}

// chatML is the length that messages.jsonl was made with: code points of a rendering.
func chatML(messages []chat.Message) int {
	n := 0
	for i, m := range messages {
		n += utf8.RuneCountInString("<|im_start|>" + m.Role + "\n" + m.Content)
		switch {
		case m.Role == "assistant" && i == len(messages)-1:
		case i == len(messages)-1:
			n += len("<|im_end|>\n<|im_start|>assistant\n")
		default:
			n += len("<|im_end|>\n")
		}
	}
	return n
}

func plan(t testing.TB, k, maxLen int) eval.Plan {
	return eval.Plan{
		Data:       eval.Data{Dirs: []string{golden.Shared(t, "reference", "darumeru", "samples")}},
		NumFewshot: k, Wording: DefaultWording(), Warn: t.Logf,
		Fits: func(m []chat.Message) (bool, error) { return chatML(m) < maxLen, nil },
	}
}

// TestMessages builds every request of the sample data and compares those of the reference.
func TestMessages(t *testing.T) {
	built := map[string][]eval.Request{}
	n := 0
	golden.Lines(t, golden.Shared(t, "reference", "darumeru", "messages.jsonl"), func(line []byte) {
		var c struct {
			Task         string
			K            int
			MaxPromptLen int `json:"max_prompt_len"`
			Index, Of    int
			Method       string
			MaxNewTokens int `json:"max_new_tokens"`
			Messages     []chat.Message
			Choices      []string
			Expected     any
			Answer       string `json:"ppl_answer"`
			PromptChars  int    `json:"prompt_chars"`
			Subject      string
			ID           *int
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		n++
		tasks, err := Select([]string{c.Task})
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(c.Task, c.K, c.MaxPromptLen)
		if built[key] == nil {
			list, err := tasks[0].Requests(t.Context(), plan(t, c.K, c.MaxPromptLen))
			if err != nil {
				t.Fatalf("%s: %v", c.Task, err)
			}
			built[key] = list
		}
		if len(built[key]) != c.Of {
			t.Fatalf("%s: %d requests, want %d", key, len(built[key]), c.Of)
		}
		got := built[key][c.Index]
		if a, b := asJSON(t, got.Messages), asJSON(t, c.Messages); a != b {
			t.Errorf("%s %d:\n got %s\nwant %s", key, c.Index, a, b)
		}
		if a, b := asJSON(t, got.Gold), asJSON(t, c.Expected); !near(decode(t, a), decode(t, b)) {
			t.Errorf("%s %d: gold %s, want %s", key, c.Index, a, b)
		}
		if !reflect.DeepEqual(got.Choices, c.Choices) || tasks[0].MaxNewTokens != c.MaxNewTokens || chatML(got.Messages) != c.PromptChars {
			t.Errorf("%s %d: choices %q, %d new tokens, %d characters; want %q, %d, %d", key, c.Index, got.Choices, tasks[0].MaxNewTokens, chatML(got.Messages), c.Choices, c.MaxNewTokens, c.PromptChars)
		}
		if method := map[string]eval.Method{"generate": eval.Generate, "calculate_tokens_proba": eval.Choice, "calculate_logsoftmax": eval.LogProb}[c.Method]; method != tasks[0].Method {
			t.Errorf("%s: method %s, want %s", c.Task, tasks[0].Method, method)
		}
		if got.Answer != c.Answer {
			t.Errorf("%s %d: answer %q, want %q", key, c.Index, got.Answer, c.Answer)
		}
		if c.Subject != "" && got.Fields["subject"] != c.Subject || c.ID != nil && *c.ID != got.ID {
			t.Errorf("%s %d: subject %v, id %d; want %q, %v", key, c.Index, got.Fields["subject"], got.ID, c.Subject, c.ID)
		}
	})
	if n != 330 {
		t.Errorf("%d requests, want 330", n)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func decode(t *testing.T, s string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestLayouts reads the same records as JSON lines, parquet and CSV.
func TestLayouts(t *testing.T) {
	samples := golden.Shared(t, "reference", "darumeru", "samples")
	for _, tt := range []struct{ task, dir, kind string }{
		{"multiq", samples + "/parquet", "darumeru"},
		{"treewayabstractive", samples + "/parquet", "daru_treeway_eval"},
		{"rucola", samples + "/rucola/csv", "rucola"},
		{"rwsd", samples + "/darumeru", "hub"},
	} {
		tasks, err := Select([]string{tt.task})
		if err != nil {
			t.Fatal(err)
		}
		want, err := tasks[0].Requests(t.Context(), plan(t, 5, 1e6))
		if err != nil {
			t.Fatal(err)
		}
		p := plan(t, 5, 1e6)
		// A folder with nothing but this form of the data.
		p.Data = eval.Data{Dirs: []string{tt.dir}}
		if tt.kind == "rucola" {
			p.Data.Dirs = []string{onlyCSV(t, tt.dir)}
		}
		if tt.kind == "hub" {
			p.Data = eval.Data{Hub: hubCache(t, tt.dir)}
		}
		got, err := tasks[0].Requests(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := asJSON(t, got), asJSON(t, want); a != b {
			t.Errorf("%s: other requests from %s:\n%.600s\nwant\n%.600s", tt.task, tt.dir, a, b)
		}
	}
}
