package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/tokenizer/regex"
	"lep/tokenizer/ucd"
)

// preTokenizer cuts a normalized text into the pieces that the model sees one by
// one, and may rewrite them. Empty pieces are left out.
type preTokenizer interface {
	split(dst []normalized, n *normalized) []normalized
}

// preTokenizerJSON is the fields of all pre-tokenizers; each uses its own.
type preTokenizerJSON struct {
	Type            string            `json:"type"`
	PreTokenizers   []json.RawMessage `json:"pretokenizers"`
	Pattern         json.RawMessage   `json:"pattern"`
	Behavior        string            `json:"behavior"`
	Invert          bool              `json:"invert"`
	AddPrefixSpace  *bool             `json:"add_prefix_space"`
	UseRegex        *bool             `json:"use_regex"`
	Replacement     string            `json:"replacement"`
	PrependScheme   *string           `json:"prepend_scheme"`
	Split           *bool             `json:"split"`
	IndividualDigit bool              `json:"individual_digits"`
	Delimiter       string            `json:"delimiter"`
	Length          int               `json:"length"`
}

func (c *preTokenizerJSON) parts() (kind string, sequence []json.RawMessage) {
	return c.Type, c.PreTokenizers
}

// compilePreTokenizer returns the stages of a pre-tokenizer, in order; none for null.
func compilePreTokenizer(raw json.RawMessage) ([]preTokenizer, error) {
	return compileStages("pre_tokenizer", raw, newPreTokenizer)
}

func newPreTokenizer(c *preTokenizerJSON) (preTokenizer, error) {
	switch c.Type {
	case "ByteLevel":
		return byteLevelSplit{prefix: c.AddPrefixSpace == nil || *c.AddPrefixSpace, regex: c.UseRegex == nil || *c.UseRegex}, nil
	case "Metaspace":
		return newMetaspace(c)
	case "Split":
		p, err := compilePattern(c.Pattern)
		if err != nil {
			return nil, err
		}
		b, err := behaviorOf(c.Behavior)
		return patternSplit{pattern: p, behavior: b, invert: c.Invert}, err
	case "Digits":
		if c.IndividualDigit {
			return patternSplit{pattern: runePattern(ucd.IsNumeric), behavior: isolated}, nil
		}
		return patternSplit{pattern: runePattern(ucd.IsNumeric), behavior: contiguous}, nil
	case "Punctuation":
		b := isolated
		if c.Behavior != "" {
			var err error
			if b, err = behaviorOf(c.Behavior); err != nil {
				return nil, err
			}
		}
		return patternSplit{pattern: runePattern(ucd.IsPunctuationHF), behavior: b}, nil
	case "Whitespace":
		return patternSplit{pattern: scanner(scanWords), behavior: isolated, dropSpace: true}, nil
	case "WhitespaceSplit":
		return patternSplit{pattern: runePattern(ucd.IsSpace), behavior: removed}, nil
	case "BertPreTokenizer":
		return bertSplit{}, nil
	case "CharDelimiterSplit":
		r, size := utf8.DecodeRuneInString(c.Delimiter)
		if size == 0 || size != len(c.Delimiter) {
			return nil, fmt.Errorf("delimiter %q is not one character", c.Delimiter)
		}
		return patternSplit{pattern: runePattern(func(x rune) bool { return x == r }), behavior: removed}, nil
	case "FixedLength":
		if c.Length <= 0 {
			return nil, fmt.Errorf("length %d, want 1 or more", c.Length)
		}
		return patternSplit{pattern: scanner(fixedLength(c.Length)), behavior: isolated}, nil
	case "":
		return nil, errors.New(`no key "type"`)
	}
	return nil, hint.Errorf("known are Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, CharDelimiterSplit and FixedLength",
		"unknown type %q", c.Type)
}

// compilePattern reads {"String": …} or {"Regex": …}.
func compilePattern(raw json.RawMessage) (pattern, error) {
	var p struct{ String, Regex *string }
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	switch {
	case p.String != nil && *p.String != "":
		return literal(*p.String), nil
	case p.Regex != nil:
		if f, ok := scanners[*p.Regex]; ok {
			return f, nil
		}
		return regex.Compile(*p.Regex)
	}
	return nil, fmt.Errorf("pattern %s: want {\"String\": …} or {\"Regex\": …}", raw)
}

// literal is a pattern that matches one string.
type literal string

func (l literal) Next(s string, from int) (start, end int, ok bool) {
	i := strings.Index(s[from:], string(l))
	return from + i, from + i + len(l), i >= 0
}

// runePattern matches single characters.
type runePattern func(r rune) bool

func (f runePattern) Next(s string, from int) (start, end int, ok bool) {
	for i := from; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if f(r) {
			return i, i + size, true
		}
		i += size
	}
	return 0, 0, false
}

// scanWords is \w+|[^\w\s]+ and, so that it matches everywhere, \s+.
func scanWords(s string, i int) int {
	c, size := ucd.At(s, i)
	switch {
	case c&ucd.Word != 0:
		return run(s, i+size, ucd.Word)
	case c&ucd.Space != 0:
		return run(s, i+size, ucd.Space)
	}
	return runNot(s, i+size, ucd.Word|ucd.Space)
}

func fixedLength(n int) func(s string, i int) int {
	return func(s string, i int) int {
		for range n {
			if i == len(s) {
				break
			}
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
		}
		return i
	}
}

// behavior says what becomes of the matches of a pattern.
type behavior uint8

const (
	isolated behavior = iota
	removed
	mergedWithPrevious
	mergedWithNext
	contiguous
)

func behaviorOf(name string) (behavior, error) {
	switch name {
	case "Isolated":
		return isolated, nil
	case "Removed":
		return removed, nil
	case "MergedWithPrevious":
		return mergedWithPrevious, nil
	case "MergedWithNext":
		return mergedWithNext, nil
	case "Contiguous":
		return contiguous, nil
	}
	return 0, fmt.Errorf("unknown behavior %q, want Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous", name)
}

// patternSplit cuts at the matches of a pattern.
type patternSplit struct {
	pattern   pattern
	behavior  behavior
	invert    bool // what matches is what does not
	dropSpace bool // leave out pieces that begin with white space
}

// stretch is a part of a text that matches a pattern, or one between two matches.
type stretch struct {
	start, end int
	match      bool
}

func (p patternSplit) split(dst []normalized, n *normalized) []normalized {
	for _, s := range p.cut(matches(p.pattern, n.text)) {
		if s.start == s.end {
			continue
		}
		piece := n.slice(s.start, s.end)
		if p.dropSpace {
			if c, _ := ucd.At(piece.text, 0); c&ucd.Space != 0 {
				continue
			}
		}
		dst = append(dst, piece)
	}
	return dst
}

// matches cuts a text into matches and what lies between them.
func matches(p pattern, text string) []stretch {
	var all []stretch
	last := 0
	for from := 0; from <= len(text); {
		start, end, ok := p.Next(text, from)
		if !ok {
			break
		}
		if last < start {
			all = append(all, stretch{last, start, false})
		}
		all = append(all, stretch{start, end, true})
		last, from = end, end
		if start == end {
			_, size := utf8.DecodeRuneInString(text[end:])
			from += max(size, 1)
		}
	}
	if last < len(text) {
		all = append(all, stretch{last, len(text), false})
	}
	return all
}

// cut joins or drops stretches as the behavior says.
func (p patternSplit) cut(all []stretch) []stretch {
	if p.invert {
		for i := range all {
			all[i].match = !all[i].match
		}
	}
	switch p.behavior {
	case removed:
		kept := all[:0]
		for _, s := range all {
			if !s.match {
				kept = append(kept, s)
			}
		}
		return kept
	case contiguous:
		return join(all, func(before, s stretch) bool { return before.match == s.match })
	case mergedWithPrevious:
		return join(all, func(before, s stretch) bool { return s.match && !before.match })
	case mergedWithNext:
		return join(all, func(before, s stretch) bool { return before.match && !s.match })
	}
	return all
}

// join merges each stretch with its left neighbour where together says so.
func join(all []stretch, together func(before, s stretch) bool) []stretch {
	out := make([]stretch, 0, len(all))
	for i, s := range all {
		if i > 0 && together(all[i-1], s) {
			out[len(out)-1].end = s.end
			continue
		}
		out = append(out, s)
	}
	return out
}

// bertSplit drops white space and isolates punctuation.
type bertSplit struct{}

func (bertSplit) split(dst []normalized, n *normalized) []normalized {
	var words []normalized
	words = patternSplit{pattern: runePattern(ucd.IsSpace), behavior: removed}.split(words, n)
	for i := range words {
		dst = patternSplit{pattern: runePattern(ucd.IsPunctuationHF), behavior: isolated}.split(dst, &words[i])
	}
	return dst
}

// byteLevelSplit is HF's ByteLevel without its last step, which spells bytes in
// the byte alphabet: the model takes the bytes as they are.
type byteLevelSplit struct {
	prefix, regex bool
	spell         bool // do the last step: the model or a later stage needs letters
}

func (b byteLevelSplit) split(dst []normalized, n *normalized) []normalized {
	if b.prefix && !strings.HasPrefix(n.text, " ") {
		n.prepend(" ")
	}
	if b.regex {
		from := len(dst)
		dst = patternSplit{pattern: scanner(scanGPT2), behavior: isolated}.split(dst, n)
		for i := range dst[from:] {
			b.letters(&dst[from+i])
		}
		return dst
	}
	b.letters(n)
	return append(dst, *n)
}

func (b byteLevelSplit) letters(n *normalized) {
	if b.spell {
		byteNormalizer{}.normalize(n)
	}
}

// metaspace replaces spaces by ▁ (or another character) and puts one in front.
type metaspace struct {
	mark   string
	scheme prependScheme
	cut    bool
}

type prependScheme uint8

const (
	prependAlways prependScheme = iota
	prependFirst
	prependNever
)

func newMetaspace(c *preTokenizerJSON) (metaspace, error) {
	m := metaspace{mark: c.Replacement, cut: c.Split == nil || *c.Split}
	if r, size := utf8.DecodeRuneInString(c.Replacement); size == 0 || size != len(c.Replacement) || r == ' ' {
		return m, fmt.Errorf("replacement %q is not one character other than a space", c.Replacement)
	}
	prefix := c.AddPrefixSpace == nil || *c.AddPrefixSpace
	if !prefix {
		m.scheme = prependNever
	}
	if c.PrependScheme == nil {
		return m, nil
	}
	switch *c.PrependScheme {
	case "always":
		m.scheme = prependAlways
	case "first":
		m.scheme = prependFirst
	case "never":
		m.scheme = prependNever
	default:
		return m, fmt.Errorf("unknown prepend_scheme %q, want always, first or never", *c.PrependScheme)
	}
	if !prefix && m.scheme != prependNever {
		return m, fmt.Errorf("add_prefix_space is false, but prepend_scheme is %q", *c.PrependScheme)
	}
	return m, nil
}

func (m metaspace) split(dst []normalized, n *normalized) []normalized {
	n.replaceAll(" ", m.mark)
	if m.scheme != prependNever && !strings.HasPrefix(n.text, m.mark) && (m.scheme == prependAlways || n.origin == 0) {
		n.prepend(m.mark)
	}
	if !m.cut {
		return append(dst, *n)
	}
	return patternSplit{pattern: literal(m.mark), behavior: mergedWithNext}.split(dst, n)
}
