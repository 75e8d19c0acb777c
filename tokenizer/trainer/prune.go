package trainer

import (
	"cmp"
	"math"
	"slices"
)

// prune removes pieces until size are left. A piece that the best cuts of the
// corpus never use, or whose own best cut is finer, goes first; then those whose
// removal costs the least likelihood, taking it that the best cut of the piece's
// text without the piece takes its place everywhere.
func (u *unigram) prune(size int) {
	freq, words := u.bestCounts()
	split, finer := u.alternatives()
	sum := 0.0
	for _, n := range freq {
		sum += float64(n)
	}
	logSum := math.Log(sum)

	type loss struct {
		piece int32
		loss  float64
	}
	kept := make([]bool, len(u.pieces))
	left := 0
	var losses []loss
	for i := range u.pieces {
		switch {
		case freq[i] == 0 || finer[i]:
		case len(split[i]) == 0:
			kept[i] = true
			left++
		default:
			n := float64(freq[i])
			before := math.Log(n) - logSum
			logAfter := math.Log(sum + n*float64(len(split[i])-1))
			after := 0.0
			for _, p := range split[i] {
				after += math.Log(float64(freq[p])+n) - logAfter
			}
			losses = append(losses, loss{int32(i), n / float64(words) * (before - after)})
		}
	}
	slices.SortFunc(losses, func(a, b loss) int {
		return cmp.Or(cmp.Compare(b.loss, a.loss), cmp.Compare(a.piece, b.piece))
	})
	for _, l := range losses[:min(len(losses), max(size-left, 0))] {
		kept[l.piece] = true
	}
	u.keep(func(i int) bool { return kept[i] })
}

// bestCounts returns how often the best cut of the corpus uses each piece, and the
// number of units by their counts. A character without a piece counts for piece 0.
func (u *unigram) bestCounts() (freq []int64, words int64) {
	workers := u.workers()
	sums := make([][]int64, workers)
	lattices := make([]lattice, workers)
	for w := range sums {
		sums[w] = make([]int64, len(u.pieces))
		lattices[w].u = u
	}
	u.eachChunk(workers, func(w, k int) {
		c := &u.chunks[k]
		for _, unit := range c.units {
			lattices[w].best(c, unit, sums[w])
		}
	})
	freq = sums[0]
	for _, s := range sums[1:] {
		for i, n := range s {
			freq[i] += n
		}
	}
	for _, w := range u.c.units {
		words += w.count
	}
	return freq, words
}

// best counts the pieces of the unit's best cut (Viterbi).
func (l *lattice) best(c *chunk, w unit, sums []int64) {
	n := int(w.len)
	l.grow(n)
	score, back, pieces := l.alpha[:n+1], l.back[:n+1], l.u.pieces
	for i := 1; i <= n; i++ {
		score[i] = math.Inf(-1)
	}
	text := l.u.c.text[w.start : w.start+w.len]
	from := c.from[w.start-c.start:]
	for i, k := range text {
		s := score[i]
		p := l.u.charPiece[k]
		x := s + l.u.unk
		if p >= 0 {
			x = s + float64(pieces[p].score)
		}
		if x > score[i+1] {
			score[i+1], back[i+1] = x, p
		}
		for _, p := range c.match[from[i]:from[i+1]] {
			q := &pieces[p]
			to := i + int(q.chars)
			if x := s + float64(q.score); x > score[to] {
				score[to], back[to] = x, p
			}
		}
	}
	for i := n; i > 0; {
		p := back[i]
		if p < 0 {
			sums[0] += w.count
			i--
			continue
		}
		sums[p] += w.count
		i -= int(pieces[p].chars)
	}
}

// alternatives cuts the text of every piece without the piece itself: split is the
// best such cut, empty where there is none. finer says that this cut is better
// than the piece.
func (u *unigram) alternatives() (split [][]int32, finer []bool) {
	split, finer = make([][]int32, len(u.pieces)), make([]bool, len(u.pieces))
	pieces := make([][]int32, len(u.chunks)) // by the chunk in which each has its place
	for i := range u.pieces {
		if u.pieces[i].chars > 1 {
			k := u.chunkAt(u.pieces[i].at)
			pieces[k] = append(pieces[k], int32(i))
		}
	}
	lattices := make([]lattice, u.opts.Threads)
	for w := range lattices {
		lattices[w].u = u
	}
	u.eachChunk(u.opts.Threads, func(w, k int) {
		for _, i := range pieces[k] {
			split[i], finer[i] = lattices[w].without(&u.chunks[k], i)
		}
	})
	return split, finer
}

// chunkAt returns the number of the chunk with a place of the text.
func (u *unigram) chunkAt(at int32) int {
	k, found := slices.BinarySearchFunc(u.chunks, at, func(c chunk, at int32) int { return cmp.Compare(c.start, at) })
	if !found {
		k--
	}
	return k
}

// without cuts the text of piece p, where it stands in the chunk, without p.
func (l *lattice) without(c *chunk, p int32) (split []int32, finer bool) {
	pieces := l.u.pieces
	self := &pieces[p]
	n := int(self.chars)
	l.grow(n)
	score, back := l.alpha[:n+1], l.back[:n+1]
	for i := 1; i <= n; i++ {
		score[i] = math.Inf(-1)
	}
	from := c.from[self.at-c.start:]
	for i, k := range l.u.c.text[self.at : self.at+self.chars] {
		s := score[i]
		x := s + l.u.unk
		q := l.u.charPiece[k]
		if q >= 0 {
			x = s + float64(pieces[q].score)
		}
		if x > score[i+1] {
			score[i+1], back[i+1] = x, q
		}
		for _, q := range c.match[from[i]:from[i+1]] {
			to := i + int(pieces[q].chars)
			if to > n {
				break
			}
			if x := s + float64(pieces[q].score); q != p && x > score[to] {
				score[to], back[to] = x, q
			}
		}
	}
	if score[n] > float64(self.score) {
		return nil, true
	}
	for i := n; i > 0; {
		q := back[i]
		split = append(split, max(q, 0)) // a character without a piece counts for piece 0
		if q < 0 {
			i--
		} else {
			i -= int(pieces[q].chars)
		}
	}
	return split, false
}
