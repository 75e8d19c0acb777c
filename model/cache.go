package model

import (
	"fmt"

	"lep/internal/hint"
)

// Cache holds the keys and values of sequences that are extended token by token, in
// float32. Each slot is one sequence.
type Cache struct {
	cfg      *Config
	capacity int
	lens     []int
	k, v     [][]float32 // by layer: (slots, K, capacity, Hd)
	scores   [][]float32 // by worker: (queryBlock, capacity)
}

// Span is new tokens for a slot.
type Span struct {
	Slot int
	IDs  []int32
}

// CacheFloats returns how many float32 a cache takes.
func (c *Config) CacheFloats(slots, capacity int) int {
	return 2 * c.NumHiddenLayers * slots * c.NumKeyValueHeads * capacity * c.HeadDim
}

// NewCache returns an empty cache of sequences of up to capacity tokens. A capacity beyond
// the model's context is an error.
func (m *Model) NewCache(slots, capacity int) (*Cache, error) {
	if slots < 1 || capacity < 1 {
		return nil, fmt.Errorf("cache of %d sequences of %d tokens, want at least 1 of 1", slots, capacity)
	}
	if err := m.checkLength(capacity); err != nil {
		return nil, err
	}
	c := &Cache{cfg: m.Config, capacity: capacity, lens: make([]int, slots)}
	for range m.layers {
		n := slots * m.Config.NumKeyValueHeads * capacity * m.Config.HeadDim
		c.k, c.v = append(c.k, make([]float32, n)), append(c.v, make([]float32, n))
	}
	for range m.crew.Size() {
		c.scores = append(c.scores, make([]float32, queryBlock*capacity))
	}
	return c, nil
}

// Len returns the number of tokens in a slot.
func (c *Cache) Len(slot int) int { return c.lens[slot] }

// Slots returns the number of slots.
func (c *Cache) Slots() int { return len(c.lens) }

// Capacity returns the number of tokens that a slot can hold.
func (c *Cache) Capacity() int { return c.capacity }

// Truncate forgets all but the first n tokens of a slot.
func (c *Cache) Truncate(slot, n int) { c.lens[slot] = min(max(n, 0), c.lens[slot]) }

// Copy makes slot dst hold the first n tokens of slot src, so that sequences with a common
// beginning compute it once.
func (c *Cache) Copy(dst, src, n int) {
	n = min(n, c.lens[src])
	if dst != src {
		for l := range c.k {
			for h := range c.cfg.NumKeyValueHeads {
				size := n * c.cfg.HeadDim
				to, from := c.at(dst, h), c.at(src, h)
				copy(c.k[l][to:to+size], c.k[l][from:from+size])
				copy(c.v[l][to:to+size], c.v[l][from:from+size])
			}
		}
	}
	c.lens[dst] = n
}

// at is where the keys and values of a head of a slot begin.
func (c *Cache) at(slot, head int) int {
	return (slot*c.cfg.NumKeyValueHeads + head) * c.capacity * c.cfg.HeadDim
}

// Extend appends tokens to slots and returns the final hidden states of the new tokens
// (all IDs in order, D), behind the last norm; [Model.Logits] makes logits of any of their
// rows. Each span needs at least one token, a slot may stand once. The result does not
// depend on what stands in other slots, up to rounding.
func (m *Model) Extend(c *Cache, spans []Span) ([]float32, error) {
	w := &m.work
	s := &w.seqs
	s.pos, w.ids = s.pos[:0], w.ids[:0]
	longest := 0
	w.spans = append(w.spans[:0], spans...)
	for i, span := range spans {
		if span.Slot < 0 || span.Slot >= len(c.lens) || len(span.IDs) == 0 {
			return nil, fmt.Errorf("cache: span %d: slot %d with %d tokens, want a slot below %d and at least one token", i, span.Slot, len(span.IDs), len(c.lens))
		}
		for _, other := range spans[:i] {
			if other.Slot == span.Slot {
				return nil, fmt.Errorf("cache: slot %d stands twice", span.Slot)
			}
		}
		end := c.lens[span.Slot] + len(span.IDs)
		if end > c.capacity {
			return nil, hint.Errorf("ask for fewer new tokens or cut the prompt", "cache: slot %d would hold %d tokens, its capacity is %d", span.Slot, end, c.capacity)
		}
		longest = max(longest, end)
		for j, id := range span.IDs {
			if id < 0 || int(id) >= m.Config.VocabSize {
				return nil, m.badID("input_ids", span.Slot, c.lens[span.Slot]+j, id)
			}
			s.pos = append(s.pos, int32(c.lens[span.Slot]+j))
			w.ids = append(w.ids, id)
		}
	}
	s.n, s.t = len(w.ids), 0
	m.setPositions(s, longest)
	m.reserve(s.n, 0, false)
	m.embedTokens(w.inputs[0], w.ids)
	for l := range m.layers {
		m.forwardLayer(l, m.actsOf(l, false), w.inputs[l+1], s, c)
	}
	for _, span := range spans {
		c.lens[span.Slot] += len(span.IDs)
	}
	n, d := s.n, m.Config.HiddenSize
	m.norm(w.hidden[:n*d], w.rstd[:n], w.inputs[len(m.layers)], m.finalNorm, n)
	return w.hidden[:n*d], nil
}

// cachedTask is attention of new tokens over a cache. A part is a head and a block of
// queries of one span; a span of one token has a part for each key and value head, with
// the query heads that share it as the rows.
type cachedTask struct {
	m      *Model
	c      *Cache
	l      int
	window int
	cap    float32
	a      *layerActs
	parts  []cachedPart
}

type cachedPart struct {
	slot, head, rows int
	row              int // row of qkv and ctx of the first query
	from             int // position of the first query
	single           bool
}

func (t *cachedTask) Part(worker, i int) {
	p := t.parts[i]
	cfg := t.m.Config
	h, hd := cfg.NumAttentionHeads, cfg.HeadDim
	group := h / cfg.NumKeyValueHeads
	ld, ldc := t.m.qkvWidth(), h*hd
	lo, hi := 0, p.from+1
	if t.window > 0 {
		lo = max(0, p.from-t.window+1)
	}
	if !p.single {
		hi = p.from + p.rows
	}
	keys := hi - lo
	at := t.c.at(p.slot, p.head/group) + lo*hd
	k, v := t.c.k[t.l][at:at+keys*hd], t.c.v[t.l][at:at+keys*hd]
	q, o := t.a.qkv[p.row*ld+p.head*hd:], t.a.ctx[p.row*ldc+p.head*hd:]
	scores := t.c.scores[worker][:p.rows*keys]
	if p.single {
		ld, ldc = hd, hd
		scoresOfOne(scores, q, k, p.rows, keys, hd, t.m.scoreScale)
	} else {
		t.m.inner.SGEMM(false, true, p.rows, keys, hd, t.m.scoreScale, q, ld, k, hd, 0, scores, keys)
	}
	for j := range p.rows {
		row := scores[j*keys : (j+1)*keys]
		first, last := 0, keys
		if !p.single {
			last = p.from + j + 1 - lo
			if t.window > 0 {
				first = max(0, p.from+j-t.window+1) - lo
			}
			clear(row[:first])
			clear(row[last:])
		}
		if t.cap > 0 {
			softcap(row[first:last], t.cap)
		}
		softmax(row[first:last])
	}
	if p.single {
		mixOfOne(o, scores, v, p.rows, keys, hd)
		return
	}
	t.m.inner.SGEMM(false, false, p.rows, hd, keys, 1, scores, keys, v, hd, 0, o, ldc)
}

// scoresOfOne computes scores (rows, keys) = scale·q kᵀ for few rows, reading the keys once.
func scoresOfOne(scores, q, k []float32, rows, keys, hd int, scale float32) {
	for j := range keys {
		key := k[j*hd : (j+1)*hd]
		for r := range rows {
			scores[r*keys+j] = scale * dot(q[r*hd:(r+1)*hd], key)
		}
	}
}

// mixOfOne computes o (rows, Hd) = p v for few rows.
func mixOfOne(o, p, v []float32, rows, keys, hd int) {
	clear(o[:rows*hd])
	for j := range keys {
		value := v[j*hd : (j+1)*hd]
		for r := range rows {
			add(o[r*hd:(r+1)*hd], value, p[r*keys+j])
		}
	}
}

// attend stores the new keys and values and runs attention over the cache.
func (c *Cache) attend(m *Model, l int, a *layerActs) {
	cfg, w := m.Config, &m.work
	h, kv, hd, ld := cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim, m.qkvWidth()
	t := &m.tasks.cached
	*t = cachedTask{m: m, c: c, l: l, window: m.layers[l].window, cap: float32(cfg.AttnLogitSoftcapping), a: a, parts: t.parts[:0]}
	row := 0
	for _, span := range w.spans {
		from, n := c.lens[span.Slot], len(span.IDs)
		for head := range kv {
			at := c.at(span.Slot, head) + from*hd
			for i := range n {
				x := a.qkv[(row+i)*ld+(h+head)*hd:]
				copy(c.k[l][at+i*hd:at+(i+1)*hd], x)
				copy(c.v[l][at+i*hd:at+(i+1)*hd], x[kv*hd:])
			}
		}
		if group := h / kv; n == 1 && group <= queryBlock {
			for head := 0; head < h; head += group {
				t.parts = append(t.parts, cachedPart{slot: span.Slot, head: head, rows: group, row: row, from: from, single: true})
			}
		} else {
			for head := range h {
				for i := 0; i < n; i += queryBlock {
					t.parts = append(t.parts, cachedPart{slot: span.Slot, head: head, rows: min(queryBlock, n-i), row: row + i, from: from + i})
				}
			}
		}
		row += n
	}
	m.crew.Run(len(t.parts), t)
}
