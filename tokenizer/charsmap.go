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
	trie  dartsTrie
	texts string
	// lead says for the characters below U+0800 what may begin with them.
	lead [0x800]leadClass
	// spaceOnly: no key has a space beside other characters, so that text may be
	// cut at a space and each part be replaced by itself.
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
	m := &charsmap{trie: make(dartsTrie, size/4), texts: string(rest[size:])}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	if m.texts != "" && m.texts[len(m.texts)-1] != 0 {
		return nil, errors.New("charsmap: the last replacement has no end")
	}
	if err := m.trie.check(len(m.texts), maxCharsmapKey); err != nil {
		return nil, fmt.Errorf("charsmap: %w", err)
	}
	m.classify()
	return m, nil
}

// text returns the replacement at a place of the list.
func (m *charsmap) text(at uint32) string {
	t := m.texts[at:]
	return t[:strings.IndexByte(t, 0)]
}

// longest returns the longest key that s begins with, as its length, and its
// replacement: SentencePiece's rule. The length is 0 where there is none.
func (m *charsmap) longest(s string) (to string, size int) {
	value, size := m.trie.longest(s)
	if size > 0 {
		to = m.text(value)
	}
	return to, size
}

// shortest returns the replacement of the shortest key that s begins with.
func (m *charsmap) shortest(s string) (to string, ok bool) {
	value, size := m.trie.shortest(s)
	if size > 0 {
		to = m.text(value)
	}
	return to, size > 0
}

// classify fills lead and spaceOnly.
func (m *charsmap) classify() {
	for r := range rune(len(m.lead)) {
		key := string(r)
		base, ok := m.trie.root(), true
		var u uint32
		for i := 0; i < len(key) && ok; i++ {
			base, u, ok = m.trie.step(base, key[i])
		}
		if !ok {
			continue
		}
		m.lead[r] = leadMarks
		if unitLeaf(u) {
			m.lead[r] = leadTrie
		}
		for c := range 256 {
			if _, _, ok := m.trie.step(base, byte(c)); ok && c != 0xCC && c != 0xCD {
				m.lead[r] = leadTrie
			}
		}
	}
	m.spaceOnly = true
	m.trie.each(func(key string, _ uint32) {
		if key != " " && strings.Contains(key, " ") {
			m.spaceOnly = false
		}
	})
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
