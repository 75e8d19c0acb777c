package charsmap

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// A Trie finds byte strings, its keys, at the beginning of others. It is one slice, a double array in the format of darts-clone, which
// SentencePiece's charsmaps have. A node is a base; following byte c leads to unit
// base^c, which must have the label c, and from there to the base
// (base^c)^offset(unit). A unit whose leaf bit is set ends a key; the key's value is
// in the unit at the new base (label 0), marked with leafBit.
type Trie []uint32

const leafBit = 1 << 31 // of a unit that holds a value; no label has it

func unitLabel(u uint32) uint32  { return u & (leafBit | 0xFF) }
func unitOffset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }

// Leaf reports whether a key ends at the unit that [Trie.Step] came by.
func Leaf(unit uint32) bool { return unit>>8&1 == 1 }

// Root returns the base from which every key begins.
func (d Trie) Root() uint32 { return unitOffset(d[0]) }

// Step follows one byte from a base; it returns the next base, the unit that it came by and
// whether there is one. Keys have no NUL.
func (d Trie) Step(base uint32, c byte) (next, unit uint32, ok bool) {
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

// Value returns the value of the key that ends at a base, if its unit is a [Leaf].
func (d Trie) Value(base uint32) uint32 { return d[base] &^ leafBit }

// Longest returns the longest key that s begins with: its value and its length,
// 0 where there is none.
func (d Trie) Longest(s string) (value uint32, size int) {
	base, leaf := d.Root(), uint32(0)
	for i := 0; i < len(s); i++ {
		next, u, ok := d.Step(base, s[i])
		if !ok {
			break
		}
		if base = next; Leaf(u) {
			leaf, size = base, i+1
		}
	}
	if size > 0 {
		value = d.Value(leaf)
	}
	return value, size
}

// Shortest is Longest for the shortest key.
func (d Trie) Shortest(s string) (value uint32, size int) {
	base := d.Root()
	for i := 0; i < len(s); i++ {
		next, u, ok := d.Step(base, s[i])
		if !ok {
			break
		}
		if base = next; Leaf(u) {
			return d.Value(base), i + 1
		}
	}
	return 0, 0
}

// children returns for every base the units that name it as theirs, as lists: a
// unit's base is its index XOR its label.
func (d Trie) children() (first, next []int32) {
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
func (d Trie) check(values, maxKey int) error {
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
		if Leaf(d[unit]) && unit > 0 {
			if value := d.Value(base); int(value) >= values {
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

// joins reports whether c stands beside other bytes in a key. It looks at every unit once:
// a hostile trie shares its subtrees so often that its keys can't be counted.
func (d Trie) joins(c byte) bool {
	first, next := d.children()
	seen := make([]bool, len(d))
	for todo := []uint32{d.Root()}; len(todo) > 0; {
		base := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[base] {
			continue
		}
		seen[base] = true
		for i := first[base]; i >= 0; i = next[i] {
			to := uint32(i) ^ unitOffset(d[i])
			if unitLabel(d[i]) == uint32(c) && (base != d.Root() || first[to] >= 0) {
				return true
			}
			todo = append(todo, to)
		}
	}
	return false
}

// All yields every key and its value, in byte order.
func (d Trie) All() iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		first, next := d.children()
		var walk func(base uint32, key []byte) bool
		walk = func(base uint32, key []byte) bool {
			var labels []byte
			for i := first[base]; i >= 0; i = next[i] {
				labels = append(labels, byte(unitLabel(d[i])))
			}
			slices.Sort(labels)
			for _, c := range labels {
				to, u, _ := d.Step(base, c)
				key := append(key, c)
				if Leaf(u) && !yield(string(key), d.Value(to)) || !walk(to, key) {
					return false
				}
			}
			return true
		}
		walk(d.Root(), make([]byte, 0, 64))
	}
}
