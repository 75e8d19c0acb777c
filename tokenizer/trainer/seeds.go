package trainer

import (
	"cmp"
	"slices"
	"sync"
)

// seed is a string that may become a piece: it occurs twice or more and its
// occurrences go on differently (it is an inner node of the suffix tree).
type seed struct {
	score int64 // count times characters
	first int32 // its suffixes are sa[first:last]
	last  int32
	chars int32
}

// findSeeds returns the best seeds of the corpus, as SentencePiece chooses them
// from the suffix array of all sentences: by falling score, then by their place in
// the suffix tree. Here the suffix array is that of the distinct words, each
// suffix weighing what its word counts; strings that cross words could not be
// pieces anyway. It returns the suffix array as well.
func findSeeds(c *sentences, opts SentencePieceOptions) ([]seed, []int32) {
	sa := make([]int32, len(c.text))
	suffixArray(c.text, sa, int(c.unkSymbol)+1)
	weight := suffixWeights(c)
	lcp := commonPrefixes(c.text, sa, opts.MaxPieceLength+1, opts.Threads)

	lead := c.leadBytes()
	valid := validator{opts: opts, script: map[rune]int16{}}
	var seeds []seed
	var runes []rune
	type node struct {
		first  int32
		depth  int32
		before int64 // weight of all suffixes before first
	}
	stack := []node{{}}
	sum := int64(0)
	for i := int32(0); int(i) <= len(sa); i++ {
		depth := int32(0)
		if int(i) < len(sa) {
			depth = int32(lcp[i])
		}
		open := node{i - 1, depth, sum}
		if i > 0 {
			open.before = sum - weight[sa[i-1]]
		}
		for top := stack[len(stack)-1]; top.depth > depth; top = stack[len(stack)-1] {
			stack = stack[:len(stack)-1]
			open.first, open.before = top.first, top.before
			if top.depth < 2 || int(top.depth) > opts.MaxPieceLength {
				continue
			}
			runes = c.runes(runes[:0], c.text[sa[top.first]:sa[top.first]+top.depth])
			// That the next byte differs, not only the next character, is SentencePiece's rule.
			if valid.valid(runes) && lead[c.text[sa[top.first]+top.depth]] != lead[c.text[sa[i-1]+top.depth]] {
				seeds = append(seeds, seed{(sum - top.before) * int64(top.depth), top.first, i, top.depth})
				if len(seeds) >= 4*opts.SeedSize {
					seeds = bestSeeds(seeds, opts.SeedSize)
				}
			}
		}
		if depth > stack[len(stack)-1].depth {
			stack = append(stack, open)
		}
		if int(i) < len(sa) {
			sum += weight[sa[i]]
		}
	}
	return bestSeeds(seeds, opts.SeedSize), sa
}

// bestSeeds keeps the n best; among equals those that come first, which is the
// order of the tree's nodes from the leaves up.
func bestSeeds(seeds []seed, n int) []seed {
	slices.SortStableFunc(seeds, func(a, b seed) int { return cmp.Compare(b.score, a.score) })
	return seeds[:min(n, len(seeds))]
}

// suffixWeights returns for every place of the text the count of its word; 0 for
// the character behind a word.
func suffixWeights(c *sentences) []int64 {
	w := make([]int64, len(c.text))
	for _, u := range c.units {
		for i := u.start; i < u.start+u.len; i++ {
			w[i] = u.count
		}
	}
	return w
}

// commonPrefixes returns how many symbols each suffix shares with the one before
// it in the suffix array, at most limit, and at most up to the end of a word,
// which counts as a symbol.
func commonPrefixes(text, sa []int32, limit, threads int) []uint16 {
	lcp := make([]uint16, len(sa))
	var wg sync.WaitGroup
	part := (len(sa) + threads - 1) / threads
	for from := 0; from < len(sa); from += part {
		to := min(from+part, len(sa))
		wg.Go(func() {
			for i := max(from, 1); i < to; i++ {
				a, b := sa[i-1], sa[i]
				n := int32(0)
				for int(n) < limit && int(max(a, b)+n) < len(text) && text[a+n] == text[b+n] {
					n++
					if text[a+n-1] == 0 {
						break
					}
				}
				lcp[i] = uint16(n)
			}
		})
	}
	wg.Wait()
	return lcp
}

// leadBytes returns the first byte in UTF-8 of each symbol.
func (s *sentences) leadBytes() []byte {
	lead := make([]byte, s.unkSymbol+1)
	for k, r := range s.chars[1:] {
		lead[k+1] = string(r)[0]
	}
	lead[s.unkSymbol] = string(reserved)[0]
	return lead
}
