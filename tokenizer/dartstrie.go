package tokenizer

import (
	"errors"
	"fmt"
	"slices"
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
