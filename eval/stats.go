package eval

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// draws is how many times answers are resampled.
const draws = 1000

// Interval is a figure with its spread by resampling.
type Interval struct {
	Score  float64 `json:"score"`
	Stderr float64 `json:"stderr"`
	Low    float64 `json:"low"` // 95 % of the draws lie between Low and High
	High   float64 `json:"high"`
}

// generator makes the random numbers of a task's resampling: they depend on seed and name alone.
func generator(seed int64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}

// units groups answers that are drawn together.
func (t *Task) units(list []Measured) [][]int {
	var order [][]int
	at := map[string]int{}
	for i, m := range list {
		if !t.Units {
			order = append(order, []int{i})
			continue
		}
		n, ok := at[m.Key]
		if !ok {
			n = len(order)
			at[m.Key] = n
			order = append(order, nil)
		}
		order[n] = append(order[n], i)
	}
	return order
}

// redraw fills sample with the answers of drawn units; keys of units are made distinct, because
// one may be drawn twice.
func (t *Task) redraw(sample []Measured, list []Measured, units [][]int, drawn []int) []Measured {
	sample = sample[:0]
	for n, u := range drawn {
		for _, i := range units[u] {
			m := list[i]
			if t.Units {
				m.Key += "#" + strconv.Itoa(n)
			}
			sample = append(sample, m)
		}
	}
	return sample
}

// Bootstrap returns the standard error of every metric and the score's interval: answers are
// drawn with replacement 1000 times (Efron 1979), the same for the same seed.
func (t *Task) Bootstrap(list []Measured, seed int64) (stderr map[string]float64, score Interval, err error) {
	metrics, err := t.Aggregate(list)
	if err != nil {
		return nil, score, err
	}
	score.Score = t.score(metrics)
	units := t.units(list)
	rng := generator(seed, t.Name)
	drawn := make([]int, len(units))
	values, scores := map[string][]float64{}, make([]float64, draws)
	var sample []Measured
	for d := range draws {
		for i := range drawn {
			drawn[i] = rng.IntN(len(units))
		}
		sample = t.redraw(sample, list, units, drawn)
		m, err := t.Aggregate(sample)
		if err != nil {
			return nil, score, err
		}
		for name, v := range m {
			values[name] = append(values[name], v)
		}
		scores[d] = t.score(m)
	}
	stderr = map[string]float64{}
	for name, v := range values {
		stderr[name] = deviation(v)
	}
	score.Stderr = deviation(scores)
	score.Low, score.High = interval(scores)
	return stderr, score, nil
}

// deviation is the standard deviation by the population's formula; of equal values exactly 0.
func deviation(v []float64) float64 {
	n, mean, square := float64(len(v)), 0.0, 0.0
	for _, x := range v {
		mean += (x - v[0]) / n
	}
	for _, x := range v {
		square += (x - v[0] - mean) * (x - v[0] - mean)
	}
	return math.Sqrt(square / n)
}

// interval returns the 2.5 % and 97.5 % points.
func interval(v []float64) (low, high float64) {
	slices.Sort(v)
	n := len(v)
	return v[n*25/1000], v[min(n-1, n*975/1000)]
}

// McNemar returns the two-sided exact probability of a split of b and c among differing answers
// if neither side were better (McNemar 1947, binomial).
func McNemar(b, c int) float64 {
	n, k := b+c, min(b, c)
	if n == 0 {
		return 1
	}
	p := 0.0
	for i := 0; i <= k; i++ {
		lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
		p += math.Exp(lg(n) - lg(i) - lg(n-i) - float64(n)*math.Ln2)
	}
	return min(1, 2*p)
}
