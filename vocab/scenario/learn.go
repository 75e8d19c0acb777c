package scenario

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"unicode/utf8"
)

// entry is a word in the pieces that it is cut into so far, as raw bytes.
type entry struct {
	parts     []string
	frequency int64
}

// learnedMerge joins two pieces, given as raw bytes.
type learnedMerge struct{ left, right string }

// learn finds merges that make every entry one piece (reference/lep 1.5.4). While words
// are in pieces, the adjacent pair is joined everywhere that is first by
//
//	falling frequency over all words, characters of the joined text, its bytes, the text itself
//
// and, for one text cut in two ways, the shorter left part.
func learn(entries []entry) []learnedMerge {
	l := &learner{symbols: map[string]int32{}, pairs: map[pairKey]*pairState{}}
	for _, e := range entries {
		w := word{frequency: e.frequency}
		for _, p := range e.parts {
			w.symbols = append(w.symbols, l.symbol(p))
		}
		l.words = append(l.words, w)
	}
	for i := range l.words {
		l.count(i, 1)
	}
	for _, p := range l.pairs {
		l.push(p)
	}
	var out []learnedMerge
	for len(l.queue) > 0 {
		top := heap.Pop(&l.queue).(candidate)
		p := top.pair
		if p.count != top.count || p.count == 0 {
			continue // counted anew since it was queued
		}
		out = append(out, learnedMerge{l.text[p.left], l.text[p.right]})
		l.merge(p)
	}
	return out
}

type word struct {
	symbols   []int32
	frequency int64
}

type pairKey struct{ left, right int32 }

type pairState struct {
	pairKey
	count int64
	words map[int32]struct{} // words that may hold the pair
	text  string
	split int    // length of the left part
	shown string // text decoded from UTF-8 with replacements
	chars int    // of shown
}

type candidate struct {
	pair  *pairState
	count int64
}

type learner struct {
	symbols map[string]int32
	text    []string
	words   []word
	pairs   map[pairKey]*pairState
	queue   candidates
	touched []*pairState
}

func (l *learner) symbol(s string) int32 {
	id, ok := l.symbols[s]
	if !ok {
		id = int32(len(l.text))
		l.symbols[s] = id
		l.text = append(l.text, s)
	}
	return id
}

// count adds (or with sign -1 takes away) a word's pairs.
func (l *learner) count(i int, sign int64) {
	w := &l.words[i]
	for k := 1; k < len(w.symbols); k++ {
		key := pairKey{w.symbols[k-1], w.symbols[k]}
		p := l.pairs[key]
		if p == nil {
			text := l.text[key.left] + l.text[key.right]
			shown := decode(text)
			p = &pairState{pairKey: key, words: map[int32]struct{}{}, text: text, split: len(l.text[key.left]), shown: shown, chars: utf8.RuneCountInString(shown)}
			l.pairs[key] = p
		}
		p.count += sign * w.frequency
		p.words[int32(i)] = struct{}{}
		l.touched = append(l.touched, p)
	}
}

func (l *learner) push(p *pairState) {
	if p.count > 0 {
		heap.Push(&l.queue, candidate{p, p.count})
	}
}

func (l *learner) merge(p *pairState) {
	joined := l.symbol(p.text)
	touched := make([]int32, 0, len(p.words))
	for i := range p.words {
		touched = append(touched, i)
	}
	slices.Sort(touched)
	l.touched = l.touched[:0]
	for _, i := range touched {
		w := &l.words[i]
		if !holds(w.symbols, p.pairKey) {
			continue
		}
		l.count(int(i), -1)
		w.symbols = join(w.symbols, p.pairKey, joined)
		l.count(int(i), 1)
	}
	delete(l.pairs, p.pairKey)
	p.count = 0
	slices.SortFunc(l.touched, func(a, b *pairState) int {
		return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
	})
	for _, q := range slices.Compact(l.touched) {
		if q != p {
			l.push(q)
		}
	}
}

func holds(symbols []int32, p pairKey) bool {
	for k := 1; k < len(symbols); k++ {
		if symbols[k-1] == p.left && symbols[k] == p.right {
			return true
		}
	}
	return false
}

// join replaces a pair from left to right, in place.
func join(symbols []int32, p pairKey, joined int32) []int32 {
	out := symbols[:0]
	for k := 0; k < len(symbols); k++ {
		if k+1 < len(symbols) && symbols[k] == p.left && symbols[k+1] == p.right {
			out = append(out, joined)
			k++
			continue
		}
		out = append(out, symbols[k])
	}
	return out
}

// before orders candidates; see learn.
func (c candidate) before(d candidate) bool {
	a, b := c.pair, d.pair
	return cmp.Or(
		cmp.Compare(d.count, c.count),
		cmp.Compare(a.chars, b.chars),
		cmp.Compare(len(a.text), len(b.text)),
		strings.Compare(a.shown, b.shown),
		strings.Compare(a.text, b.text),
		cmp.Compare(a.split, b.split),
	) < 0
}

// decode reads UTF-8 with one U+FFFD for each maximal broken part (Unicode 16, section
// 3.9, table 3-8), as Python does with errors="replace".
func decode(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n <= 1 {
			for n = 1; n < len(s) && !utf8.FullRuneInString(s[:n+1]); n++ {
			}
			if utf8.FullRuneInString(s[:1]) {
				n = 1
			}
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// candidates is a heap; the first candidate is on top.
type candidates []candidate

func (q candidates) Len() int           { return len(q) }
func (q candidates) Less(i, j int) bool { return q[i].before(q[j]) }
func (q candidates) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *candidates) Push(x any)        { *q = append(*q, x.(candidate)) }
func (q *candidates) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// fitting returns how many of the entries, from the first on, can become tokens with at
// most room new pieces, those on the way included.
func fitting(entries []entry, room int, known func(string) bool) int {
	fits := func(n int) bool {
		products := map[string]bool{}
		for _, m := range learn(entries[:n]) {
			if s := m.left + m.right; !known(s) {
				products[s] = true
			}
		}
		return len(products) <= room
	}
	low, high := 0, min(len(entries), room)
	for low < high {
		mid := (low + high + 1) / 2
		if fits(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}
