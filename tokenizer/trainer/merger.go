package trainer

import "errors"

// maxSymbols bounds all words together: with it, places.at cannot overflow, because
// a merge takes one symbol away and adds two places at most.
const maxSymbols = 1 << 30

var errTooManyWords = errors.New("trainer: too many distinct words: train on a sample of the corpus")

// merger is the state that the two BPE trainers share: the words as runs of
// symbols, the count of every pair, and the queue of pairs to merge next.
//
// Each queued pair knows the words it was seen in when it was queued. A pair that
// comes up again in other words is queued again with those; so the same pair may
// be in the queue twice, and be merged twice. HF's trainer does so, and its
// merges are only reproduced when this one does.
type merger struct {
	symbols []int32
	start   []uint32 // of each word in symbols
	length  []uint32 // of each word, in symbols; falls with each merge
	counts  []int64  // of each word

	pairs *pairCounts
	queue queue
	pool  pool
	// allow says whether a pair may be merged; nil: every pair may. It must not
	// change its mind.
	allow func(pair) bool

	fresh freshPairs
	lists []places    // scratch of enqueue
	added []candidate // scratch of merge
}

// addWord appends a word; words of one symbol have nothing to merge.
func (m *merger) addWord(symbols []int32, count int64) error {
	if len(symbols) < 2 {
		return nil
	}
	if len(m.symbols)+len(symbols) > maxSymbols {
		return errTooManyWords
	}
	m.start = append(m.start, uint32(len(m.symbols)))
	m.length = append(m.length, uint32(len(symbols)))
	m.counts = append(m.counts, count)
	m.symbols = append(m.symbols, symbols...)
	return nil
}

func (m *merger) word(i int32) []int32 {
	return m.symbols[m.start[i] : m.start[i]+m.length[i]]
}

// begin counts all pairs and fills the queue. key and order decide between pairs
// of equal counts, see queue.
func (m *merger) begin(key func(pair) uint64, order func(a, b pair) bool) {
	m.pairs = newPairCounts()
	m.fresh.init()
	m.queue.key, m.queue.order = key, order
	for i := range m.start {
		w := m.word(int32(i))
		for k := 1; k < len(w); k++ {
			m.gain(makePair(w[k-1], w[k]), int32(i))
		}
	}
	m.queue.heap = m.enqueue(nil)
	m.queue.build()
}

// firstCount is the count of a pair that was never seen.
func (m *merger) firstCount(p pair) int64 {
	if m.allow != nil && !m.allow(p) {
		return blocked
	}
	return 0
}

// gain notes that a pair stands once more in a word.
func (m *merger) gain(p pair, word int32) {
	if s := m.pairs.slot(p, m.firstCount); s.count != blocked {
		s.count += m.counts[word]
		m.fresh.add(p, word)
	}
}

// lose notes that a pair stands once less in a word.
func (m *merger) lose(p pair, word int32) {
	if s := m.pairs.slot(p, m.firstCount); s.count != blocked {
		s.count -= m.counts[word]
	}
}

// next returns the pair that goes before all others with its true count, false at
// the end. It leaves the queue.
func (m *merger) next() (candidate, bool) {
	for len(m.queue.heap) > 0 {
		top := &m.queue.heap[0]
		if now := m.pairs.count(top.pair); now != top.count {
			if now <= 0 {
				m.queue.pop()
				continue
			}
			top.count = now
			m.queue.down(0)
			continue
		}
		return m.queue.pop(), true
	}
	return candidate{}, false
}

// merge replaces a pair by the symbol product in the words that the candidate
// knows, from left to right, and queues the pairs that come of it.
func (m *merger) merge(c candidate, product int32) {
	left, right := c.pair.split()
	for _, i := range m.pool.list(c.at) {
		m.mergeWord(i, left, right, product)
	}
	m.added = m.enqueue(m.added[:0])
	for _, c := range m.added {
		m.queue.push(c)
	}
}

func (m *merger) mergeWord(i, left, right, product int32) {
	w := m.word(i)
	out := 0 // symbols written; the new word grows inside the old
	for k := 0; k < len(w); {
		if w[k] != left || k+1 == len(w) || w[k+1] != right {
			w[out] = w[k]
			out++
			k++
			continue
		}
		if out > 0 {
			m.lose(makePair(w[out-1], left), i)
			m.gain(makePair(w[out-1], product), i)
		}
		if k += 2; k < len(w) {
			m.lose(makePair(right, w[k]), i)
			m.gain(makePair(product, w[k]), i)
		}
		w[out] = product
		out++
	}
	m.length[i] = uint32(out)
}

// enqueue appends to dst the pairs that are new since the last call.
func (m *merger) enqueue(dst []candidate) []candidate {
	f := &m.fresh
	m.lists = m.lists[:0]
	for _, n := range f.sizes {
		m.lists = append(m.lists, m.pool.alloc(int(n)))
	}
	for _, s := range f.seen {
		m.pool.push(&m.lists[s.pair], s.word)
	}
	for k, p := range f.pairs {
		if n := m.pairs.count(p); n > 0 {
			dst = append(dst, candidate{n, m.queue.key(p), p, m.lists[k]})
		}
	}
	f.reset()
	return dst
}

// freshPairs collects the pairs that appear during one merge, and where.
type freshPairs struct {
	slots []int32 // 1 + index in pairs, 0 for free
	shift uint
	pairs []pair
	sizes []int32 // places of each pair
	last  []int32 // the last of them
	seen  []freshPlace
}

type freshPlace struct{ pair, word int32 }

func (f *freshPairs) init() {
	f.slots = make([]int32, 1<<10)
	f.shift = 64 - 10
}

func (f *freshPairs) slot(p pair) *int32 {
	i := uint64(p) * 0x9E3779B97F4A7C15 >> f.shift
	for f.slots[i] != 0 && f.pairs[f.slots[i]-1] != p {
		if i++; i == uint64(len(f.slots)) {
			i = 0
		}
	}
	return &f.slots[i]
}

func (f *freshPairs) add(p pair, word int32) {
	s := f.slot(p)
	if *s == 0 {
		if 2*len(f.pairs) >= len(f.slots) {
			f.grow()
			s = f.slot(p)
		}
		f.pairs = append(f.pairs, p)
		f.sizes = append(f.sizes, 0)
		f.last = append(f.last, -1)
		*s = int32(len(f.pairs))
	}
	k := *s - 1
	if f.last[k] == word {
		return
	}
	f.last[k] = word
	f.sizes[k]++
	f.seen = append(f.seen, freshPlace{k, word})
}

func (f *freshPairs) grow() {
	f.slots = make([]int32, 2*len(f.slots))
	f.shift--
	for k, p := range f.pairs {
		*f.slot(p) = int32(k + 1)
	}
}

// reset forgets the pairs, and frees what a large merge has grown.
func (f *freshPairs) reset() {
	if len(f.slots) > 1<<12 {
		f.init()
	} else {
		clear(f.slots)
	}
	if cap(f.seen) > 1<<16 {
		f.pairs, f.sizes, f.last, f.seen = nil, nil, nil, nil
	}
	f.pairs, f.sizes, f.last, f.seen = f.pairs[:0], f.sizes[:0], f.last[:0], f.seen[:0]
}
