package metric

import (
	"fmt"
	"math"
	"slices"
)

// Mean is the plain mean, 0 for an empty list.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Pick returns the index of the highest score, the first of equal ones; -1 for an empty list.
func Pick(scores []float64) int {
	best := -1
	for i, s := range scores {
		if best < 0 || s > scores[best] {
			best = i
		}
	}
	return best
}

// Accuracy is the share of predictions that equal the gold label; 0 for an empty list.
func Accuracy(gold, predicted []string) float64 {
	right := 0
	for i := range gold {
		if gold[i] == predicted[i] {
			right++
		}
	}
	return float64(right) / float64(max(1, len(gold)))
}

// labels are the sorted labels that occur.
func labels(gold, predicted []string) []string {
	all := slices.Concat(gold, predicted)
	slices.Sort(all)
	return slices.Compact(all)
}

// F1Macro is the plain mean of the labels' F1 over all labels that occur (scikit-learn).
func F1Macro(gold, predicted []string) float64 {
	var each []float64
	for _, l := range labels(gold, predicted) {
		tp, wrong := 0, 0 // wrong: false positives and false negatives
		for i := range gold {
			g, p := gold[i] == l, predicted[i] == l
			if g && p {
				tp++
			} else if g || p {
				wrong++
			}
		}
		each = append(each, float64(2*tp)/float64(2*tp+wrong))
	}
	return Mean(each)
}

// MCC is Matthews' correlation, for two labels or more (Gorodkin 2004, as in scikit-learn); 0
// where it is not defined.
func MCC(gold, predicted []string) float64 {
	var right, pt, pp, tt float64
	n := float64(len(gold))
	for _, l := range labels(gold, predicted) {
		var p, t float64
		for i := range gold {
			p += truth(predicted[i] == l)
			t += truth(gold[i] == l)
			right += truth(gold[i] == l && predicted[i] == l)
		}
		pt, pp, tt = pt+p*t, pp+p*p, tt+t*t
	}
	square := (n*n - pp) * (n*n - tt)
	if square == 0 {
		return 0
	}
	return (right*n - pt) / math.Sqrt(square)
}

// Keyed is a result that is aggregated with others of the same key.
type Keyed struct {
	Key   string
	Value float64
}

// byKey groups values in the order of the keys' first appearance.
func byKey(list []Keyed) (keys []string, groups map[string][]float64) {
	groups = map[string][]float64{}
	for _, k := range list {
		if _, ok := groups[k.Key]; !ok {
			keys = append(keys, k.Key)
		}
		groups[k.Key] = append(groups[k.Key], k.Value)
	}
	return keys, groups
}

// PairAccuracy counts a key as right if its first two results are; a key with a single result
// is an error.
func PairAccuracy(list []Keyed) (float64, error) {
	keys, groups := byKey(list)
	var each []float64
	for _, k := range keys {
		if len(groups[k]) < 2 {
			return 0, fmt.Errorf("pair accuracy: id %q has a single result, want two", k)
		}
		each = append(each, groups[k][0]*groups[k][1])
	}
	return Mean(each), nil
}

// CategoryMean is the mean over categories of the mean over subjects of the mean of results; the
// keys are subjects, category tells where each belongs.
func CategoryMean(list []Keyed, category func(subject string) (string, bool)) (float64, error) {
	keys, groups := byKey(list)
	var subjects []Keyed
	for _, k := range keys {
		c, ok := category(k)
		if !ok {
			return 0, fmt.Errorf("unknown subject %q", k)
		}
		subjects = append(subjects, Keyed{c, Mean(groups[k])})
	}
	var each []float64
	categories, means := byKey(subjects)
	for _, c := range categories {
		each = append(each, Mean(means[c]))
	}
	return Mean(each), nil
}

// RPrecision is the share of positive items among the first R by score, R being the number of
// positive items; equal scores keep their order. It is NaN if nothing is positive.
func RPrecision(scores []float64, positive []bool) float64 {
	order := make([]int, len(scores))
	r := 0
	for i := range order {
		order[i] = i
		if positive[i] {
			r++
		}
	}
	if r == 0 {
		return math.NaN()
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	hits := 0
	for _, i := range order[:r] {
		if positive[i] {
			hits++
		}
	}
	return float64(hits) / float64(r)
}

// FirstTokensRPrecision is RPrecision of sentences by the mean log-probability of their first m
// tokens, m being the length of the shortest sentence.
func FirstTokensRPrecision(logprobs [][]float64, positive []bool) (float64, error) {
	m := math.MaxInt
	for _, l := range logprobs {
		m = min(m, len(l))
	}
	if m == 0 {
		return 0, fmt.Errorf("R-precision: a sentence has no tokens")
	}
	scores := make([]float64, len(logprobs))
	for i, l := range logprobs {
		scores[i] = Mean(l[:m])
	}
	return RPrecision(scores, positive), nil
}
