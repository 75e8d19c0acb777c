package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// charsmap is a table of replacements, SentencePiece's precompiled_charsmap: a
// double-array trie (darts-clone) over the UTF-8 of what is replaced, whose
// values are places in a list of NUL-terminated replacements.
//
//	uint32 size of the trie in bytes, the trie's uint32 units, the list
//
// all little-endian. A nil charsmap replaces nothing.
type charsmap struct {
	units []uint32
	texts string
	// lead says for the characters below U+0800 what may begin with them.
	lead [0x800]leadClass
	// spaceOnly: no key has a space but at its end, so that text may be cut
	// in front of a space and each part be replaced by itself.
	spaceOnly bool
}

// leadClass tells most characters apart without a walk through the trie.
type leadClass uint8

const (
	leadNone  leadClass = iota // no key begins with the character
	leadMarks                  // only keys that go on with a byte of U+0300..U+037F do
	leadTrie                   // any other
)

// limits of a trie read from a file.
const (
	maxCharsmap    = 64 << 20 // bytes
	maxCharsmapKey = 256      // bytes of a key
)

const leafBit = 1 << 31 // of a unit that holds a value; no label has it

func unitLabel(u uint32) uint32  { return u & (leafBit | 0xFF) }
func unitOffset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }
func unitLeaf(u uint32) bool     { return u>>8&1 == 1 }

// readCharsmap checks a precompiled charsmap as a whole: every unit that a key
// can reach lies inside the trie, every value inside the list, and no walk goes
// in a circle.
func readCharsmap(blob []byte) (*charsmap, error) {
	if len(blob) < 4 {
		return nil, fmt.Errorf("charsmap: %d bytes, want at least 4", len(blob))
	}
	if len(blob) > maxCharsmap {
		return nil, fmt.Errorf("charsmap: %d bytes, at most %d", len(blob), maxCharsmap)
	}
	size := binary.LittleEndian.Uint32(blob)
	rest := blob[4:]
	if uint64(size) > uint64(len(rest)) || size%4 != 0 || size == 0 {
		return nil, fmt.Errorf("charsmap: trie of %d bytes in a charsmap of %d", size, len(blob))
	}
	m := &charsmap{units: make([]uint32, size/4), texts: string(rest[size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	if m.texts != "" && m.texts[len(m.texts)-1] != 0 {
		return nil, errors.New("charsmap: the last replacement has no end")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("charsmap: %w", err)
	}
	m.spaceOnly = true
	m.classify()
	return m, nil
}

// children returns for every base (a place that labels are XORed to) the units
// that name it as their base. A unit's base is its index XOR its label.
func (m *charsmap) children() (first, next []int32) {
	first, next = make([]int32, len(m.units)), make([]int32, len(m.units))
	for i := range first {
		first[i] = -1
	}
	for i := len(m.units) - 1; i > 0; i-- {
		label := unitLabel(m.units[i])
		if base := uint32(i) ^ label; label < 256 && int(base) < len(first) {
			next[i], first[base] = first[base], int32(i)
		}
	}
	return first, next
}

func (m *charsmap) check() error {
	first, next := m.children()
	const fresh, open, closed = 0, 1, 2
	state := make([]uint8, len(m.units))
	type frame struct{ unit, child int32 }
	enter := func(unit int32) (frame, error) {
		base := uint32(0)
		if unit > 0 {
			base = uint32(unit)
		}
		base ^= unitOffset(m.units[unit])
		if int(base) >= len(m.units) {
			return frame{}, fmt.Errorf("unit %d leads to %d of %d", unit, base, len(m.units))
		}
		if unitLeaf(m.units[unit]) {
			if value := m.units[base] &^ leafBit; int(value) >= len(m.texts) {
				return frame{}, fmt.Errorf("unit %d: replacement at %d of %d", base, value, len(m.texts))
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
		case len(stack) > maxCharsmapKey:
			return fmt.Errorf("a key is longer than %d bytes", maxCharsmapKey)
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

// step follows one byte from a base; it returns the next base, the unit and
// whether there is one.
func (m *charsmap) step(base uint32, c byte) (uint32, uint32, bool) {
	base ^= uint32(c)
	if int(base) >= len(m.units) {
		return 0, 0, false
	}
	u := m.units[base]
	if unitLabel(u) != uint32(c) {
		return 0, 0, false
	}
	return base ^ unitOffset(u), u, true
}

func (m *charsmap) root() uint32 { return unitOffset(m.units[0]) }

// text returns the replacement that the leaf below a base names.
func (m *charsmap) text(base uint32) string {
	t := m.texts[m.units[base]&^leafBit:]
	return t[:strings.IndexByte(t, 0)]
}

// longest returns the longest key that s begins with, as its length, and its
// replacement: SentencePiece's rule. The length is 0 where there is none.
func (m *charsmap) longest(s string) (to string, size int) {
	base, leaf := m.root(), uint32(0)
	for i := 0; i < len(s); i++ {
		next, u, ok := m.step(base, s[i])
		if !ok {
			break
		}
		if base = next; unitLeaf(u) {
			leaf, size = base, i+1
		}
	}
	if size > 0 {
		to = m.text(leaf)
	}
	return to, size
}

// shortest returns the replacement of the shortest key that s begins with.
func (m *charsmap) shortest(s string) (string, bool) {
	base := m.root()
	for i := 0; i < len(s); i++ {
		next, u, ok := m.step(base, s[i])
		if !ok {
			return "", false
		}
		if base = next; unitLeaf(u) {
			return m.text(base), true
		}
	}
	return "", false
}

// classify fills lead and spaceOnly.
func (m *charsmap) classify() {
	for r := range rune(0x800) {
		key := string(r)
		base, ok := m.root(), true
		var u uint32
		for i := 0; i < len(key) && ok; i++ {
			base, u, ok = m.step(base, key[i])
		}
		if !ok {
			continue
		}
		m.lead[r] = leadMarks
		if unitLeaf(u) {
			m.lead[r] = leadTrie
		}
		for c := range 256 {
			if _, _, ok := m.step(base, byte(c)); ok && c != 0xCC && c != 0xCD {
				m.lead[r] = leadTrie
			}
		}
	}
	// A space inside a key shows as a unit labelled ' ' that has children.
	first, _ := m.children()
	for i, u := range m.units {
		if unitLabel(u) == ' ' {
			if base := uint32(i) ^ unitOffset(u); int(base) < len(first) && first[base] >= 0 {
				m.spaceOnly = false
			}
		}
	}
}

// precompiledNormalizer is HF's Precompiled. It walks grapheme clusters and not,
// as SentencePiece does, longest matches: a cluster of less than six bytes is
// replaced as a whole by what the shortest key at its beginning says, so that "\r\n"
// becomes one space and marks behind a replaced letter are lost. Everything else
// is looked up character by character.
type precompiledNormalizer struct{ m *charsmap }

func (p precompiledNormalizer) normalize(n *normalized) {
	text := n.text
	var steps []step
	modified := false
	for i := 0; i < len(text); {
		size := graphemeSize(text[i:])
		cluster := text[i : i+size]
		i += size
		if size < 6 {
			if to, ok := p.m.shortest(cluster); ok {
				modified = true
				steps = appendReplacement(steps, cluster, to)
				continue
			}
		}
		for len(cluster) > 0 {
			r, size := utf8.DecodeRuneInString(cluster)
			part := cluster[:size]
			cluster = cluster[size:]
			if to, ok := p.m.shortest(part); ok {
				modified = true
				steps = appendReplacement(steps, part, to)
			} else if r == utf8.RuneError && size == 1 {
				steps = append(steps, step{r: -1 - rune(part[0])})
			} else {
				steps = append(steps, step{r: r})
			}
		}
	}
	if !modified {
		return
	}
	e := n.edit()
	for _, s := range steps {
		if s.r >= 0 {
			e.put(s.r, s.change)
			continue
		}
		// A byte that is no UTF-8: put would write U+FFFD for it.
		at := len(e.out)
		e.put(utf8.RuneError, s.change)
		e.out = append(e.out[:at], byte(-1-s.r))
		if n.align != nil {
			e.align = e.align[:at+1]
		}
	}
	e.done()
}

// appendReplacement is HF's replace: new characters beyond the number of old ones
// are insertions, missing ones are removed by the last character before.
func appendReplacement(steps []step, old, to string) []step {
	for _, r := range to {
		steps = append(steps, step{r: r})
	}
	diff := utf8.RuneCountInString(to) - utf8.RuneCountInString(old)
	for i := range max(diff, 0) {
		steps[len(steps)-1-i].change = 1
	}
	if diff < 0 && len(steps) > 0 {
		steps[len(steps)-1].change += diff
	}
	return steps
}

// graphemeSize returns the bytes of the extended grapheme cluster at the start of
// s, as far as precompiledNormalizer needs it: clusters that are six bytes or longer
// whatever follows (Hangul, flags, emoji sequences, conjuncts) may come in parts,
// since their characters are then looked up one by one either way.
func graphemeSize(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	if r == '\r' && len(s) > 1 && s[1] == '\n' {
		return 2
	}
	end := size
	for isPrepend(r) && end < len(s) {
		next, size := utf8.DecodeRuneInString(s[end:])
		if isGraphemeControl(next) {
			return end
		}
		r, end = next, end+size
	}
	if isGraphemeControl(r) {
		return end
	}
	for end < len(s) && s[end] >= 0xCC {
		r, size := utf8.DecodeRuneInString(s[end:])
		if !isExtend(r) {
			break
		}
		end += size
	}
	return end
}

// isExtend: Extend, ZWJ and SpacingMark of UAX #29.
func isExtend(r rune) bool {
	switch {
	case r < 0x300:
		return false
	case r == 0x200C || r == 0x200D || r == 0xE33 || r == 0xEB3:
		return true
	case r >= 0x1F3FB && r <= 0x1F3FF || r >= 0xE0020 && r <= 0xE007F || r == 0xFF9E || r == 0xFF9F:
		return true
	}
	return isMark(r)
}

func isPrepend(r rune) bool {
	return r >= 0x600 && r <= 0x605 || r == 0x6DD || r == 0x70F || r == 0x890 || r == 0x891 || r == 0x8E2 ||
		r == 0xD4E || r == 0x110BD || r == 0x110CD
}

func isGraphemeControl(r rune) bool {
	return r < 0x20 || r >= 0x7F && r < 0xA0 || r == 0xAD ||
		r >= 0x300 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && !isExtend(r) && !isPrepend(r)
}
