package charsmap

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Entry is a key of a trie and its value.
type Entry struct {
	Key   string
	Value uint32
}

// BuildTrie makes a trie of entries, which it sorts. Keys are
// distinct, not empty and without NUL; values are below 1<<31. With share, equal
// subtrees are stored once: keys with the same ends and values take little room,
// as the 225,000 of the NFKC charsmap do.
func BuildTrie(entries []Entry, share bool) (Trie, error) {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	for i, e := range entries {
		switch {
		case e.Key == "" || strings.IndexByte(e.Key, 0) >= 0:
			return nil, fmt.Errorf("trie: key %q is empty or has a NUL", e.Key)
		case i > 0 && entries[i-1].Key == e.Key:
			return nil, fmt.Errorf("trie: key %q stands twice", e.Key)
		case e.Value >= leafBit:
			return nil, fmt.Errorf("trie: value %d of key %q", e.Value, e.Key)
		}
	}
	b := &trieBuilder{}
	if share {
		b.shared = map[string]int32{}
	}
	root := b.node(entries, 0)
	b.bases = make([]uint32, len(b.nodes))
	b.grow()
	b.take(0)
	b.used[0] = true
	if err := b.arrange(root, 0); err != nil {
		return nil, err
	}
	for block := 0; block < len(b.units); block += 256 {
		b.finish(block)
	}
	return b.units, nil
}

// trieNode is a node before it has its place.
type trieNode struct {
	labels   []byte  // 0, first, for a key that ends here
	children []int32 // node, or the value for label 0
}

// trieBuilder makes nodes of entries and places them first fit. Free units of
// the last openBlocks blocks form a circular list.
type trieBuilder struct {
	nodes  []trieNode
	shared map[string]int32 // by what a node says; nil: every node is new
	bases  []uint32         // of nodes that have a place, else 0

	units      []uint32
	free       []bool
	used       []bool // as a base
	prev, next []int32
	head       int32
	closed     int // units below are no longer tried
}

const openBlocks = 16

func (b *trieBuilder) grow() {
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

func (b *trieBuilder) link(i int32) {
	if b.head < 0 {
		b.head, b.prev[i], b.next[i] = i, i, i
		return
	}
	last := b.prev[b.head]
	b.prev[i], b.next[i] = last, b.head
	b.next[last], b.prev[b.head] = i, i
}

func (b *trieBuilder) unlink(i int32) {
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
func (b *trieBuilder) take(i int32) {
	b.free[i] = false
	if int(i) >= b.closed {
		b.unlink(i)
	}
}

// node makes a node of entries, which share their first depth bytes.
func (b *trieBuilder) node(entries []Entry, depth int) int32 {
	var n trieNode
	for from := 0; from < len(entries); {
		if len(entries[from].Key) == depth {
			n.labels, n.children = append(n.labels, 0), append(n.children, int32(entries[from].Value))
			from++
			continue
		}
		c := entries[from].Key[depth]
		to := from + 1
		for to < len(entries) && entries[to].Key[depth] == c {
			to++
		}
		n.labels, n.children = append(n.labels, c), append(n.children, b.node(entries[from:to], depth+1))
		from = to
	}
	if b.shared == nil {
		b.nodes = append(b.nodes, n)
		return int32(len(b.nodes) - 1)
	}
	says := slices.Clone(n.labels)
	for _, c := range n.children {
		says = binary.LittleEndian.AppendUint32(says, uint32(c))
	}
	id, ok := b.shared[string(says)]
	if !ok {
		id = int32(len(b.nodes))
		b.nodes = append(b.nodes, n)
		b.shared[string(says)] = id
	}
	return id
}

// arrange makes a unit lead to a node, which it places with all below it if that
// has not been done.
func (b *trieBuilder) arrange(node int32, unit uint32) error {
	n := &b.nodes[node]
	if len(n.labels) == 0 {
		return nil
	}
	placed := b.bases[node] != 0
	if placed && !reaches(unit, b.bases[node]) {
		placed = false // too far away: place a copy
	}
	if !placed {
		b.bases[node] = b.place(n.labels, unit)
	}
	base := b.bases[node]
	switch offset := unit ^ base; {
	case offset < 1<<21:
		b.units[unit] |= offset << 10
	case offset < 1<<29:
		b.units[unit] |= offset<<2 | 1<<9
	default:
		return errors.New("trie: too large")
	}
	if n.labels[0] == 0 {
		b.units[unit] |= 1 << 8
	}
	if placed {
		return nil
	}
	b.used[base] = true
	for i, c := range n.labels {
		at := base ^ uint32(c)
		b.take(int32(at))
		if c == 0 {
			b.units[at] = uint32(n.children[i]) | leafBit
		} else {
			b.units[at] = uint32(c)
		}
	}
	for i, c := range n.labels {
		if c != 0 {
			if err := b.arrange(n.children[i], base^uint32(c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// reaches reports whether a unit's offset can be written.
func reaches(unit, base uint32) bool {
	offset := unit ^ base
	return offset&0xFF == 0 || offset < 1<<21
}

// place finds a base for labels.
func (b *trieBuilder) place(labels []byte, unit uint32) uint32 {
	fits := func(base uint32) bool {
		if b.used[base] || base == 0 || !reaches(unit, base) {
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
func (b *trieBuilder) finish(block int) {
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
