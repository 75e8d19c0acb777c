package darumeru

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"lep/chat"
	"lep/eval"
	"lep/internal/golden"
)

// dice answers at random, the same to the same question: now and then rightly, so that no
// metric is 0 or 1 throughout.
type dice struct{}

func (dice) Describe() eval.Description {
	return eval.Description{Name: "dice", Digest: "dice", Context: 4096}
}
func (dice) Supports(eval.Task) error                   { return nil }
func (dice) PromptTokens(m []chat.Message) (int, error) { return len(m), nil }

func (dice) Answer(_ context.Context, t eval.Task, requests []eval.Request, keep func(int, eval.Answer) error) error {
	for i, q := range requests {
		h := fnv.New64a()
		fmt.Fprint(h, t.Name, q.Messages)
		rng := rand.New(rand.NewPCG(1, h.Sum64()))
		a := eval.Answer{PromptTokens: rng.IntN(500), Seconds: rng.Float64()}
		for range q.Choices {
			a.Probs = append(a.Probs, rng.Float64())
		}
		if t.Method == eval.LogProb {
			for range 5 + rng.IntN(5) {
				a.LogProbs = append(a.LogProbs, -rng.ExpFloat64())
			}
		}
		if t.Method == eval.Generate {
			a.Text, a.Tokens, a.ReferenceTokens = q.Answer[1:], 1+rng.IntN(50), 1+rng.IntN(50)
			if runes := []rune(a.Text); rng.IntN(3) > 0 {
				a.Text = string(runes[:rng.IntN(len(runes)+1)]) + " Ответ\u2028 \"7\" <b>"
			}
		}
		if err := keep(i, a); err != nil {
			return err
		}
	}
	return nil
}

// TestScoreAgain grades the samples that a run has saved, of every task: each metric, standard
// error and interval is that of results.json to the last digit.
func TestScoreAgain(t *testing.T) {
	tasks, err := Select(Names())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	data := eval.Data{Dirs: []string{golden.Shared(t, "reference", "darumeru", "samples")}}
	if _, err := eval.Run(t.Context(), dice{}, tasks, eval.Options{Data: data, Wording: DefaultWording(), Seed: 3, Out: out}); err != nil {
		t.Fatal(err)
	}
	saved, err := eval.ReadResult(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(saved.Failed) > 0 || len(saved.Results) != len(tasks) {
		t.Fatalf("%d tasks, failed %v; want all %d", len(saved.Results), saved.Failed, len(tasks))
	}
	for _, task := range tasks {
		list, err := eval.ReadSamples(filepath.Join(out, eval.SamplesDir, task.Name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		metrics, score, err := eval.Grade(task, list, 3)
		if err != nil {
			t.Fatal(err)
		}
		for what, pair := range map[string][2]any{"metrics": {metrics, saved.Results[task.Name]}, "score": {score, saved.Scores[task.Name]}} {
			again, err := json.Marshal(pair[0])
			if err != nil {
				t.Fatal(err)
			}
			if first, err := json.Marshal(pair[1]); err != nil || string(again) != string(first) {
				t.Errorf("%s: %s again %s, in the results %s (%v)", task.Name, what, again, first, err)
			}
		}
		if score.Stderr == 0 {
			t.Errorf("%s: no spread, so that the test says little: %+v", task.Name, score)
		}
	}
}
