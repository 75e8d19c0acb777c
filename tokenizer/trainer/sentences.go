package trainer

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"lep/tokenizer"
)

// sentences is a corpus as the SentencePiece trainers need it: its distinct units
// (words, or whole sentences without SplitByWhitespace), spelled in symbols.
//
// Symbol 0 is the end of a unit; 1 to len(chars) stand for chars, the required
// characters in the order of their code points; unkSymbol stands for all others.
type sentences struct {
	units []unit
	text  []int32 // the units' symbols one behind the other, each unit closed by 0

	chars     []rune // chars[0] is unused
	unkSymbol int32
	required  []charCount // by falling count
	skipped   int64
}

// unit is a distinct word. The same word followed by another character is
// another unit: the seed pieces depend on what follows.
type unit struct {
	start int32 // in text
	len   int32 // symbols of the word itself
	count int64
}

type charCount struct {
	char  rune
	count int64
}

// readSentences streams the texts and counts their words. Memory grows with the
// number of distinct words.
func readSentences(ctx context.Context, texts iter.Seq2[string, error], opts SentencePieceOptions, meta []metaPiece, sp *tokenizer.SentencePiece) (*sentences, source, error) {
	var skipped atomic.Int64
	cutter := newMetaCutter(meta)
	spell, err := newSpeller(sp)
	if err != nil {
		return nil, source{}, err
	}
	counts, total, err := countWords(ctx, texts, opts.Threads, opts.Progress, func(add func([]byte, int64)) func(string) {
		w := &sentenceWorker{opts: opts, spell: spell, cut: cutter, add: add}
		return func(text string) {
			for text != "" {
				line, rest, _ := strings.Cut(text, "\n")
				text = rest
				if !w.sentence(line) {
					skipped.Add(1)
				}
			}
		}
	})
	if err != nil {
		return nil, total, err
	}
	s := &sentences{skipped: skipped.Load()}
	return s, total, s.load(counts.sorted(), opts)
}

// sentenceWorker is what one goroutine needs to cut sentences into words.
type sentenceWorker struct {
	opts     SentencePieceOptions
	spell    speller
	cut      *metaCutter
	add      func([]byte, int64)
	buf, key []byte
}

// sentence counts the words of a sentence; false if it is left out.
func (w *sentenceWorker) sentence(line string) bool {
	if line == "" {
		return true
	}
	if len(line) > w.opts.MaxSentenceLength || strings.ContainsRune(line, reserved) {
		return false
	}
	w.buf = w.cut.apply(w.spell.append(w.buf[:0], line))
	s := w.buf
	if !w.opts.SplitByWhitespace {
		w.count(s, nil)
		return true
	}
	for len(s) > 0 {
		n := w.wordEnd(s)
		w.count(s[:n], s[n:])
		s = s[n:]
	}
	return true
}

const spaceBytes = "▁"

// wordEnd returns the length of the first word: up to the next space, or with
// TreatWhitespaceAsSuffix up to and with it. Every further space is a word of its
// own, but with AllowWhitespaceOnlyPieces spaces stay together.
func (w *sentenceWorker) wordEnd(s []byte) int {
	runs := w.opts.AllowWhitespaceOnlyPieces
	if w.opts.TreatWhitespaceAsSuffix {
		i := bytes.Index(s, []byte(spaceBytes))
		if i < 0 {
			return len(s)
		}
		i += len(spaceBytes)
		for runs && bytes.HasPrefix(s[i:], []byte(spaceBytes)) {
			i += len(spaceBytes)
		}
		return i
	}
	i := 0
	for bytes.HasPrefix(s[i:], []byte(spaceBytes)) {
		i += len(spaceBytes)
		if !runs {
			break
		}
	}
	if k := bytes.Index(s[i:], []byte(spaceBytes)); k >= 0 {
		return max(i+k, 1)
	}
	return len(s)
}

// count adds a word with the character behind it, which follows in the key after
// a zero byte.
func (w *sentenceWorker) count(word, rest []byte) {
	if len(word) == 0 {
		return
	}
	w.key = append(append(w.key[:0], word...), 0)
	if len(rest) > 0 {
		_, n := utf8.DecodeRune(rest)
		w.key = append(w.key, rest[:n]...)
	}
	w.add(w.key, 1)
}

// load chooses the required characters and spells the words in symbols. A word
// has no zero byte but the one behind it: those in the text are taken for
// characters without a piece.
func (s *sentences) load(words []word, opts SentencePieceOptions) error {
	s.require(words, opts)
	symbol := make(map[rune]int32, len(s.chars))
	for i, c := range s.chars[1:] {
		symbol[c] = int32(i + 1)
	}
	var ascii [utf8.RuneSelf]int32
	for i := range ascii {
		ascii[i] = s.unkSymbol
		if k, ok := symbol[rune(i)]; ok {
			ascii[i] = k
		}
	}
	add := func(text []byte) {
		for i := 0; i < len(text); {
			if c := text[i]; c < utf8.RuneSelf {
				s.text = append(s.text, ascii[c])
				i++
				continue
			}
			r, n := utf8.DecodeRune(text[i:])
			i += n
			if k, ok := symbol[r]; ok {
				s.text = append(s.text, k)
			} else {
				s.text = append(s.text, s.unkSymbol)
			}
		}
	}
	total := 0
	for i := range words {
		total += utf8.RuneCount(words[i].text)
	}
	if total > maxSymbols {
		return errTooManyWords
	}
	s.text = make([]int32, 0, total+len(words))
	s.units = make([]unit, 0, len(words))
	for i := range words {
		end := bytes.LastIndexByte(words[i].text, 0)
		start := len(s.text)
		add(words[i].text[:end])
		s.units = append(s.units, unit{int32(start), int32(len(s.text) - start), words[i].count})
		add(words[i].text[end+1:])
		s.text = append(s.text, 0)
	}
	return nil
}

// require counts characters and takes the most frequent ones until they cover
// CharacterCoverage of the text. Like SentencePiece it computes the share in
// float32.
func (s *sentences) require(words []word, opts SentencePieceOptions) {
	counts := map[rune]int64{}
	var low [0x800]int64
	var all int64
	for i := range words {
		text := words[i].text[:bytes.LastIndexByte(words[i].text, 0)]
		for k := 0; k < len(text); {
			r, n := utf8.DecodeRune(text[k:])
			k += n
			switch {
			case r == 0 || r == ' ':
				continue
			case r < 0x800:
				low[r] += words[i].count
			default:
				counts[r] += words[i].count
			}
			all += words[i].count
		}
	}
	for r, n := range low {
		if n > 0 {
			counts[rune(r)] = n
		}
	}
	wanted := map[rune]bool{}
	for _, r := range opts.RequiredChars {
		if r != 0 {
			wanted[r] = true
			counts[r] += 0
		}
	}
	order := slices.SortedFunc(maps.Keys(counts), func(a, b rune) int {
		switch {
		case wanted[a] != wanted[b]:
			if wanted[a] {
				return -1
			}
			return 1
		case counts[a] != counts[b]:
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return int(a - b)
	})
	covered := int64(0)
	for _, r := range order {
		if !wanted[r] && float32(float64(covered)/float64(all)) >= float32(opts.CharacterCoverage) {
			break
		}
		covered += counts[r]
		if r != boundaryTab {
			s.required = append(s.required, charCount{r, counts[r]})
		}
	}
	slices.SortFunc(s.required, func(a, b charCount) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.char, b.char))
	})
	s.chars = append(s.chars, 0)
	for _, c := range s.required {
		s.chars = append(s.chars, c.char)
	}
	slices.Sort(s.chars[1:])
	s.unkSymbol = int32(len(s.chars))
}

// word returns the symbols of a unit.
func (s *sentences) word(i int) []int32 {
	u := s.units[i]
	return s.text[u.start : u.start+u.len]
}

// runes appends the characters of a stretch of text to dst.
func (s *sentences) runes(dst []rune, text []int32) []rune {
	for _, k := range text {
		switch k {
		case 0:
			dst = append(dst, 0)
		case s.unkSymbol:
			dst = append(dst, reserved)
		default:
			dst = append(dst, s.chars[k])
		}
	}
	return dst
}

// metaCutter replaces the texts of symbols by a tab, so that they do not become
// part of a learned piece.
type metaCutter struct {
	lead  [256]bool
	texts []string // longest first
}

func newMetaCutter(meta []metaPiece) *metaCutter {
	c := &metaCutter{}
	for _, m := range meta {
		c.texts = append(c.texts, m.text)
		c.lead[m.text[0]] = true
	}
	slices.SortFunc(c.texts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return c
}

// apply works in place.
func (c *metaCutter) apply(s []byte) []byte {
	out := 0
	for i := 0; i < len(s); {
		if c.lead[s[i]] {
			if n := c.match(s[i:]); n > 0 {
				s[out] = boundaryTab
				out++
				i += n
				continue
			}
		}
		s[out] = s[i]
		out++
		i++
	}
	return s[:out]
}

func (c *metaCutter) match(s []byte) int {
	for _, t := range c.texts {
		if len(s) >= len(t) && string(s[:len(t)]) == t {
			return len(t)
		}
	}
	return 0
}
