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

type pairMerge struct{ rank, product int32 }

// mergeSmall merges the pieces in w.out in place: O(n²), no heap.
func (b *bpe) mergeSmall(w *mergeState) {
	out := w.out
	n := len(out)
	if n < 2 {
		return
	}
	var space [smallWord]pairMerge
	merges := space[:n]
	for i := range n - 1 {
		merges[i].rank, merges[i].product = b.pairs.find(out[i].id, out[i+1].id)
	}
	merges[n-1].rank = noRank
	for {
		best, at := int32(noRank), 0
		for i := range merges {
			if merges[i].rank < best {
				best, at = merges[i].rank, i
			}
		}
		if best == noRank {
			break
		}
		out[at].id = merges[at].product
		out[at].end = out[at+1].end
		copy(out[at+1:], out[at+2:])
		copy(merges[at+1:], merges[at+2:])
		n--
		out, merges = out[:n], merges[:n]
		merges[at].rank = noRank
		if at+1 < n {
			merges[at].rank, merges[at].product = b.pairs.find(out[at].id, out[at+1].id)
		}
		if at > 0 {
			merges[at-1].rank, merges[at-1].product = b.pairs.find(out[at-1].id, out[at].id)
		}
	}
	w.out = out
}

// mergeLarge is mergeSmall in O(n log n): pieces form a list, and a heap holds
// rank<<32|position of every pair that can merge. An entry whose pair has changed
// since is stale and skipped.
func (b *bpe) mergeLarge(w *mergeState) {
	out := w.out
	n := len(out)
	w.merges, w.prev, w.next, w.heap = grow(w.merges, n), grow(w.prev, n), grow(w.next, n), w.heap[:0]
	merges, prev, next := w.merges, w.prev, w.next
	for i := range n {
		prev[i], next[i] = int32(i-1), int32(i+1)
		merges[i].rank = noRank
		if i+1 < n {
			merges[i].rank, merges[i].product = b.pairs.find(out[i].id, out[i+1].id)
		}
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
			merges[i].rank, merges[i].product = b.pairs.find(out[i].id, out[r].id)
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
		out[i].id = merges[i].product
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
