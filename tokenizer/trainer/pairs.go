package trainer

import (
	"math"
	"math/bits"
)

// pair is two neighbouring symbols: left<<32 | right.
type pair uint64

func makePair(left, right int32) pair { return pair(uint32(left))<<32 | pair(uint32(right)) }

func (p pair) split() (left, right int32) { return int32(p >> 32), int32(uint32(p)) }

// pairCounts maps pairs to counts by open addressing. A pair that is not there
// has the count 0.
type pairCounts struct {
	slots []pairSlot
	shift uint
	used  int
}

// pairSlot is free when key is 0; keys are stored plus one.
type pairSlot struct {
	key   pair
	count int64
}

func newPairCounts() *pairCounts {
	return &pairCounts{slots: make([]pairSlot, 1<<12), shift: 64 - 12}
}

func (c *pairCounts) find(p pair) *pairSlot {
	i := uint64(p+1) * 0x9E3779B97F4A7C15 >> c.shift // Fibonacci hashing
	for {
		s := &c.slots[i]
		if s.key == p+1 || s.key == 0 {
			return s
		}
		if i++; i == uint64(len(c.slots)) {
			i = 0
		}
	}
}

func (c *pairCounts) count(p pair) int64 { return c.find(p).count }

// blocked is the count of a pair that may not be merged.
const blocked = math.MinInt64

// slot returns a pair's slot, to be changed at once, after making one with the
// count that first gives.
func (c *pairCounts) slot(p pair, first func(pair) int64) *pairSlot {
	s := c.find(p)
	if s.key != 0 {
		return s
	}
	if 4*c.used >= 3*len(c.slots) {
		c.grow()
		s = c.find(p)
	}
	c.used++
	*s = pairSlot{p + 1, first(p)}
	return s
}

// grow makes room, first by dropping pairs whose count has fallen to 0.
func (c *pairCounts) grow() {
	old := c.slots
	live := 0
	for i := range old {
		if old[i].count != 0 {
			live++
		}
	}
	size := 1 << bits.Len(uint(max(2*live, 1<<12)-1))
	c.slots = make([]pairSlot, size)
	c.shift = uint(64 - bits.Len(uint(size-1)))
	c.used = live
	for i := range old {
		if old[i].count != 0 {
			*c.find(old[i].key - 1) = old[i]
		}
	}
}

// places is a list of word numbers inside the pool.
type places struct{ at, n uint32 }

// pool holds the lists of places in blocks, which are never copied. The upper bits
// of places.at say which block; a list longer than a block has one of its own,
// which takes the numbers of several.
type pool struct {
	blocks [][]int32
	free   int // of the last block
}

const (
	poolBits  = 18
	poolBlock = 1 << poolBits
)

// alloc returns an empty list with room for n places.
func (p *pool) alloc(n int) places {
	if p.free < n {
		p.free = max(poolBlock, n)
		p.blocks = append(p.blocks, make([]int32, p.free))
		for extra := poolBlock; extra < n; extra += poolBlock {
			p.blocks = append(p.blocks, nil)
		}
		if n > poolBlock {
			p.free = 0
			at := len(p.blocks) - (n+poolBlock-1)/poolBlock
			return places{uint32(at) << poolBits, 0}
		}
	}
	at := uint32(len(p.blocks)-1)<<poolBits | uint32(poolBlock-p.free)
	p.free -= n
	return places{at, 0}
}

func (p *pool) push(l *places, word int32) {
	p.blocks[l.at>>poolBits][l.at%poolBlock+l.n] = word
	l.n++
}

func (p *pool) list(l places) []int32 {
	return p.blocks[l.at>>poolBits][l.at%poolBlock:][:l.n]
}

// candidate is a pair in the queue with the count it had when it was put there,
// and the words where it then appeared. Among equal counts the smallest tie goes
// first, then what the trainer's order says.
type candidate struct {
	count int64
	tie   uint64
	pair  pair
	at    places
}

// queue is a binary heap; before decides between candidates.
type queue struct {
	heap []candidate
	// key is the tie of a pair; order decides between pairs of equal ties, nil if
	// there are none.
	key   func(pair) uint64
	order func(a, b pair) bool
}

func (q *queue) before(a, b *candidate) bool {
	if a.count != b.count {
		return a.count > b.count
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return q.order != nil && a.pair != b.pair && q.order(a.pair, b.pair)
}

func (q *queue) push(c candidate) {
	q.heap = append(q.heap, c)
	h := q.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.before(&c, &h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = c
}

func (q *queue) pop() candidate {
	h := q.heap
	top := h[0]
	last := h[len(h)-1]
	q.heap = h[:len(h)-1]
	if len(q.heap) > 0 {
		q.heap[0] = last
		q.down(0)
	}
	return top
}

// down lets the candidate at i sink to its place.
func (q *queue) down(i int) {
	h := q.heap
	c := h[i]
	for {
		k := 2*i + 1
		if k >= len(h) {
			break
		}
		if k+1 < len(h) && q.before(&h[k+1], &h[k]) {
			k++
		}
		if !q.before(&h[k], &c) {
			break
		}
		h[i] = h[k]
		i = k
	}
	h[i] = c
}

// build makes a heap of candidates in any order.
func (q *queue) build() {
	for i := len(q.heap)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}
