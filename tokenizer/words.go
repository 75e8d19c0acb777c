package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The short ways: where the pre-tokenizer is one of those in common use, text is
// cut into words on the fly, without a list of pieces, and most words come out of the
// cache. Offsets always go the long way; TestShortWays holds both against each other.

// words says how to cut a text into words.
type words struct {
	// scan is a pattern whose matches are the words; their bytes go to the model.
	scan scanner
	// Or words begin at a mark, which in the text may also be a space.
	marks  bool
	mark   string
	runs   bool // a run of marks begins one word; else each of its marks does
	prefix markPrefix
	// A word also ends in front of these bytes, ASCII other than letters and digits,
	// if neither a mark nor another such byte stands before: "слово" and "," are
	// looked up apart.
	before [128]bool
}

// markPrefix says when a mark is put in front of a text.
type markPrefix uint8

const (
	prefixNone   markPrefix = iota
	prefixAlways            // also in front of a mark
	prefixAbsent            // unless one stands there
	prefixFirst             // that, at the beginning of the caller's text
)

// findWords recognises the pre-tokenizers that have a short way; nil if this one
// has none. before is what is left of the normalizer then.
func (t *Tokenizer) findWords() (w *words, before normalizer) {
	if w := t.scanned(); w != nil {
		return w, t.normalizer
	}
	if len(t.pre) == 1 {
		if m, ok := t.pre[0].(metaspace); ok && (m.cut || t.cutsAtMarks(m.mark)) {
			prefix := map[prependScheme]markPrefix{prependAlways: prefixAbsent, prependFirst: prefixFirst, prependNever: prefixNone}
			w := &words{marks: true, mark: m.mark, runs: !m.cut, prefix: prefix[m.scheme]}
			t.cutPunctuation(w)
			return w, t.normalizer
		}
	}
	if mark, prefix, ok := t.legacyMarks(); ok && t.cutsAtMarks(mark) {
		w := &words{marks: true, mark: mark, runs: true, prefix: prefix}
		t.cutPunctuation(w)
		if t.afterNormalizer.starts > 0 { // they are searched in the normalized text
			w.prefix = prefixNone
			return w, t.normalizer
		}
		return w, nil
	}
	return nil, nil
}

// scanned recognises Split with a hand-written pattern and ByteLevel, and ByteLevel alone.
func (t *Tokenizer) scanned() *words {
	if !t.feedBytes {
		return nil
	}
	last := t.pre[len(t.pre)-1].(byteLevelSplit)
	switch {
	case last.prefix:
	case len(t.pre) == 1 && last.regex:
		return &words{scan: scanGPT2}
	case len(t.pre) == 2 && !last.regex:
		s, ok := t.pre[0].(patternSplit)
		f, isScanner := s.pattern.(scanner)
		if ok && isScanner && s.behavior == isolated && !s.invert && !s.dropSpace {
			return &words{scan: f}
		}
	}
	return nil
}

// legacyMarks recognises the normalizers Prepend(▁) and Replace(" ", ▁) with nothing
// behind them that could still cut.
func (t *Tokenizer) legacyMarks() (mark string, prefix markPrefix, ok bool) {
	for _, stage := range t.pre {
		s, isSplit := stage.(patternSplit)
		if l, isLiteral := s.pattern.(literal); !isSplit || !isLiteral || l != " " {
			return "", 0, false // Gemma splits at spaces, of which none are left
		}
	}
	steps, isSequence := t.normalizer.(sequenceNormalizer)
	if !isSequence {
		steps = sequenceNormalizer{t.normalizer}
	}
	if len(steps) == 0 || len(steps) > 2 {
		return "", 0, false
	}
	replace, ok := steps[len(steps)-1].(replaceNormalizer)
	if !ok || replace.old != " " || replace.to == "" || strings.Contains(replace.to, " ") {
		return "", 0, false
	}
	if len(steps) == 2 {
		if p, ok := steps[0].(prependNormalizer); !ok || string(p) != replace.to {
			return "", 0, false
		}
		prefix = prefixAlways
	}
	return replace.to, prefix, true
}

// cutsAtMarks reports whether a BPE model may be given a text word by word, cut in
// front of each run of marks: no merge reaches over such a border, and neither does a
// run of unknown characters.
func (t *Tokenizer) cutsAtMarks(mark string) bool {
	b, ok := t.model.(*bpe)
	if !ok || b.ignoreMerges || b.prefix != "" || b.suffix != "" {
		return false
	}
	if _, known := b.pieces[mark]; !known {
		return false
	}
	if b.byteFallback && b.unk >= 0 {
		for _, id := range b.fallback {
			if id < 0 {
				return false
			}
		}
	}
	for _, m := range t.def.Model.Merges {
		text := t.tokens[m.Product]
		for strings.HasPrefix(text, mark) {
			text = text[len(mark):]
		}
		if strings.Contains(text, mark) {
			return false
		}
	}
	return true
}

// cutPunctuation finds the bytes of words.before: those that no merge joins to a
// character before them. They must be pieces, which end a run of unknown characters.
func (t *Tokenizer) cutPunctuation(w *words) {
	if !t.cutsAtMarks(w.mark) {
		return
	}
	pieces := t.model.(*bpe).pieces
	for c := range w.before {
		_, known := pieces[string(rune(c))]
		w.before[c] = known && isPunctByte(byte(c)) && string(rune(c)) != w.mark
	}
	for _, m := range t.def.Model.Merges {
		text := t.tokens[m.Product]
		for i := 1; i < len(text); i++ {
			if c := text[i]; isPunctByte(c) && !isPunctByte(text[i-1]) && !strings.HasSuffix(text[:i], w.mark) {
				w.before[c] = false
			}
		}
	}
}

// isPunctByte reports whether c is ASCII but neither letter nor digit.
func isPunctByte(c byte) bool {
	return c < utf8.RuneSelf && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
}

// encodeWords appends the ids of a text that needs no more normalizing.
func (t *Tokenizer) encodeWords(w *worker, text string, origin int) {
	if t.words.marks {
		t.encodeMarked(w, text, origin)
		return
	}
	t.encodeEach(w, text, 0, t.words.scan)
}

// batchWord is a word whose slot of the cache has been asked for.
type batchWord struct {
	start, end int
	hash       uint64
}

// encodeEach appends the ids of the words from byte i on, whose ends next finds. It
// goes some words ahead and reads their cache slots, so that waiting for memory, which is most of
// the time, overlaps.
func (t *Tokenizer) encodeEach(w *worker, text string, i int, next func(s string, i int) int) {
	for i < len(text) {
		n, seen := 0, uint32(0)
		for n < len(w.batch) && i < len(text) {
			end := next(text, i)
			hash := hashWord(text[i:end])
			w.batch[n] = batchWord{i, end, hash}
			seen |= w.cache.touch(hash)
			n++
			i = end
		}
		w.seen = seen
		for _, b := range w.batch[:n] {
			t.encodeHashed(w, text[b.start:b.end], b.hash)
		}
	}
}

// encodeMarked is encodeWords for words that begin at marks. Words keep their spaces
// until the model is asked.
func (t *Tokenizer) encodeMarked(w *worker, text string, origin int) {
	s := t.words
	if text == "" {
		return
	}
	begin := 0
	end := s.next(text, 0)
	if p := s.prefix; p == prefixAlways || (p == prefixAbsent || p == prefixFirst && origin == 0) && s.markAt(text, 0) == 0 {
		if !s.runs && s.markAt(text, 0) > 0 {
			end = 0 // the mark in front is a word of its own
		}
		w.key = append(append(w.key[:0], ' '), text[:end]...)
		t.encodeWord(w, string(w.key))
		begin = end
	}
	t.encodeEach(w, text, begin, s.next)
}

// markAt returns the size of a mark or space at byte i, or 0.
func (s *words) markAt(text string, i int) int {
	switch {
	case i >= len(text):
		return 0
	case text[i] == ' ':
		return 1
	case text[i] == s.mark[0] && strings.HasPrefix(text[i:], s.mark):
		return len(s.mark)
	}
	return 0
}

// next returns the end of the word that begins at byte i.
func (s *words) next(text string, i int) int {
	for {
		size := s.markAt(text, i)
		i += size
		if size == 0 || !s.runs {
			break
		}
	}
	first := s.mark[0]
	for start := i; i < len(text); i++ {
		c := text[i]
		if c == ' ' || c == first && strings.HasPrefix(text[i:], s.mark) {
			break
		}
		if c < utf8.RuneSelf && s.before[c] && i > start && !isPunctByte(text[i-1]) {
			break
		}
	}
	return i
}

// encodeWord appends the ids of a word, from the cache if it has been seen.
func (t *Tokenizer) encodeWord(w *worker, word string) { t.encodeHashed(w, word, hashWord(word)) }

func (t *Tokenizer) encodeHashed(w *worker, word string, hash uint64) {
	if s := w.cache.find(hash, word); s != nil {
		w.ids = s.appendIDs(w.ids)
		return
	}
	from := len(w.ids)
	text := word
	if t.words != nil && t.words.marks && strings.Contains(word, " ") {
		text = strings.ReplaceAll(word, " ", t.words.mark)
	}
	w.tokens = t.model.tokenize(w.tokens[:0], text, t.feedBytes)
	for i := range w.tokens {
		w.ids = append(w.ids, w.tokens[i].id)
	}
	w.cache.put(hash, word, w.ids[from:])
}
