package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
)

// decoder turns the spellings of tokens into text, one stage after the other; the
// text is what the last stage leaves, joined.
type decoder interface {
	decode(tokens []string) []string
}

type decoderJSON struct {
	Type          string            `json:"type"`
	Decoders      []json.RawMessage `json:"decoders"`
	Pattern       json.RawMessage   `json:"pattern"`
	Content       string            `json:"content"`
	Start         int               `json:"start"`
	Stop          int               `json:"stop"`
	Replacement   string            `json:"replacement"`
	PrependScheme *string           `json:"prepend_scheme"`
	Prefix        *bool             `json:"add_prefix_space"`
	Suffix        string            `json:"suffix"`
}

func (c *decoderJSON) parts() (kind string, sequence []json.RawMessage) { return c.Type, c.Decoders }

// compileDecoder returns the stages of a decoder; none for null.
func compileDecoder(raw json.RawMessage) ([]decoder, error) {
	return compileStages("decoder", raw, newDecoder)
}

func newDecoder(c *decoderJSON) (decoder, error) {
	switch c.Type {
	case "ByteLevel":
		return byteLevelDecoder{}, nil
	case "Metaspace":
		m, err := newMetaspace(&preTokenizerJSON{Replacement: c.Replacement, PrependScheme: c.PrependScheme, AddPrefixSpace: c.Prefix})
		return metaspaceDecoder{m.mark, m.scheme != prependNever}, err
	case "Replace":
		p, err := compilePattern(c.Pattern)
		return replaceDecoder{p, c.Content}, err
	case "ByteFallback":
		return byteFallbackDecoder{}, nil
	case "Fuse":
		return fuseDecoder{}, nil
	case "Strip":
		if _, size := utf8.DecodeRuneInString(c.Content); size == 0 || size != len(c.Content) {
			return nil, fmt.Errorf("content %q is not one character", c.Content)
		}
		if c.Start < 0 || c.Stop < 0 {
			return nil, fmt.Errorf("start %d, stop %d, want 0 or more", c.Start, c.Stop)
		}
		return stripDecoder{c.Content, c.Start, c.Stop}, nil
	case "BPEDecoder":
		if c.Suffix == "" {
			return nil, errors.New("no suffix")
		}
		return suffixDecoder(c.Suffix), nil
	case "":
		return nil, errors.New(`no key "type"`)
	}
	return nil, hint.Errorf("known are Sequence, ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip and BPEDecoder", "unknown type %q", c.Type)
}

// byteLevelDecoder undoes the byte alphabet; a token with other letters stands for
// its own UTF-8. What is no UTF-8 in the end becomes U+FFFD.
type byteLevelDecoder struct{}

func (byteLevelDecoder) decode(tokens []string) []string {
	var b []byte
	for _, t := range tokens {
		b = appendPieceBytes(b, t)
	}
	return []string{string(appendValid(nil, b))}
}

// appendPieceBytes undoes the byte alphabet where all letters are in it.
func appendPieceBytes(dst []byte, piece string) []byte {
	out, ok := appendBytes(dst, piece)
	if !ok {
		return append(dst, piece...)
	}
	return out
}

// appendValid appends b with U+FFFD for each maximal part of an ill-formed
// sequence (Unicode 3.9, as Rust and browsers do).
func appendValid(dst, b []byte) []byte {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size <= 1 {
			dst = append(dst, "\uFFFD"...)
			b = b[badPrefix(b):]
			continue
		}
		dst = append(dst, b[:size]...)
		b = b[size:]
	}
	return dst
}

// badPrefix returns the length, 1 to 3, of the ill-formed sequence at the start of b
// that one U+FFFD replaces: the longest beginning of some well-formed one.
func badPrefix(b []byte) int {
	low, high, length := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		length = 2
	case c >= 0xE0 && c <= 0xEF:
		length = 3
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		length = 4
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n < length && n < len(b) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}

// metaspaceDecoder turns the mark back into a space; in the first token it drops it
// if the pre-tokenizer put one there.
type metaspaceDecoder struct {
	mark   string
	prefix bool
}

func (m metaspaceDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		space := " "
		if i == 0 && m.prefix {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(t, m.mark, space)
	}
	return tokens
}

// replaceDecoder replaces every match of a pattern.
type replaceDecoder struct {
	pattern pattern
	content string
}

func (d replaceDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		if l, ok := d.pattern.(literal); ok {
			tokens[i] = strings.ReplaceAll(t, string(l), d.content)
			continue
		}
		var b strings.Builder
		for _, s := range matches(d.pattern, t) {
			if s.match {
				b.WriteString(d.content)
			} else {
				b.WriteString(t[s.start:s.end])
			}
		}
		tokens[i] = b.String()
	}
	return tokens
}

// byteFallbackDecoder joins runs of "<0xNN>" tokens; a run that is not UTF-8 becomes
// one U+FFFD a byte.
type byteFallbackDecoder struct{}

func (byteFallbackDecoder) decode(tokens []string) []string {
	out := tokens[:0] // never ahead of the token that is read
	var run []byte
	flush := func() {
		switch {
		case len(run) == 0:
		case utf8.Valid(run):
			out = append(out, string(run))
		default:
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, t := range tokens {
		if b, ok := byteOf(t); ok {
			run = append(run, b)
			continue
		}
		flush()
		out = append(out, t)
	}
	flush()
	return out
}

type fuseDecoder struct{}

func (fuseDecoder) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// stripDecoder removes up to start characters at the beginning and stop at the end
// of each token.
type stripDecoder struct {
	content     string
	start, stop int
}

func (d stripDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		for n := 0; n < d.start && strings.HasPrefix(t, d.content); n++ {
			t = t[len(d.content):]
		}
		for n := 0; n < d.stop && strings.HasSuffix(t, d.content); n++ {
			t = t[:len(t)-len(d.content)]
		}
		tokens[i] = t
	}
	return tokens
}

// suffixDecoder turns the end-of-word suffix into a space, but at the end.
type suffixDecoder string

func (d suffixDecoder) decode(tokens []string) []string {
	for i, t := range tokens {
		space := " "
		if i == len(tokens)-1 {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(t, string(d), space)
	}
	return tokens
}
