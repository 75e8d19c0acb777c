package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A dartsTrie is a trie in one slice, a double array, in the format of darts-clone, which
// SentencePiece's charsmaps have. A node is a base; following byte c leads to unit
// base^c, which must have the label c, and from there to the base
// (base^c)^offset(unit). A unit whose leaf bit is set ends a key; the key's value is
// in the unit at the new base (label 0), marked with leafBit.
type dartsTrie []uint32

const leafBit = 1 << 31 // of a unit that holds a value; no label has it

func unitLabel(u uint32) uint32  { return u & (leafBit | 0xFF) }
func unitOffset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }
func unitLeaf(u uint32) bool     { return u>>8&1 == 1 }

func (d dartsTrie) root() uint32 { return unitOffset(d[0]) }

// step follows one byte from a base; it returns the next base, the unit and
// whether there is one. Keys have no NUL.
func (d dartsTrie) step(base uint32, c byte) (next, unit uint32, ok bool) {
	base ^= uint32(c)
	if int(base) >= len(d) || c == 0 {
		return 0, 0, false
	}
	u := d[base]
	if unitLabel(u) != uint32(c) {
		return 0, 0, false
	}
	return base ^ unitOffset(u), u, true
}

// value returns the value of the key that ends at a base whose unit has the leaf bit.
func (d dartsTrie) value(base uint32) uint32 { return d[base] &^ leafBit }

// longest returns the longest key that s begins with: its value and its length,
// 0 where there is none.
func (d dartsTrie) longest(s string) (value uint32, size int) {
	base, leaf := d.root(), uint32(0)
	for i := 0; i < len(s); i++ {
		next, u, ok := d.step(base, s[i])
		if !ok {
			break
		}
		if base = next; unitLeaf(u) {
			leaf, size = base, i+1
		}
	}
	if size > 0 {
		value = d.value(leaf)
	}
	return value, size
}

// shortest is longest for the shortest key.
func (d dartsTrie) shortest(s string) (value uint32, size int) {
	base := d.root()
	for i := 0; i < len(s); i++ {
		next, u, ok := d.step(base, s[i])
		if !ok {
			break
		}
		if base = next; unitLeaf(u) {
			return d.value(base), i + 1
		}
	}
	return 0, 0
}

// children returns for every base the units that name it as theirs, as lists: a
// unit's base is its index XOR its label.
func (d dartsTrie) children() (first, next []int32) {
	first, next = make([]int32, len(d)), make([]int32, len(d))
	for i := range first {
		first[i] = -1
	}
	for i := len(d) - 1; i > 0; i-- {
		label := unitLabel(d[i])
		if base := uint32(i) ^ label; label != 0 && label < 256 && int(base) < len(d) {
			next[i], first[base] = first[base], int32(i)
		}
	}
	return first, next
}

// check walks over all that a key can reach: every unit must lie inside, every
// value below values, no path may lead in a circle or be longer than maxKey.
func (d dartsTrie) check(values, maxKey int) error {
	if len(d) == 0 {
		return errors.New("no units")
	}
	first, next := d.children()
	const fresh, open, closed = 0, 1, 2
	state := make([]uint8, len(d))
	type frame struct{ unit, child int32 }
	enter := func(unit int32) (frame, error) {
		base := uint32(unit) ^ unitOffset(d[unit])
		if int(base) >= len(d) {
			return frame{}, fmt.Errorf("unit %d leads to %d of %d", unit, base, len(d))
		}
		if unitLeaf(d[unit]) && unit > 0 {
			if value := d.value(base); int(value) >= values {
				return frame{}, fmt.Errorf("unit %d: value %d, want less than %d", base, value, values)
			}
		}
		state[unit] = open
		return frame{unit, first[base]}, nil
	}
	f, err := enter(0)
	if err != nil {
		return err
	}
	stack := []frame{f}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		child := top.child
		if child < 0 {
			state[top.unit] = closed
			stack = stack[:len(stack)-1]
			continue
		}
		top.child = next[child]
		switch {
		case state[child] == open:
			return fmt.Errorf("unit %d is its own descendant", child)
		case len(stack) > maxKey:
			return fmt.Errorf("a key is longer than %d bytes", maxKey)
		case state[child] == fresh:
			f, err := enter(child)
			if err != nil {
				return err
			}
			stack = append(stack, f)
		}
	}
	return nil
}

// each calls fn with every key and its value, in byte order. The trie must have
// passed check.
func (d dartsTrie) each(fn func(key string, value uint32)) {
	first, next := d.children()
	var walk func(base uint32, key []byte)
	walk = func(base uint32, key []byte) {
		var labels []byte
		for i := first[base]; i >= 0; i = next[i] {
			labels = append(labels, byte(unitLabel(d[i])))
		}
		slices.Sort(labels)
		for _, c := range labels {
			to, u, _ := d.step(base, c)
			key := append(key, c)
			if unitLeaf(u) {
				fn(string(key), d.value(to))
			}
			walk(to, key)
		}
	}
	walk(d.root(), make([]byte, 0, 64))
}

type trieEntry struct {
	key   string
	value uint32
}

// buildDartsTrie makes a trie of entries, which it sorts. Keys are
// distinct, not empty and without NUL; values are below 1<<31.
func buildDartsTrie(entries []trieEntry) (dartsTrie, error) {
	slices.SortFunc(entries, func(a, b trieEntry) int { return cmp.Compare(a.key, b.key) })
	for i, e := range entries {
		switch {
		case e.key == "" || strings.IndexByte(e.key, 0) >= 0:
			return nil, fmt.Errorf("trie: key %q is empty or has a NUL", e.key)
		case i > 0 && entries[i-1].key == e.key:
			return nil, fmt.Errorf("trie: key %q stands twice", e.key)
		case e.value >= leafBit:
			return nil, fmt.Errorf("trie: value %d of key %q", e.value, e.key)
		}
	}
	b := &arrayBuilder{}
	b.grow()
	b.take(0)
	b.used[0] = true
	if err := b.arrange(entries, 0, 0); err != nil {
		return nil, err
	}
	for block := 0; block < len(b.units); block += 256 {
		b.finish(block)
	}
	return b.units, nil
}

// arrayBuilder places nodes first fit. Free units of the last openBlocks blocks
// form a circular list.
type arrayBuilder struct {
	units      []uint32
	free       []bool
	used       []bool // as a base
	prev, next []int32
	head       int32
	closed     int // units below are no longer tried
}

const openBlocks = 16

func (b *arrayBuilder) grow() {
	n := len(b.units)
	b.units = append(b.units, make([]uint32, 256)...)
	b.free = append(b.free, make([]bool, 256)...)
	b.used = append(b.used, make([]bool, 256)...)
	b.prev = append(b.prev, make([]int32, 256)...)
	b.next = append(b.next, make([]int32, 256)...)
	if n == 0 {
		b.head = -1
	}
	for ; b.closed < n-(openBlocks-1)*256; b.closed++ {
		if b.free[b.closed] {
			b.unlink(int32(b.closed))
		}
	}
	for i := n; i < n+256; i++ {
		b.free[i] = true
		b.link(int32(i))
	}
}

func (b *arrayBuilder) link(i int32) {
	if b.head < 0 {
		b.head, b.prev[i], b.next[i] = i, i, i
		return
	}
	last := b.prev[b.head]
	b.prev[i], b.next[i] = last, b.head
	b.next[last], b.prev[b.head] = i, i
}

func (b *arrayBuilder) unlink(i int32) {
	if b.next[i] == i {
		b.head = -1
		return
	}
	b.next[b.prev[i]], b.prev[b.next[i]] = b.next[i], b.prev[i]
	if b.head == i {
		b.head = b.next[i]
	}
}

// take marks a unit as in use.
func (b *arrayBuilder) take(i int32) {
	b.free[i] = false
	if int(i) >= b.closed {
		b.unlink(i)
	}
}

// arrange places the children of a unit: entries share their first depth bytes.
func (b *arrayBuilder) arrange(entries []trieEntry, depth int, unit uint32) error {
	var labels []byte
	for i, e := range entries {
		c := byte(0)
		if len(e.key) > depth {
			c = e.key[depth]
		}
		if i == 0 || c != labels[len(labels)-1] {
			labels = append(labels, c)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	base := b.place(labels, unit)
	offset := unit ^ base
	switch {
	case offset < 1<<21:
		b.units[unit] |= offset << 10
	case offset < 1<<29:
		b.units[unit] |= offset<<2 | 1<<9
	default:
		return errors.New("trie: too large")
	}
	b.used[base] = true
	for _, c := range labels {
		at := base ^ uint32(c)
		b.take(int32(at))
		if c == 0 {
			b.units[unit] |= 1 << 8
			b.units[at] = entries[0].value | leafBit
		} else {
			b.units[at] = uint32(c)
		}
	}
	for from := 0; from < len(entries); {
		if len(entries[from].key) == depth {
			from++
			continue
		}
		c := entries[from].key[depth]
		to := from + 1
		for to < len(entries) && entries[to].key[depth] == c {
			to++
		}
		if err := b.arrange(entries[from:to], depth+1, base^uint32(c)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// place finds a base for labels.
func (b *arrayBuilder) place(labels []byte, unit uint32) uint32 {
	fits := func(base uint32) bool {
		offset := unit ^ base
		if b.used[base] || offset&0xFF != 0 && offset >= 1<<21 {
			return false
		}
		for _, c := range labels {
			if !b.free[base^uint32(c)] {
				return false
			}
		}
		return true
	}
	if b.head >= 0 {
		for i := b.head; ; {
			if base := uint32(i) ^ uint32(labels[0]); fits(base) {
				return base
			}
			if i = b.next[i]; i == b.head {
				break
			}
		}
	}
	n := uint32(len(b.units))
	b.grow()
	return n | unit&0xFF // offsets beyond 1<<21 must be multiples of 256
}

// finish gives the free units of a block labels that no walk accepts.
func (b *arrayBuilder) finish(block int) {
	unused := -1
	for i := block; i < block+256; i++ {
		if !b.used[i] {
			unused = i
			break
		}
	}
	for i := block; i < block+256 && unused >= 0; i++ {
		if b.free[i] {
			b.units[i] = uint32(i^unused) & 0xFF
		}
	}
}
