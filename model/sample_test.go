package model

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/testmodel"
)

// probabilityLimit is the README's for probabilities.
const probabilityLimit = 1e-6

// applyStep runs one processor, written "top_p=0.9" as in the golden.
func applyStep(t *testing.T, step string, logits []float32, ids []int32) {
	t.Helper()
	name, value, _ := strings.Cut(step, "=")
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSampler(Sampling{Temperature: 1}, 0)
	switch name {
	case "repetition_penalty":
		s.RepetitionPenalty = v
	case "no_repeat_ngram_size":
		s.NoRepeatNgramSize = int(v)
	case "temperature":
		s.Temperature = v
	case "top_k":
		s.TopK = int(v)
	case "top_p":
		s.TopP = v
	case "min_p":
		s.MinP = v
	default:
		t.Fatalf("step %q", step)
	}
	s.penalize(logits, ids)
	s.banRepeatedNgrams(logits, ids)
	s.filter(logits)
}

func TestGoldenSampler(t *testing.T) {
	dir := golden.Shared(t, "reference", "models", "goldens", "sampler")
	f := testmodel.Read(t, filepath.Join(dir, "sampler.safetensors"))
	var g struct {
		TieAtCut []string `json:"tie_at_cut"`
		Rows     map[string]struct {
			InputIDs []int32 `json:"input_ids"`
		}
		Single []string
		Chains map[string][]string
	}
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "sampler.json")), &g); err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, at string, logits []float32, probs bool) {
		t.Helper()
		suffix := ".logits"
		if probs {
			s := NewSampler(Sampling{}, 0)
			s.softmax(logits)
			logits = make([]float32, len(s.probs))
			for i, p := range s.probs {
				logits[i] = float32(p)
			}
			suffix = ".probs"
		}
		want := f.Float32(t, at+suffix)
		// Behind a cut through equal logits, the later steps of the chain may hold others of them.
		tie := slices.ContainsFunc(g.TieAtCut, func(cut string) bool {
			later := strings.Contains(at, ".chain") && cut[:len(cut)-1] == at[:len(at)-1] && cut < at
			return cut == at || strings.HasPrefix(cut, at+".") || later
		})
		if tie {
			if got, want := survivors(logits), survivors(want); got != want {
				t.Errorf("%s%s: %d tokens survive, want %d", at, suffix, got, want)
			}
			return
		}
		for i := range want {
			if math.IsInf(float64(want[i]), -1) != math.IsInf(float64(logits[i]), -1) {
				t.Errorf("%s%s: token %d is %g, want %g", at, suffix, i, logits[i], want[i])
			} else if math.Abs(float64(logits[i]-want[i])) > probabilityLimit*max(1, math.Abs(float64(want[i]))) {
				t.Errorf("%s%s: token %d is %.8g, want %.8g", at, suffix, i, logits[i], want[i])
			}
		}
	}
	for name, row := range g.Rows {
		for _, step := range g.Single {
			logits := f.Float32(t, name+".logits")
			applyStep(t, step, logits, row.InputIDs)
			check(t, name+"."+step, logits, false)
			check(t, name+"."+step, logits, true)
		}
		for chain, steps := range g.Chains {
			logits := f.Float32(t, name+".logits")
			for k, step := range steps {
				applyStep(t, step, logits, row.InputIDs)
				check(t, name+"."+chain+"."+strconv.Itoa(k), logits, false)
			}
			check(t, name+"."+chain, logits, true)
		}
	}
}

func survivors(x []float32) int {
	n := 0
	for _, v := range x {
		if v > 0 || v < 0 && !math.IsInf(float64(v), -1) {
			n++
		}
	}
	return n
}

// TestFiltersAgainstDefinition compares top_k and top_p with plain definitions over a sorted
// copy, on rows with many equal logits and on flat and peaked ones.
func TestFiltersAgainstDefinition(t *testing.T) {
	for seed := range uint64(40) {
		n := 1 + int(seed)*7
		logits := randoms(seed, n, []float64{0.1, 1, 8}[seed%3])
		if seed%2 == 0 {
			for i := range logits {
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		sorted := slices.Clone(logits)
		slices.Sort(sorted)
		for _, k := range []int{1, 2, 5, 50} {
			if k >= n {
				continue
			}
			got := slices.Clone(logits)
			s := NewSampler(Sampling{TopK: k}, 0)
			s.topK(got)
			for i, v := range logits {
				if kept := !math.IsInf(float64(got[i]), -1); kept != (v >= sorted[n-k]) {
					t.Errorf("top_k %d of %d: token with logit %g kept: %v (the k-th is %g)", k, n, v, kept, sorted[n-k])
				}
			}
		}
		for _, p := range []float64{0.1, 0.5, 0.9, 0.999} {
			got := slices.Clone(logits)
			s := NewSampler(Sampling{TopP: p}, 0)
			s.topP(got)
			s.softmax(sorted)
			want, sum := n, 0.0
			for _, q := range s.probs[:n-1] {
				if sum += q; sum > 1-p {
					break
				}
				want--
			}
			kept := 0
			for _, v := range got {
				if !math.IsInf(float64(v), -1) {
					kept++
				}
			}
			if kept != want {
				t.Errorf("top_p %g of %d: %d tokens kept, want %d", p, n, kept, want)
			}
		}
	}
}

func TestSamplerDraws(t *testing.T) {
	s := NewSampler(Sampling{Temperature: 1}, 7)
	want := []float64{0.5, 0.3, 0.2}
	const n = 20000
	counts := make([]float64, len(want))
	for range n {
		id, err := s.Next([]float32{float32(math.Log(0.5)), float32(math.Log(0.3)), float32(math.Log(0.2))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		counts[id]++
	}
	for i, p := range want {
		if got := counts[i] / n; math.Abs(got-p) > 4*math.Sqrt(p*(1-p)/n) {
			t.Errorf("token %d drawn %.4f of the time, want %.2f within four standard errors", i, got, p)
		}
	}
}

func TestSamplerRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		name   string
		logits []float32
		want   string
	}{
		{"nan", []float32{0, nan}, "logit of token 1 is NaN"},
		{"nothing left", []float32{negativeInfinity}, "no token is left"},
	} {
		for _, temperature := range []float64{0, 1} {
			_, err := NewSampler(Sampling{Temperature: temperature}, 0).Next(slices.Clone(tt.logits), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s at temperature %g: error %v, want %q", tt.name, temperature, err, tt.want)
			}
		}
	}
	if err := (Sampling{TopP: 1.5}).Validate(); err == nil || !strings.Contains(err.Error(), "top_p is 1.5") {
		t.Errorf("Validate: %v", err)
	}
}
