package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"lep/tokenizer/charsmap"
	"lep/tokenizer/ucd"
)

// maxNesting bounds how deep Sequences may stand in one another.
const maxNesting = 32

// compileNormalizer builds the normalizer that a tokenizer.json describes, nil
// for null. Its kinds are those of HF tokenizers; another one is an error that names it.
func compileNormalizer(raw json.RawMessage) (normalizer, error) {
	n, err := compileNormalizerAt(raw, 0)
	if err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	return n, nil
}

func compileNormalizerAt(raw json.RawMessage, depth int) (normalizer, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("sequences are nested more than %d deep", maxNesting)
	}
	// Pointers tell an absent value from a false one, where HF has a default or none.
	var c struct {
		Type          string            `json:"type"`
		Normalizers   []json.RawMessage `json:"normalizers"`
		Prepend       *string           `json:"prepend"`
		Pattern       json.RawMessage   `json:"pattern"`
		Content       *string           `json:"content"`
		Charsmap      []byte            `json:"precompiled_charsmap"`
		StripLeft     *bool             `json:"strip_left"`
		StripRight    *bool             `json:"strip_right"`
		CleanText     *bool             `json:"clean_text"`
		HandleChinese *bool             `json:"handle_chinese_chars"`
		StripAccents  *bool             `json:"strip_accents"`
		Lowercase     *bool             `json:"lowercase"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	isTrue := func(b *bool) bool { return b == nil || *b }
	switch c.Type {
	case "Sequence":
		var seq sequenceNormalizer
		for i, part := range c.Normalizers {
			n, err := compileNormalizerAt(part, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%d of sequence: %w", i, err)
			}
			if n != nil {
				seq = append(seq, n)
			}
		}
		return seq, nil
	case "NFC":
		return nfc, nil
	case "NFD":
		return nfd, nil
	case "NFKC":
		return nfkc, nil
	case "NFKD":
		return nfkd, nil
	case "Lowercase":
		return runeNormalizer{lowerRune}, nil
	case "StripAccents":
		return runeNormalizer{dropAccent}, nil
	case "Nmt":
		return runeNormalizer{nmtRune}, nil
	case "ByteLevel":
		return byteNormalizer{}, nil
	case "Strip":
		return stripNormalizer{isTrue(c.StripLeft), isTrue(c.StripRight)}, nil
	case "Prepend":
		if c.Prepend == nil {
			return nil, fmt.Errorf("Prepend without %q", "prepend")
		}
		return prependNormalizer(*c.Prepend), nil
	case "Replace":
		if c.Content == nil {
			return nil, fmt.Errorf("Replace without %q", "content")
		}
		return compileReplace(c.Pattern, *c.Content)
	case "Precompiled":
		m, err := charsmap.Read(c.Charsmap)
		if err != nil {
			return nil, fmt.Errorf("Precompiled: %w", err)
		}
		return precompiledNormalizer{m}, nil
	case "BertNormalizer":
		lower := isTrue(c.Lowercase)
		strip := lower
		if c.StripAccents != nil {
			strip = *c.StripAccents
		}
		return bertNormalizer{isTrue(c.CleanText), isTrue(c.HandleChinese), strip, lower}, nil
	}
	return nil, fmt.Errorf("unknown type %q", c.Type)
}

type sequenceNormalizer []normalizer

func (seq sequenceNormalizer) normalize(n *normalized) {
	for _, s := range seq {
		s.normalize(n)
	}
}

// prependNormalizer puts a string in front of every text that is not empty.
type prependNormalizer string

func (p prependNormalizer) normalize(n *normalized) { n.prepend(string(p)) }

// stripNormalizer removes white space at the ends.
type stripNormalizer struct{ left, right bool }

func (s stripNormalizer) normalize(n *normalized) {
	start, end := 0, len(n.text)
	if s.left {
		start = end - len(strings.TrimLeftFunc(n.text, unicode.IsSpace))
	}
	if s.right {
		end = start + len(strings.TrimRightFunc(n.text[start:], unicode.IsSpace))
	}
	n.cut(start, end)
}

// cut keeps the bytes [start, end) only.
func (n *normalized) cut(start, end int) {
	n.text = n.text[start:end]
	if n.align != nil {
		n.align = n.align[start:end]
	}
}

// runeNormalizer maps each character by itself: to one, or to none where the
// second result is false.
type runeNormalizer struct{ to func(r rune) (rune, bool) }

func (m runeNormalizer) normalize(n *normalized) {
	text := n.text
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if to, keep := m.to(r); to != r || !keep {
			m.rewrite(n, i)
			return
		}
		i += size
	}
}

func (m runeNormalizer) rewrite(n *normalized, start int) {
	text := n.text
	e := n.edit()
	e.keep(start)
	for e.pos < len(text) {
		r, size := utf8.DecodeRuneInString(text[e.pos:])
		switch to, keep := m.to(r); {
		case !keep:
			e.drop(size)
		case to == r: // an invalid byte too: it stays a byte
			e.keep(size)
		case r == 'İ': // the only character whose lower case is two
			e.put('i', 0)
			e.put('\u0307', 1)
		default:
			e.put(to, 0)
		}
	}
	e.done()
}

// lowerRune is HF's Lowercase.
func lowerRune(r rune) (rune, bool) { return ucd.ToLower(r), true }

// nmtRune is HF's Nmt: most control characters go, odd white space becomes a space.
func nmtRune(r rune) (rune, bool) {
	switch {
	case r >= 0x01 && r <= 0x08, r == 0x0B, r >= 0x0E && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return r, false
	case r == 0x09, r == 0x0A, r == 0x0C, r == 0x0D, r == 0x1680, r >= 0x200B && r <= 0x200F,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return ' ', true
	}
	return r, true
}

// byteNormalizer spells the text in the byte alphabet.
type byteNormalizer struct{}

func (byteNormalizer) normalize(n *normalized) {
	text := n.text
	e := n.edit()
	for e.pos < len(text) {
		_, size := utf8.DecodeRuneInString(text[e.pos:])
		for _, b := range []byte(text[e.pos : e.pos+size]) {
			e.out = utf8.AppendRune(e.out, byteLetter(b))
			if n.align != nil {
				// The first letter has the character's source, the others that of
				// the byte before them, which is the same character.
				e.fill(n.align[e.pos], utf8.RuneLen(byteLetter(b)))
			}
		}
		e.pos += size
	}
	e.done()
}
