package tokenizer

import (
	"strings"
	"unicode/utf8"

	"lep/tokenizer/charsmap"
)

const spaceSymbol = "▁"

// spNormalizer is SentencePiece's normalizer: the charsmap, white space squeezed
// and stripped, a dummy prefix, spaces escaped as "▁". Like SentencePiece it
// takes user-defined symbols out of the charsmap's way, the longest first, and
// turns a byte that is no UTF-8 into U+FFFD.
type spNormalizer struct {
	m           *charsmap.Map // nil for identity
	defined     charsmap.Trie // user-defined symbols, nil for none
	definedLead [256]bool     // first bytes of them
	dummy       bool
	squeeze     bool // remove_extra_whitespaces
	suffix      bool // treat_whitespace_as_suffix
	space       string
}

func newSPNormalizer(d *Definition) (*spNormalizer, error) {
	sp := d.SentencePiece
	z := &spNormalizer{dummy: sp.AddDummyPrefix, squeeze: sp.RemoveExtraWhitespaces, suffix: sp.TreatWhitespaceAsSuffix, space: " "}
	if sp.EscapeWhitespaces {
		z.space = spaceSymbol
	}
	var err error
	if len(sp.Charsmap) > 0 {
		if z.m, err = charsmap.Read(sp.Charsmap); err != nil {
			return nil, err
		}
	}
	var defined []charsmap.Entry
	for _, p := range d.Model.Pieces {
		if p.Kind == UserDefined {
			defined = append(defined, charsmap.Entry{Key: p.Text, Value: uint32(p.ID)})
			z.definedLead[p.Text[0]] = true
		}
	}
	if defined != nil {
		z.defined, err = charsmap.BuildTrie(defined, false)
	}
	return z, err
}

// prefix normalizes the beginning of s: what it becomes and how many bytes it has.
func (z *spNormalizer) prefix(s string) (to string, size int) {
	if z.definedLead[s[0]] {
		if _, size := z.defined.Longest(s); size > 0 {
			return s[:size], size
		}
	}
	if z.m != nil {
		if to, size := z.m.Longest(s); size > 0 {
			return to, size
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 {
		return "\uFFFD", 1
	}
	return s[:size], size
}

// plain returns how many bytes at the start of s stay as they are and hold no
// space, as far as that can be told at sight.
func (z *spNormalizer) plain(s string) int {
	i := 0
	for i < len(s) {
		c := s[i]
		size := 1
		lead := charsmap.LeadNone
		switch {
		case c == ' ' || z.definedLead[c]:
			return i
		case c < utf8.RuneSelf:
			if z.m != nil {
				lead = z.m.Lead(rune(c))
			}
		case c >= 0xC2 && c < 0xE0 && i+1 < len(s) && s[i+1]&0xC0 == 0x80:
			size = 2
			if z.m != nil {
				lead = z.m.Lead(rune(c&0x1F)<<6 | rune(s[i+1]&0x3F))
			}
		default:
			return i
		}
		if lead == charsmap.LeadAny || lead == charsmap.LeadMarks && i+size < len(s) && s[i+size]>>1 == 0xCC>>1 {
			return i
		}
		i += size
	}
	return i
}

// body appends the normalized form of s without dummy prefix or stripped end.
// With afterSpace, spaces at the start are extra ones. where, if not nil, gets
// for every byte appended the byte of the text it came from; at is where s begins there.
func (z *spNormalizer) body(dst []byte, s string, afterSpace bool, where *[]int32, at int) []byte {
	for i := 0; i < len(s); {
		if n := z.plain(s[i:]); n > 0 {
			dst = append(dst, s[i:i+n]...)
			if where != nil {
				for k := i; k < i+n; {
					_, size := utf8.DecodeRuneInString(s[k:])
					for range size {
						*where = append(*where, int32(at+k))
					}
					k += size
				}
			}
			afterSpace = false
			i += n
			continue
		}
		to, size := z.prefix(s[i:])
		if afterSpace {
			to = strings.TrimLeft(to, " ")
		}
		if to != "" {
			before := len(dst)
			dst = z.escape(dst, to)
			if where != nil {
				for range len(dst) - before {
					*where = append(*where, int32(at+i))
				}
			}
			afterSpace = z.squeeze && to[len(to)-1] == ' '
		}
		i += size
	}
	return dst
}

func (z *spNormalizer) escape(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, ' ')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i]...), z.space...)
		s = s[i+1:]
	}
}

// append appends the normalized form of a whole text. where, if not nil, gets
// one entry per byte and one for the end.
func (z *spNormalizer) append(dst []byte, text string, where *[]int32) []byte {
	if text == "" {
		return dst
	}
	mark := func(n, at int) {
		if where != nil {
			for range n {
				*where = append(*where, int32(at))
			}
		}
	}
	from := len(dst)
	at := 0
	for z.squeeze && at < len(text) {
		to, size := z.prefix(text[at:])
		if to != " " {
			break
		}
		at += size
	}
	if at == len(text) {
		return dst
	}
	if z.dummy && !z.suffix {
		dst = append(dst, z.space...)
		mark(len(z.space), at)
	}
	dst = z.body(dst, text[at:], z.squeeze, where, at)
	end := len(text)
	for z.squeeze && len(dst)-from >= len(z.space) && string(dst[len(dst)-len(z.space):]) == z.space {
		dst = dst[:len(dst)-len(z.space)]
		if where != nil {
			end = int((*where)[len(dst)-from])
			*where = (*where)[:len(dst)-from]
		}
	}
	if z.dummy && z.suffix {
		dst = append(dst, z.space...)
		mark(len(z.space), end)
	}
	mark(1, end)
	return dst
}

// SentencePieceCharsmap returns the precompiled charsmap of one of SentencePiece's
// normalization rules: nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf, or nothing for
// identity; see [charsmap.Named].
func SentencePieceCharsmap(rule string) ([]byte, error) { return charsmap.Named(rule) }
