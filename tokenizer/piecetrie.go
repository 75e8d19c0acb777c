package tokenizer

import "slices"

// pieceTrie is a trie of strings in one array (Aoe 1989): the child of node n by
// byte b is base(n)+b, if that unit's parent is n. Node 0 is the root.
type pieceTrie struct{ units []trieUnit }

type trieUnit struct {
	base   int32 // children stand at base + byte
	parent int32 // -1: the unit is free
	value  int32 // of the string that ends here, or -1
}

// newPieceTrie builds the trie of keys, none empty and none twice; values[i]
// belongs to keys[i].
func newPieceTrie(keys []string, values []int32) pieceTrie {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if keys[a] < keys[b] {
			return -1
		}
		return 1
	})
	b := trieBuilder{keys: keys, values: values, order: order}
	b.grow(512)
	b.units[0].parent = 0
	if len(keys) > 0 {
		b.children(0, 0, len(order), 0)
	}
	return pieceTrie{slices.Clip(b.units)}
}

type trieBuilder struct {
	keys   []string
	values []int32
	order  []int // keys sorted
	units  []trieUnit
	free   int // units before are taken, or not worth looking at
}

func (b *trieBuilder) grow(n int) {
	for len(b.units) < n {
		b.units = append(b.units, trieUnit{parent: -1, value: -1})
	}
}

// children places the children of node, whose strings are order[lo:hi] and share
// their first depth bytes.
func (b *trieBuilder) children(node int32, lo, hi, depth int) {
	if len(b.keys[b.order[lo]]) == depth {
		b.units[node].value = b.values[b.order[lo]]
		lo++
	}
	if lo == hi {
		return
	}
	var labels [256]byte
	var starts [257]int
	n := 0
	for i := lo; i < hi; i++ {
		c := b.keys[b.order[i]][depth]
		if n == 0 || labels[n-1] != c {
			labels[n], starts[n] = c, i
			n++
		}
	}
	starts[n] = hi
	base := b.place(labels[:n])
	b.units[node].base = base
	for _, c := range labels[:n] {
		b.units[base+int32(c)].parent = node
	}
	for i, c := range labels[:n] {
		b.children(base+int32(c), starts[i], starts[i+1], depth+1)
	}
}

// place finds a base, 1 or more, whose units for all labels are free.
func (b *trieBuilder) place(labels []byte) int32 {
	first := int(labels[0])
	start := max(b.free, first+1)
	taken := 0
	for at := start; ; at++ {
		b.grow(at + 512)
		if b.units[at].parent >= 0 {
			taken++
			continue
		}
		base := at - first
		if slices.ContainsFunc(labels, func(c byte) bool { return b.units[base+int(c)].parent >= 0 }) {
			continue
		}
		if taken*20 >= (at-start+1)*19 { // nearly full so far: begin here next time
			b.free = at
		}
		return int32(base)
	}
}
