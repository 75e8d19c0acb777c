package model

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen from logits, with the names and the order of
// transformers' generate: repetition penalty, no_repeat_ngram, temperature, top_k, top_p, min_p. The
// zero value is greedy.
type Sampling struct {
	RepetitionPenalty float64 `yaml:"repetition_penalty" json:"repetition_penalty"`     // 0 or 1: none
	NoRepeatNgramSize int     `yaml:"no_repeat_ngram_size" json:"no_repeat_ngram_size"` // 0: none
	Temperature       float64 `yaml:"temperature" json:"temperature"`                   // 0: greedy, the largest logit
	TopK              int     `yaml:"top_k" json:"top_k"`                               // 0: all
	TopP              float64 `yaml:"top_p" json:"top_p"`                               // 0 or 1: all
	MinP              float64 `yaml:"min_p" json:"min_p"`                               // 0: all
}

// Validate reports the first setting out of its range.
func (s Sampling) Validate() error {
	for _, v := range []struct {
		name     string
		got      float64
		min, max float64
	}{
		{"repetition_penalty", s.RepetitionPenalty, 0, 100}, {"temperature", s.Temperature, 0, 100},
		{"top_p", s.TopP, 0, 1}, {"min_p", s.MinP, 0, 1},
		{"top_k", float64(s.TopK), 0, 1 << 30}, {"no_repeat_ngram_size", float64(s.NoRepeatNgramSize), 0, 1 << 30},
	} {
		if !(v.got >= v.min && v.got <= v.max) {
			return fmt.Errorf("%s is %g, want %g to %g", v.name, v.got, v.min, v.max)
		}
	}
	return nil
}

// Sampler chooses tokens of one sequence. The same seed and logits give the same tokens.
type Sampler struct {
	Sampling
	random *rand.Rand
	order  []int32
	heap   []float32
	probs  []float64
	seen   map[int32]struct{}
}

// NewSampler returns a sampler with its own random numbers (PCG).
func NewSampler(s Sampling, seed uint64) *Sampler {
	return &Sampler{Sampling: s, random: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), seen: map[int32]struct{}{}}
}

// Next chooses the token that follows ids (the prompt included) from logits (V), which it
// overwrites. A NaN among the logits is an error.
func (s *Sampler) Next(logits []float32, ids []int32) (int32, error) {
	s.penalize(logits, ids)
	s.banRepeatedNgrams(logits, ids)
	if s.Temperature == 0 {
		return largest(logits)
	}
	if _, err := largest(logits); err != nil {
		return 0, err
	}
	s.filter(logits)
	return s.draw(logits), nil
}

var negativeInfinity = float32(math.Inf(-1))

// largest returns the first of the largest logits.
func largest(logits []float32) (int32, error) {
	at, top := int32(-1), negativeInfinity
	for i, v := range logits {
		if v != v {
			return 0, fmt.Errorf("logit of token %d is NaN", i)
		}
		if v > top {
			at, top = int32(i), v
		}
	}
	if at < 0 {
		return 0, fmt.Errorf("no token is left to choose from: all %d logits are -Inf", len(logits))
	}
	return at, nil
}

// penalize multiplies negative logits of ids that occurred by the penalty and divides the
// others, once per id (Keskar et al. 2019, with the sign rule of transformers).
func (s *Sampler) penalize(logits []float32, ids []int32) {
	if s.RepetitionPenalty == 0 || s.RepetitionPenalty == 1 {
		return
	}
	clear(s.seen)
	penalty := float32(s.RepetitionPenalty)
	for _, id := range ids {
		if _, ok := s.seen[id]; ok || int(id) >= len(logits) || id < 0 {
			continue
		}
		s.seen[id] = struct{}{}
		if logits[id] < 0 {
			logits[id] *= penalty
		} else {
			logits[id] /= penalty
		}
	}
}

// banRepeatedNgrams sets to -Inf each token that would complete an n-gram of ids again.
func (s *Sampler) banRepeatedNgrams(logits []float32, ids []int32) {
	n := s.NoRepeatNgramSize
	if n == 0 || len(ids)+1 < n {
		return
	}
	tail := ids[len(ids)-(n-1):]
	for i := 0; i+n <= len(ids); i++ {
		if slices.Equal(ids[i:i+n-1], tail) {
			if id := ids[i+n-1]; id >= 0 && int(id) < len(logits) {
				logits[id] = negativeInfinity
			}
		}
	}
}

// filter applies temperature, top_k, top_p and min_p; what falls out becomes -Inf. Each works
// on the softmax of what the one before left.
func (s *Sampler) filter(logits []float32) {
	if s.Temperature != 1 {
		t := float32(s.Temperature)
		for i := range logits {
			logits[i] /= t
		}
	}
	if s.TopK > 0 && s.TopK < len(logits) {
		s.topK(logits)
	}
	if s.TopP > 0 && s.TopP < 1 {
		s.topP(logits)
	}
	if s.MinP > 0 {
		s.minP(logits)
	}
}

// topK keeps the k largest logits and all that equal the k-th. The k largest so far stand in
// a heap with the smallest on top, which most logits of a large vocabulary do not pass.
func (s *Sampler) topK(logits []float32) {
	s.heap = grow(s.heap, s.TopK)
	copy(s.heap, logits)
	for i := s.TopK/2 - 1; i >= 0; i-- {
		siftDown(s.heap, i)
	}
	for _, v := range logits[s.TopK:] {
		if v > s.heap[0] {
			s.heap[0] = v
			siftDown(s.heap, 0)
		}
	}
	cut := s.heap[0]
	for i, v := range logits {
		if v < cut {
			logits[i] = negativeInfinity
		}
	}
}

// siftDown restores the order of a heap with its smallest element on top, below place i.
func siftDown(heap []float32, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && heap[child+1] < heap[child] {
			child++
		}
		if heap[i] <= heap[child] {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// topP drops tokens from the small end while their running sum is at most 1 - p (Holtzman et
// al. 2020), never the last one. Tokens below (1-p)/V are below it all together, so that only
// the others need an order: by logit, equal ones by id.
func (s *Sampler) topP(logits []float32) {
	s.softmax(logits)
	s.order = s.order[:0]
	sum, small := 0.0, (1-s.TopP)/float64(len(logits))
	for i, p := range s.probs {
		if p < small {
			sum += p
			logits[i] = negativeInfinity
		} else {
			s.order = append(s.order, int32(i))
		}
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		if c := cmp.Compare(logits[a], logits[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	for _, i := range s.order[:len(s.order)-1] {
		if sum += s.probs[i]; sum > 1-s.TopP {
			break
		}
		logits[i] = negativeInfinity
	}
}

// minP drops tokens below min_p times the largest probability, never the largest (Nguyen et al. 2024).
func (s *Sampler) minP(logits []float32) {
	s.softmax(logits)
	limit := slices.Max(s.probs) * s.MinP
	for i, p := range s.probs {
		if p < limit {
			logits[i] = negativeInfinity
		}
	}
}

func (s *Sampler) softmax(logits []float32) {
	s.probs = grow(s.probs, len(logits))
	top, sum := float64(maximum(logits)), 0.0
	for i, v := range logits {
		s.probs[i] = math.Exp(float64(v) - top)
		sum += s.probs[i]
	}
	for i := range s.probs {
		s.probs[i] /= sum
	}
}

// draw picks a token by its probability.
func (s *Sampler) draw(logits []float32) int32 {
	s.softmax(logits)
	u, last := s.random.Float64(), int32(0)
	for i, p := range s.probs {
		if p == 0 {
			continue
		}
		last = int32(i)
		if u -= p; u < 0 {
			break
		}
	}
	return last
}
