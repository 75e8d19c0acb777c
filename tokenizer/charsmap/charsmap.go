package charsmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Map is a table of replacements, SentencePiece's precompiled_charsmap: a
// double-array trie (darts-clone) over the UTF-8 of what is replaced, whose
// values are places in a list of NUL-terminated replacements.
//
//	uint32 size of the trie in bytes, the trie's uint32 units, the list
//
// all little-endian. It does not change and is safe for concurrent use.
type Map struct {
	trie  Trie
	texts string
	// lead says for the characters below U+0800 what may begin with them.
	lead      [0x800]Lead
	spaceOnly bool
}

// Lead says what begins with a character, so that most can be told apart without a walk
// through the trie.
type Lead uint8

// What begins with a character.
const (
	LeadNone  Lead = iota // no key begins with the character
	LeadMarks             // only keys that go on with a byte of U+0300..U+037F do
	LeadAny               // any other
)

// limits of a map read from a file.
const (
	maxSize = 64 << 20 // bytes
	maxKey  = 256      // bytes of a key
)

// Read reads a precompiled charsmap and checks it as a whole: every unit that a key
// can reach lies inside the trie, every value inside the list, and no walk goes
// in a circle.
func Read(blob []byte) (*Map, error) {
	if len(blob) < 4 {
		return nil, fmt.Errorf("charsmap: %d bytes, want at least 4", len(blob))
	}
	if len(blob) > maxSize {
		return nil, fmt.Errorf("charsmap: %d bytes, at most %d", len(blob), maxSize)
	}
	size := binary.LittleEndian.Uint32(blob)
	rest := blob[4:]
	if uint64(size) > uint64(len(rest)) || size%4 != 0 || size == 0 {
		return nil, fmt.Errorf("charsmap: trie of %d bytes in a charsmap of %d", size, len(blob))
	}
	m := &Map{trie: make(Trie, size/4), texts: string(rest[size:])}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	if m.texts != "" && m.texts[len(m.texts)-1] != 0 {
		return nil, errors.New("charsmap: the last replacement has no end")
	}
	if err := m.trie.check(len(m.texts), maxKey); err != nil {
		return nil, fmt.Errorf("charsmap: %w", err)
	}
	m.classify()
	return m, nil
}

// text returns the replacement at a place of the list.
func (m *Map) text(at uint32) string {
	t := m.texts[at:]
	return t[:strings.IndexByte(t, 0)]
}

// Longest returns the longest key that s begins with, as its length, and its
// replacement: SentencePiece's rule. The length is 0 where there is none.
func (m *Map) Longest(s string) (to string, size int) {
	value, size := m.trie.Longest(s)
	if size > 0 {
		to = m.text(value)
	}
	return to, size
}

// Shortest returns the replacement of the shortest key that s begins with.
func (m *Map) Shortest(s string) (to string, ok bool) {
	value, size := m.trie.Shortest(s)
	if size > 0 {
		to = m.text(value)
	}
	return to, size > 0
}

// Lead returns what begins with r, which must be below U+0800.
func (m *Map) Lead(r rune) Lead { return m.lead[r] }

// SpaceOnly reports that no key has a space beside other characters, so that text may be
// cut at a space and each part be replaced by itself.
func (m *Map) SpaceOnly() bool { return m.spaceOnly }

// All yields every key and its replacement, in byte order of the keys.
func (m *Map) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for key, at := range m.trie.All() {
			if !yield(key, m.text(at)) {
				return
			}
		}
	}
}

// classify fills lead and spaceOnly.
func (m *Map) classify() {
	for r := range rune(len(m.lead)) {
		key := string(r)
		base, ok := m.trie.Root(), true
		var u uint32
		for i := 0; i < len(key) && ok; i++ {
			base, u, ok = m.trie.Step(base, key[i])
		}
		if !ok {
			continue
		}
		m.lead[r] = LeadMarks
		if Leaf(u) {
			m.lead[r] = LeadAny
		}
		for c := range 256 {
			if _, _, ok := m.trie.Step(base, byte(c)); ok && c != 0xCC && c != 0xCD {
				m.lead[r] = LeadAny
			}
		}
	}
	m.spaceOnly = !m.trie.joins(' ')
}

// Extends reports whether keys longer than s begin with it.
func (m *Map) Extends(s string) bool {
	base := m.trie.Root()
	for i := range len(s) {
		next, _, ok := m.trie.Step(base, s[i])
		if !ok {
			return false
		}
		base = next
	}
	for c := 1; c < 256; c++ {
		if _, _, ok := m.trie.Step(base, byte(c)); ok {
			return true
		}
	}
	return false
}
