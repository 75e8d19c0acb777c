package metric

import (
	"slices"
	"unicode/utf8"
)

// Copied measures how well a text was repeated.
type Copied struct {
	TokensPerWord  float64 `json:"tokens_per_word"`
	SymbolPerToken float64 `json:"symbol_per_token"`
	Len            float64 `json:"len"`
	LCS            float64 `json:"lcs"`
}

// Copy compares a prediction of predictedTokens tokens with a text of referenceTokens tokens.
// Len is the ratio of the token counts, the smaller by the larger; LCS is 1 if the matching
// blocks make up at least 99 % of the reference's characters.
func Copy(reference, prediction string, referenceTokens, predictedTokens int) Copied {
	if predictedTokens == 0 || strip(prediction) == "" {
		return Copied{}
	}
	length := float64(utf8.RuneCountInString(prediction))
	nt, np := float64(referenceTokens), float64(predictedTokens)
	c := Copied{
		TokensPerWord:  np / float64(len(fields(prediction))),
		SymbolPerToken: length / (1 + np),
	}
	if nt > 0 {
		c.Len = min(np/nt, nt/np)
	}
	t, p := []rune(strip(reference)), []rune(strip(prediction))
	if len(t) > 0 {
		matched := 0
		for _, b := range MatchingBlocks(t, p) {
			matched += b.Length
		}
		c.LCS = truth(float64(matched)/float64(len(t)) >= 0.99)
	}
	return c
}

// Block is a stretch that two texts have in common, in code points.
type Block struct{ Reference, Prediction, Length int }

// MatchingBlocks are those of Python's difflib.SequenceMatcher without its junk heuristic: the
// longest common stretch (of equal ones the first in t, then in p), then the same left and right
// of it. A block of length 0 ends the list.
func MatchingBlocks(t, p []rune) []Block {
	places := map[rune][]int{}
	for j, r := range p {
		places[r] = append(places[r], j)
	}
	type job struct{ tlo, thi, plo, phi int }
	var blocks []Block
	lengths, next := make([]int, len(p)+1), make([]int, len(p)+1)
	for jobs := []job{{0, len(t), 0, len(p)}}; len(jobs) > 0; {
		w := jobs[len(jobs)-1]
		jobs = jobs[:len(jobs)-1]
		b := longestBlock(t, places, w.tlo, w.thi, w.plo, w.phi, lengths, next)
		if b.Length == 0 {
			continue
		}
		blocks = append(blocks, b)
		jobs = append(jobs, job{w.tlo, b.Reference, w.plo, b.Prediction}, job{b.Reference + b.Length, w.thi, b.Prediction + b.Length, w.phi})
	}
	slices.SortFunc(blocks, func(a, b Block) int { return a.Reference - b.Reference })
	var joined []Block
	for _, b := range blocks {
		if n := len(joined); n > 0 && joined[n-1].Reference+joined[n-1].Length == b.Reference && joined[n-1].Prediction+joined[n-1].Length == b.Prediction {
			joined[n-1].Length += b.Length
			continue
		}
		joined = append(joined, b)
	}
	return append(joined, Block{len(t), len(p), 0})
}

// longestBlock finds the longest common stretch of t[tlo:thi] and p[plo:phi]. lengths and next
// are work space of len(p)+1, all zero before and after.
func longestBlock(t []rune, places map[rune][]int, tlo, thi, plo, phi int, lengths, next []int) Block {
	best := Block{tlo, plo, 0}
	var used, usedNext []int
	for i := tlo; i < thi; i++ {
		usedNext = usedNext[:0]
		list := places[t[i]]
		from, _ := slices.BinarySearch(list, plo)
		for _, j := range list[from:] {
			if j >= phi {
				break
			}
			k := lengths[j] + 1 // lengths[j] ends at j-1
			next[j+1] = k
			usedNext = append(usedNext, j+1)
			if k > best.Length {
				best = Block{i - k + 1, j - k + 1, k}
			}
		}
		for _, j := range used {
			lengths[j] = 0
		}
		lengths, next = next, lengths
		used, usedNext = usedNext, used
	}
	for _, j := range used {
		lengths[j] = 0
	}
	return best
}
