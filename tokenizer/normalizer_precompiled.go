package tokenizer

import (
	"unicode"
	"unicode/utf8"

	"lep/tokenizer/charsmap"
	"lep/tokenizer/ucd"
)

// precompiledNormalizer is HF's Precompiled. It walks grapheme clusters and not,
// as SentencePiece does, longest matches: a cluster of less than six bytes is
// replaced as a whole by what the shortest key at its beginning says, so that "\r\n"
// becomes one space and marks behind a replaced letter are lost. Everything else
// is looked up character by character.
type precompiledNormalizer struct{ m *charsmap.Map }

func (p precompiledNormalizer) normalize(n *normalized) {
	text := n.text
	var steps []step
	modified := false
	for i := 0; i < len(text); {
		size := graphemeSize(text[i:])
		cluster := text[i : i+size]
		i += size
		if size < 6 {
			if to, ok := p.m.Shortest(cluster); ok {
				modified = true
				steps = appendReplacement(steps, cluster, to)
				continue
			}
		}
		for len(cluster) > 0 {
			r, size := utf8.DecodeRuneInString(cluster)
			part := cluster[:size]
			cluster = cluster[size:]
			if to, ok := p.m.Shortest(part); ok {
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
	return ucd.IsMark(r)
}

func isPrepend(r rune) bool {
	return r >= 0x600 && r <= 0x605 || r == 0x6DD || r == 0x70F || r == 0x890 || r == 0x891 || r == 0x8E2 ||
		r == 0xD4E || r == 0x110BD || r == 0x110CD
}

func isGraphemeControl(r rune) bool {
	return r < 0x20 || r >= 0x7F && r < 0xA0 || r == 0xAD ||
		r >= 0x300 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) && !isExtend(r) && !isPrepend(r)
}
