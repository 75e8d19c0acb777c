package tokenizer

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Encoding word by word. Where no piece reaches from a letter over a "▁", the pieces
// of a word do not depend on its neighbours, and a cache can know them. A Unigram model's sums,
// rounded to float32 from the beginning of the text on, do depend on what stands before; so its
// entries remember by how much each of their choices was won, and count only where that is more
// than rounding can make up for. TestWordsEqualWhole holds the two ways against each other.

// findWords sets what cutting needs, and words if text may be cut.
func (e *spEncoder) findWords(d *Definition) {
	z := e.norm
	if z.suffix || z.space != spaceSymbol || z.m != nil && !z.m.SpaceOnly() {
		return
	}
	if to, size := z.prefix(" "); to != " " || size != 1 {
		return
	}
	known := false
	for _, p := range d.Model.Pieces {
		switch p.Kind {
		case Text:
			known = known || p.Text == spaceSymbol
			if strings.Contains(strings.TrimLeft(p.Text, spaceSymbol), spaceSymbol) {
				return
			}
		case Unused:
			if strings.Contains(strings.TrimLeft(p.Text, spaceSymbol), spaceSymbol) {
				return
			}
		case UserDefined:
			if strings.Contains(p.Text, spaceSymbol) || strings.Contains(p.Text, " ") {
				return
			}
		}
	}
	e.words = known
	for c := range e.space {
		s := string(rune(c))
		if z.definedLead[c] {
			continue
		}
		to, size := z.prefix(s)
		e.space[c] = to == " " && size == 1 && (c == ' ' || !z.m.Extends(s))
	}
}

func (e *spEncoder) isSpace(c byte) bool { return c < utf8.RuneSelf && e.space[c] }

// wordEnd returns where the word at i ends, with the spaces in front of it.
func (e *spEncoder) wordEnd(text string, i int) int {
	for i < len(text) && e.isSpace(text[i]) {
		i++
	}
	for i < len(text) && !e.isSpace(text[i]) {
		i++
	}
	return i
}

// appendWords is appendIDs word by word. A word is what stands between two spaces;
// the first of the spaces in front of it is the "▁" it begins with and is not part of the key, further ones are.
func (e *spEncoder) appendWords(dst []int32, w *spWorker, text string) []int32 {
	z := e.norm
	w.score = 0
	i := 0
	if !z.dummy {
		for z.squeeze && i < len(text) && e.isSpace(text[i]) {
			i++
		}
		if i < len(text) && !e.isSpace(text[i]) { // no "▁" in front: not a word as others are
			end := e.wordEnd(text, i)
			w.text = z.body(w.text[:0], text[i:end], z.squeeze, nil, 0)
			if !closed(w.text) && (z.squeeze || end < len(text)) {
				w.text = z.append(w.text[:0], text, nil)
				return e.appendNormalized(dst, w, string(w.text))
			}
			dst = e.appendNormalized(dst, w, string(w.text))
			i = end
		}
	}
	for first := z.dummy; first || i < len(text); first = false {
		if !first || z.squeeze {
			if z.squeeze {
				for i < len(text) && e.isSpace(text[i]) {
					i++
				}
				if i == len(text) {
					break
				}
			} else {
				i++ // the space that is the word's "▁"
			}
		}
		end := e.wordEnd(text, i)
		word := text[i:end]
		hash := hashWord(word)
		if s := w.cache.find(hash, word); s != nil && word != "" {
			var ok bool
			if dst, ok = e.appendCached(dst, w, s, len(word)); ok {
				i = end
				continue
			}
		}
		w.text = append(w.text[:0], spaceSymbol...)
		w.text = z.body(w.text, word, z.squeeze, nil, 0)
		isClosed := closed(w.text[len(spaceSymbol):])
		if !isClosed && (z.squeeze || end < len(text)) {
			return e.appendRest(dst, w, text[i:])
		}
		from := len(dst)
		dst = e.appendNormalized(dst, w, string(w.text))
		if isClosed {
			e.remember(w, hash, word, dst[from:])
		}
		i = end
	}
	return dst
}

// closed reports whether what follows a word cannot reach into its normalized
// form: a space at its end would join the next word's, or be stripped.
func closed(body []byte) bool {
	return len(body) > 0 && string(body[max(0, len(body)-len(spaceSymbol)):]) != spaceSymbol
}

// appendRest encodes the rest of a text, from the beginning of a word on, in one go.
func (e *spEncoder) appendRest(dst []int32, w *spWorker, rest string) []int32 {
	z := e.norm
	w.text = append(w.text[:0], spaceSymbol...)
	w.text = z.body(w.text, rest, z.squeeze, nil, 0)
	n := string(w.text)
	for z.squeeze && strings.HasSuffix(n, spaceSymbol) {
		n = n[:len(n)-len(spaceSymbol)]
	}
	return e.appendNormalized(dst, w, n)
}

// appendCached appends what the cache has for a word of size bytes; false if it
// cannot be relied on here.
func (e *spEncoder) appendCached(dst []int32, w *spWorker, s *cacheSlot, size int) ([]int32, bool) {
	u := e.unigram
	if u == nil {
		return s.appendIDs(dst), true
	}
	from := len(dst)
	dst = s.appendIDs(dst)
	last := len(dst) - 1
	margin := unpackMargin(dst[last])
	score := w.score
	for _, id := range dst[from:last] {
		score += u.scores[id]
	}
	if margin <= u.rounding(w.score, score, size) || u.nearReset(w.score, size) {
		return dst[:from], false
	}
	w.score = score
	return dst[:last], true
}

// remember puts a word into the cache. A Unigram word with unknown characters is
// not kept: its score does not follow from its ids.
func (e *spEncoder) remember(w *spWorker, hash uint64, word string, ids []int32) {
	u := e.unigram
	if u == nil {
		w.cache.put(hash, word, ids)
		return
	}
	for i := range w.tokens {
		if w.tokens[i].id < 0 {
			return
		}
	}
	margin := u.margin(w) - u.rounding(w.before, w.score, len(word))
	if margin <= 0 || u.nearReset(w.before, len(word)) {
		return
	}
	w.entry = append(append(w.entry[:0], ids...), packMargin(margin))
	w.cache.put(hash, word, w.entry)
}

// packMargin rounds a margin down to what fits the three bytes of an id.
func packMargin(m float32) int32   { return int32(math.Float32bits(m) >> 8) }
func unpackMargin(v int32) float32 { return math.Float32frombits(uint32(v) << 8) }
