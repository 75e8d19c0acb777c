package metric

import (
	"slices"
	"strings"
	"unicode"
)

// ExamScore grades an answer to a task of the Russian state exam (USE, part 1). kind is the
// task's type: "matching", "text" or one of the multiple-choice types; number its place in the
// exam, "1" to "26".
func ExamScore(prediction, answer, kind, number string) float64 {
	prediction = strip(prediction)
	if kind == "text" {
		word := lower(strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) || !isWord(r) {
				return -1
			}
			return r
		}, prediction))
		return truth(slices.Contains(strings.Split(answer, ","), word))
	}
	parts, want := strings.Split(prediction, ","), strings.Split(answer, ",")
	for i := range parts {
		parts[i] = strip(parts[i])
	}
	switch {
	case kind == "matching":
		if len(parts) != len(want) {
			return 0
		}
		n := 0.0
		for i := range parts {
			n += truth(parts[i] == want[i])
		}
		return n
	case number != "16":
		return truth(slices.Equal(set(parts), set(want)))
	}
	for len(parts) < len(want) {
		parts = append(parts, "-1")
	}
	common := 0
	for _, w := range set(want) {
		if slices.Contains(parts, w) {
			common++
		}
	}
	return float64(max(0, common-len(parts)+len(want)))
}

func set(list []string) []string {
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}

// examPoints are the points of a whole variant, the divisor even where tasks are missing.
const examPoints = 34

// GradeNorm is the mean over variants (the keys) of the sum of scores divided by 34.
func GradeNorm(list []Keyed) float64 {
	keys, groups := byKey(list)
	var each []float64
	for _, k := range keys {
		sum := 0.0
		for _, v := range groups[k] {
			sum += v
		}
		each = append(each, sum/examPoints)
	}
	return Mean(each)
}
