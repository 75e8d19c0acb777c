package tokenizer

// smallWord is the number of characters up to which looking for the best merge
// over and over is faster than keeping a heap.
const smallWord = 48

// mergeState is the working memory of one word.
type mergeState struct {
	out     []token
	merges  []pairMerge // of out[i] with its right neighbour
	prev    []int32
	next    []int32
	heap    []uint64
	spelled []byte
}

// pairMerge is a merge and its rank; merge is -1 and rank noRank for a pair that
// has none.
type pairMerge struct{ rank, merge int32 }

// merge merges the pieces in w.out until no pair has a merge.
func (b *bpe) merge(w *mergeState) {
	n := len(w.out)
	if n == 0 {
		return
	}
	w.merges = grow(w.merges, n)
	for i := range n - 1 {
		w.merges[i].rank, w.merges[i].merge = b.pairs.find(w.out[i].id, w.out[i+1].id)
	}
	w.merges[n-1].rank = noRank
	b.mergeRanked(w)
}

// mergeRanked is merge with w.merges filled in.
func (b *bpe) mergeRanked(w *mergeState) {
	if len(w.out) <= smallWord {
		b.mergeSmall(w)
	} else {
		b.mergeLarge(w)
	}
}

// mergeSmall is O(n²) without a heap.
func (b *bpe) mergeSmall(w *mergeState) {
	out, merges := w.out, w.merges
	for n := len(out); ; {
		best, at := int32(noRank), 0
		for i := range merges {
			if merges[i].rank < best {
				best, at = merges[i].rank, i
			}
		}
		if best == noRank {
			break
		}
		out[at].id = b.pairs.products[merges[at].merge]
		out[at].end = out[at+1].end
		copy(out[at+1:], out[at+2:])
		copy(merges[at+1:], merges[at+2:])
		n--
		out, merges = out[:n], merges[:n]
		merges[at].rank = noRank
		if at+1 < n {
			merges[at].rank, merges[at].merge = b.pairs.find(out[at].id, out[at+1].id)
		}
		if at > 0 {
			merges[at-1].rank, merges[at-1].merge = b.pairs.find(out[at-1].id, out[at].id)
		}
	}
	w.out = out
}

// mergeLarge is O(n log n): pieces form a list, and a heap holds rank<<32|position
// of every pair that can merge. An entry whose pair has changed since is stale and
// skipped.
func (b *bpe) mergeLarge(w *mergeState) {
	out, merges := w.out, w.merges
	n := len(out)
	w.prev, w.next, w.heap = grow(w.prev, n), grow(w.next, n), w.heap[:0]
	prev, next := w.prev, w.next
	for i := range n {
		prev[i], next[i] = int32(i-1), int32(i+1)
		if merges[i].rank != noRank {
			w.heap = append(w.heap, uint64(merges[i].rank)<<32|uint64(i))
		}
	}
	for i := len(w.heap)/2 - 1; i >= 0; i-- {
		sink(w.heap, i)
	}
	update := func(i int32) {
		merges[i].rank = noRank
		if r := next[i]; int(r) < n {
			merges[i].rank, merges[i].merge = b.pairs.find(out[i].id, out[r].id)
		}
		if merges[i].rank != noRank {
			w.heap = push(w.heap, uint64(merges[i].rank)<<32|uint64(i))
		}
	}
	for len(w.heap) > 0 {
		top := w.heap[0]
		w.heap = pop(w.heap)
		i := int32(uint32(top))
		if merges[i].rank != int32(top>>32) {
			continue
		}
		right := next[i]
		out[i].id = b.pairs.products[merges[i].merge]
		out[i].end = out[right].end
		merges[right].rank = noRank
		next[i] = next[right]
		if int(next[i]) < n {
			prev[next[i]] = i
		}
		update(i)
		if prev[i] >= 0 {
			update(prev[i])
		}
	}
	k := 0
	for i := 0; i < n; i = int(next[i]) {
		out[k] = out[i]
		k++
	}
	w.out = out[:k]
}

// grow returns a slice of n elements whose content does not matter.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func sink(h []uint64, i int) {
	v := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if v <= h[c] {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = v
}

func push(h []uint64, v uint64) []uint64 {
	h = append(h, v)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > v {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = v
	return h
}

func pop(h []uint64) []uint64 {
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	if last > 1 {
		sink(h, 0)
	}
	return h
}
