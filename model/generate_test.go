package model

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"lep/internal/golden"
	"lep/internal/testmodel"
)

type goldenRun struct {
	Prompt []int32 `json:"prompt"`
	NewIDs []int32 `json:"new_ids"`
}

// greedyRun decodes greedily from a cache slot, and returns the logits of each step.
func greedyRun(t testing.TB, m *Model, prompt []int32, n int, penalty float64, stop []int32) (ids []int32, logits []float32) {
	t.Helper()
	c, err := m.NewCache(1, len(prompt)+n)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSampler(Sampling{RepetitionPenalty: penalty}, 0)
	next, all := prompt, slices.Clone(prompt)
	v, d := m.Config.VocabSize, m.Config.HiddenSize
	row := make([]float32, v)
	for range n {
		h, err := m.Extend(c, []Span{{0, next}})
		if err != nil {
			t.Fatal(err)
		}
		m.Logits(row, h[len(h)-d:])
		logits = append(logits, row...)
		id, err := s.Next(row, all)
		if err != nil {
			t.Fatal(err)
		}
		ids, all, next = append(ids, id), append(all, id), []int32{id}
		if slices.Contains(stop, id) {
			break
		}
	}
	return ids, logits
}

func TestGoldenGeneration(t *testing.T) {
	for _, name := range goldenModels {
		t.Run(name, func(t *testing.T) {
			m := loadGolden(t, name, "config.json", Options{})
			dir := golden.Shared(t, "reference", "models", "goldens", name)
			var file goldenFile
			readJSON(t, filepath.Join(dir, "golden.json"), &file)
			var g struct {
				Greedy  []goldenRun     `json:"greedy"`
				Penalty []goldenRun     `json:"greedy_repetition_penalty_1.3"`
				EOS     json.RawMessage `json:"greedy_eos"`
			}
			if err := json.Unmarshal(file.Generate, &g); err != nil {
				t.Fatal(err)
			}
			if len(g.Greedy) == 0 || len(g.Penalty) == 0 {
				t.Fatal("no greedy runs in the golden")
			}
			f := testmodel.Read(t, filepath.Join(dir, "forward.safetensors"))
			for i, r := range g.Greedy {
				ids, logits := greedyRun(t, m, r.Prompt, len(r.NewIDs), 1, nil)
				if !slices.Equal(ids, r.NewIDs) {
					t.Errorf("greedy from %d ids: %v, want %v", len(r.Prompt), ids, r.NewIDs)
				}
				if i == len(g.Greedy)-1 {
					near(t, "generate.logits", logits, f.Float32(t, "generate.logits"), hiddenLimit)
				}
			}
			for _, r := range g.Penalty {
				if ids, _ := greedyRun(t, m, r.Prompt, len(r.NewIDs), 1.3, nil); !slices.Equal(ids, r.NewIDs) {
					t.Errorf("repetition penalty 1.3 from %d ids: %v, want %v", len(r.Prompt), ids, r.NewIDs)
				}
			}
			if g.EOS != nil {
				var e struct {
					goldenRun
					EOS TokenIDs `json:"eos_token_id"`
				}
				if err := json.Unmarshal(g.EOS, &e); err != nil {
					t.Fatal(err)
				}
				if ids, _ := greedyRun(t, m, e.Prompt, len(e.NewIDs)+8, 1, e.EOS); !slices.Equal(ids, e.NewIDs) {
					t.Errorf("until eos %v: %v, want %v", e.EOS, ids, e.NewIDs)
				}
			}
			batchedGreedy(t, m, g.Greedy)
		})
	}
}

// batchedGreedy runs all prompts in one cache, a step at a time.
func batchedGreedy(t *testing.T, m *Model, runs []goldenRun) {
	t.Helper()
	c, err := m.NewCache(len(runs), 64)
	if err != nil {
		t.Fatal(err)
	}
	v, d := m.Config.VocabSize, m.Config.HiddenSize
	spans, got := make([]Span, len(runs)), make([][]int32, len(runs))
	for i, r := range runs {
		spans[i] = Span{i, r.Prompt}
	}
	row := make([]float32, v)
	for range runs[0].NewIDs {
		h, err := m.Extend(c, spans)
		if err != nil {
			t.Fatal(err)
		}
		h = slices.Clone(h)
		at := 0
		for i := range spans {
			at += len(spans[i].IDs)
			m.Logits(row, h[(at-1)*d:at*d])
			id, err := largest(row)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = append(got[i], id)
			spans[i].IDs = []int32{id}
		}
	}
	for i, r := range runs {
		if !slices.Equal(got[i], r.NewIDs) {
			t.Errorf("batched, sequence %d: %v, want %v", i, got[i], r.NewIDs)
		}
	}
}

func TestGoldenStoriesGeneration(t *testing.T) {
	m := loadGolden(t, "stories260K", "config.json", Options{})
	var file goldenFile
	readJSON(t, golden.Shared(t, "reference", "models", "goldens", "stories260K", "golden.json"), &file)
	var runs []struct {
		PromptIDs []int32  `json:"prompt_ids"`
		NewIDs    []int32  `json:"new_ids"`
		EOS       TokenIDs `json:"eos_token_id"`
	}
	if err := json.Unmarshal(file.Generate, &runs); err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if ids, _ := greedyRun(t, m, r.PromptIDs, len(r.NewIDs)+len(r.EOS), 1, r.EOS); !slices.Equal(ids, r.NewIDs) {
			t.Errorf("from %v: %v, want %v", r.PromptIDs, ids, r.NewIDs)
		}
	}
}

// TestCachePrefix shares a prefix between slots and takes tokens back: the hidden states of
// what follows must be those of a sequence computed whole.
func TestCachePrefix(t *testing.T) {
	for _, name := range []string{"llama-gqa-f32", "mistral-swa-f16", "gemma2-optional-bf16"} {
		m := loadGolden(t, name, "config.json", Options{})
		f := testmodel.Read(t, golden.Shared(t, "reference", "models", "goldens", name, "forward.safetensors"))
		b := goldenBatch(t, f, "plain")
		want := f.Float32(t, "plain.final_norm")[:b.T*m.Config.HiddenSize]
		c, err := m.NewCache(2, b.T)
		if err != nil {
			t.Fatal(err)
		}
		ids := b.InputIDs[:b.T]
		if _, err := m.Extend(c, []Span{{0, ids[:30]}}); err != nil {
			t.Fatal(err)
		}
		c.Copy(1, 0, 25)
		if _, err := m.Extend(c, []Span{{1, ids[:5]}}); err != nil { // a wrong turn
			t.Fatal(err)
		}
		c.Truncate(1, 25)
		got, err := m.Extend(c, []Span{{1, ids[25:]}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+": hidden behind a shared prefix", got, want[25*m.Config.HiddenSize:], hiddenLimit)
	}
}
