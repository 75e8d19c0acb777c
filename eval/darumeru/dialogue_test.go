package darumeru

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/chat"
	"lep/eval"
)

// second always takes the second choice and remembers what it was asked.
type second struct {
	asked []string
	room  int // words of a prompt
}

func (*second) Describe() eval.Description {
	return eval.Description{Name: "second", Digest: "second"}
}
func (*second) Supports(eval.Task) error { return nil }
func (m *second) PromptTokens(list []chat.Message) (int, error) {
	return len(strings.Fields(list[0].Content)) + 4096 - m.room, nil
}
func (m *second) Answer(_ context.Context, _ eval.Task, requests []eval.Request, keep func(int, eval.Answer) error) error {
	for i, q := range requests {
		m.asked = append(m.asked, q.Messages[0].Content)
		if err := keep(i, eval.Answer{Probs: []float64{0.2, 0.5}}); err != nil {
			return err
		}
	}
	return nil
}

const conversations = `{"messages": [{"role": "user", "content": "{context}|{question} 1 {choice1} 2 {choice2}"}, {"role": "bot", "content": "Ответ:"}], "inputs": {"question": "Да?", "choice1": "а", "choice2": "б"}, "outputs": "1", "meta": {"dialog_id": 0, "question_id": 0}}
{"messages": [{"role": "user", "content": "{context}|{question} 1 {choice1} 2 {choice2}"}, {"role": "bot", "content": "Ответ:"}], "inputs": {"question": "Ещё?", "choice1": "в", "choice2": "г"}, "outputs": "1", "meta": {"dialog_id": 0, "question_id": 1}}
{"messages": [{"role": "user", "content": "{context}|{question} 1 {choice1} 2 {choice2}"}, {"role": "bot", "content": "Ответ:"}], "inputs": {"question": "Нет?", "choice1": "д", "choice2": "е"}, "outputs": "2", "meta": {"dialog_id": 1, "question_id": 0}}
`

// TestDialogue: later questions see the gold answers, or with rutie_own those that the model gave
// to the questions as they stand; another dialogue begins with nothing before it; what has no room
// leaves at the front.
func TestDialogue(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "darumeru", "data", "rutie", "test.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(conversations), 0o644); err != nil {
		t.Fatal(err)
	}
	first := []string{"|Да? 1 а 2 б", "|Да? 1 б 2 а"}
	last := []string{"|Нет? 1 д 2 е", "|Нет? 1 е 2 д"}
	for _, tt := range []struct {
		name, task string
		room       int
		between    []string
	}{
		{"gold answers", "rutie", 4096, []string{"Да?\n1. а\n2. б\nОтвет: 1|Ещё? 1 в 2 г", "Да?\n1. а\n2. б\nОтвет: 1|Ещё? 1 г 2 в"}},
		{"own answers", "rutie_own", 4096, []string{"Да?\n1. а\n2. б\nОтвет: 2|Ещё? 1 в 2 г", "Да?\n1. а\n2. б\nОтвет: 2|Ещё? 1 г 2 в"}},
		{"no room", "rutie_own", 6, []string{"|Ещё? 1 в 2 г", "|Ещё? 1 г 2 в"}},
		{"no room for the question", "rutie", 2, []string{"|Ещё? 1 в 2 г", "|Ещё? 1 г 2 в"}},
	} {
		tasks, err := Select([]string{tt.task})
		if err != nil {
			t.Fatal(err)
		}
		m := &second{room: tt.room}
		r, err := eval.Run(t.Context(), m, tasks, eval.Options{Data: eval.Data{Dirs: []string{dir}}})
		if err != nil || len(r.Failed) > 0 {
			t.Fatalf("%s: %v, %v", tt.name, err, r.Failed)
		}
		want := append(append(append([]string{}, first...), tt.between...), last...)
		if got := strings.Join(m.asked, "#"); got != strings.Join(want, "#") {
			t.Errorf("%s: asked\n%q, want\n%q", tt.name, m.asked, want)
		}
		if r.Extra[tt.task] != 0 || r.Samples[tt.task].Original != 6 {
			t.Errorf("%s: score %v of %+v, want 0 of 6: no pair is right both ways", tt.name, r.Extra, r.Samples)
		}
		if n := r.Samples[tt.task].TooLong; (n > 0) != (tt.room == 2) {
			t.Errorf("%s: %d requests too long", tt.name, n)
		}
	}
}

// TestOwnAnswersResume asks nothing again, although the questions follow from answers.
func TestOwnAnswersResume(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rutie", "test.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(conversations), 0o644); err != nil {
		t.Fatal(err)
	}
	tasks, err := Select([]string{"rutie_own"})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	for run, want := range []int{6, 0} {
		m := &second{room: 4096}
		r, err := eval.Run(t.Context(), m, tasks, eval.Options{Data: eval.Data{Dirs: []string{dir}}, Out: out, Resume: run > 0})
		if err != nil || len(r.Failed) > 0 || len(m.asked) != want || r.Samples["rutie_own"].Effective != 6 {
			t.Errorf("run %d: %v, %v, asked %d times, want %d; %+v", run, err, r.Failed, len(m.asked), want, r.Samples)
		}
	}
}
