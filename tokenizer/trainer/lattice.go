package trainer

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// chunk is a run of units with the pieces that match in them: those that begin at
// symbol i of the chunk are match[from[i]:from[i+1]], shorter ones first. Single
// characters are not among them, see unigram.charPiece.
type chunk struct {
	units []unit
	start int32 // of the first unit in the text
	from  []int32
	match []int32
}

const chunkSymbols = 1 << 14

// match fills the chunks. Where a piece matches is what the suffix array says of
// its seed, so that no text is searched. first is the number of the first seed.
func (u *unigram) match(seeds []seed, sa []int32, first int32) {
	text := u.c.text
	ends := make([]int32, len(text)+1) // first counts, then ends of each place's matches
	for _, s := range seeds {
		for _, at := range sa[s.first:s.last] {
			ends[at]++
		}
	}
	order := make([]int32, len(seeds))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(seeds[a].chars, seeds[b].chars) })

	// Where each chunk lies, and each place's matches in it.
	units := u.c.units
	for len(units) > 0 {
		c := chunk{start: units[0].start}
		n := 0
		for n < len(units) && units[n].start < c.start+chunkSymbols {
			n++
		}
		c.units, units = units[:n], units[n:]
		end := int32(len(text))
		if len(units) > 0 {
			end = units[0].start
		}
		c.from = make([]int32, end-c.start+1)
		sum := int32(0)
		for i := range end - c.start {
			c.from[i] = sum
			sum += ends[c.start+i]
			ends[c.start+i] = c.from[i]
		}
		c.from[end-c.start] = sum
		c.match = make([]int32, sum)
		u.chunks = append(u.chunks, c)
	}
	chunkOf := make([]int32, len(text)/blockSymbols+1) // the last chunk that begins in or before a block
	k := 0
	for b := range chunkOf {
		for k+1 < len(u.chunks) && int(u.chunks[k+1].start) <= b*blockSymbols {
			k++
		}
		chunkOf[b] = int32(k)
	}
	for _, i := range order {
		for _, at := range sa[seeds[i].first:seeds[i].last] {
			k := chunkOf[at/blockSymbols]
			for int(k)+1 < len(u.chunks) && u.chunks[k+1].start <= at {
				k++
			}
			u.chunks[k].match[ends[at]] = first + i
			ends[at]++
		}
	}
}

const blockSymbols = 1 << 10

// eachChunk calls fn with the number of every chunk, on some goroutines, which the
// first number tells apart.
func (u *unigram) eachChunk(workers int, fn func(worker, chunk int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(u.chunks) {
					return
				}
				fn(w, i)
			}
		})
	}
	wg.Wait()
}

// workers bounds the goroutines that need a table of all pieces each.
func (u *unigram) workers() int { return min(u.opts.Threads, 16) }

// renumber gives the matches the new numbers of their pieces and drops those of
// removed ones.
func (u *unigram) renumber(number []int32) {
	u.eachChunk(u.opts.Threads, func(_, k int) {
		c := &u.chunks[k]
		out, from := int32(0), int32(0)
		for i := range len(c.from) - 1 {
			to := c.from[i+1]
			c.from[i] = out
			for _, p := range c.match[from:to] {
				if n := number[p]; n >= 0 {
					c.match[out] = n
					out++
				}
			}
			from = to
		}
		c.from[len(c.from)-1] = out
		c.match = c.match[:out]
	})
}

// expectationUnit is the precision of expected counts. They are summed as integers,
// so that their sum is the same in every order.
const expectationUnit = 1 << 22

// expect returns how often each piece is expected to be used in the corpus, over
// all ways to cut it, by the forward-backward algorithm on every unit. What falls
// on characters without a piece counts for piece 0, as it does in SentencePiece.
func (u *unigram) expect() []float64 {
	workers := u.workers()
	sums := make([][]int64, workers)
	lattices := make([]lattice, workers)
	for w := range sums {
		sums[w] = make([]int64, len(u.pieces))
		lattices[w] = lattice{u: u, unk: math.Exp(u.unk)}
	}
	u.eachChunk(workers, func(w, k int) {
		c := &u.chunks[k]
		for _, unit := range c.units {
			lattices[w].expect(c, unit, sums[w])
		}
	})
	expected := make([]float64, len(u.pieces))
	for i := range expected {
		n := int64(0)
		for _, s := range sums {
			n += s[i]
		}
		expected[i] = float64(n) / expectationUnit
	}
	return expected
}

// lattice is one goroutine's memory for the ways to cut a unit.
type lattice struct {
	u           *unigram
	unk         float64
	alpha, beta []float64
	back        []int32
}

// grow makes room for n+1 places, alpha and beta all zero.
func (l *lattice) grow(n int) {
	if n+1 > len(l.alpha) {
		l.alpha, l.beta, l.back = make([]float64, 2*n+2), make([]float64, 2*n+2), make([]int32, 2*n+2)
	}
	clear(l.alpha[:n+1])
	clear(l.beta[:n+1])
}

// expect adds the unit's expected counts. alpha[i] is the probability of all ways
// to cut the first i characters, beta[i] of all ways to cut the rest. Each alpha
// is divided by the power of two in scale, so that long units do not underflow.
func (l *lattice) expect(c *chunk, w unit, sums []int64) {
	n := int(w.len)
	l.grow(n)
	alpha, beta, pieces := l.alpha, l.beta, l.u.pieces
	text := l.u.c.text[w.start : w.start+w.len]
	from := c.from[w.start-c.start:]
	alpha[0] = 1
	for i, k := range text {
		a := alpha[i]
		if p := l.u.charPiece[k]; p >= 0 {
			alpha[i+1] += a * pieces[p].prob
		} else {
			alpha[i+1] += a * l.unk
		}
		for _, p := range c.match[from[i]:from[i+1]] {
			q := &pieces[p]
			alpha[i+int(q.chars)] += a * q.prob
		}
	}
	if alpha[n] < 1e-250 {
		l.expectLong(c, w, sums)
		return
	}
	beta[n] = 1
	scale := float64(w.count) * expectationUnit / alpha[n]
	for i := n - 1; i >= 0; i-- {
		a := alpha[i] * scale
		var b float64
		if p := l.u.charPiece[text[i]]; p >= 0 {
			b = beta[i+1] * pieces[p].prob
			sums[p] += int64(a*b + 0.5)
		} else {
			b = beta[i+1] * l.unk
			sums[0] += int64(a*b + 0.5)
		}
		for _, p := range c.match[from[i]:from[i+1]] {
			q := &pieces[p]
			x := beta[i+int(q.chars)] * q.prob
			sums[p] += int64(a*x + 0.5)
			b += x
		}
		beta[i] = b
	}
}

// expectLong is expect with logarithms, for units whose probability is too small
// for a float64.
func (l *lattice) expectLong(c *chunk, w unit, sums []int64) {
	n := int(w.len)
	alpha, beta := l.alpha, l.beta
	for i := range n + 1 {
		alpha[i], beta[i] = math.Inf(-1), math.Inf(-1)
	}
	alpha[0], beta[n] = 0, 0
	for i := range n {
		l.edges(c, w, i, func(p, chars int32, score float64) {
			to := i + int(chars)
			alpha[to] = logAdd(alpha[to], alpha[i]+score)
		})
	}
	for i := n - 1; i >= 0; i-- {
		l.edges(c, w, i, func(p, chars int32, score float64) {
			x := beta[i+int(chars)] + score
			beta[i] = logAdd(beta[i], x)
			sums[max(p, 0)] += int64(float64(w.count)*expectationUnit*math.Exp(alpha[i]+x-alpha[n]) + 0.5)
		})
	}
}

// edges calls fn for every piece that begins at symbol i of the unit; p is -1 for a
// character without a piece.
func (l *lattice) edges(c *chunk, w unit, i int, fn func(p, chars int32, score float64)) {
	if p := l.u.charPiece[l.u.c.text[int(w.start)+i]]; p >= 0 {
		fn(p, 1, float64(l.u.pieces[p].score))
	} else {
		fn(-1, 1, l.u.unk)
	}
	k := int(w.start-c.start) + i
	for _, p := range c.match[c.from[k]:c.from[k+1]] {
		fn(p, l.u.pieces[p].chars, float64(l.u.pieces[p].score))
	}
}

func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
