package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// span is a range of bytes [start, end) of the text given to Encode.
type span struct{ start, end int32 }

// normalized is a stretch of text on its way through normalizers and
// pre-tokenizers. Where offsets are wanted it knows for every byte of its
// present text which character of the caller's text it came from; the rules are
// those of HF's NormalizedString, so that offsets agree: an inserted character
// shares the source of the one before it, a removed one leaves its neighbours'
// sources alone.
type normalized struct {
	text string
	// align has one entry per byte of text; nil: offsets are not wanted, and
	// nothing here does any work for them.
	align []span
	// origin is where the stretch begins in the caller's text, in bytes.
	origin int32
}

// normalizer is a compiled normalizer: it replaces n.text, through n.edit or the
// methods below, which keep the alignment. It must leave n.text the same string
// where it changes nothing. Bytes that are no UTF-8 stay as they are.
type normalizer interface{ normalize(n *normalized) }

// newNormalized returns text, which begins at byte origin of the caller's text.
func newNormalized(text string, origin int, offsets bool) *normalized {
	n := &normalized{text: text, origin: int32(origin)}
	if !offsets {
		return n
	}
	n.align = make([]span, 0, len(text))
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		s := span{n.origin + int32(i), n.origin + int32(i+size)}
		for range size {
			n.align = append(n.align, s)
		}
		i += size
	}
	return n
}

// slice returns the stretch of n.text between two bytes.
func (n *normalized) slice(start, end int) normalized {
	s := normalized{text: n.text[start:end], origin: n.origin}
	if n.align != nil {
		s.align = n.align[start:end:end]
		if start < end {
			s.origin = s.align[0].start
		}
	} else {
		s.origin += int32(start) // near enough: only whether it is 0 matters then
	}
	return s
}

// anchor moves the origin to what the first byte came from: a normalizer may have
// dropped what stood before.
func (n *normalized) anchor() {
	if len(n.align) > 0 {
		n.origin = n.align[0].start
	}
}

// source returns where the bytes [start, end) of n.text lie in the caller's text.
func (n *normalized) source(start, end int) span {
	switch {
	case n.align == nil:
		return span{}
	case start < end:
		return span{n.align[start].start, n.align[end-1].end}
	case start < len(n.align):
		return span{n.align[start].start, n.align[start].start}
	case start > 0:
		return span{n.align[start-1].end, n.align[start-1].end}
	}
	return span{n.origin, n.origin}
}

// edit rewrites a normalized text from its beginning to its end: every byte of
// the old text is kept, dropped or replaced in order. done puts the new text in
// place; what was not consumed by then is dropped.
type edit struct {
	n     *normalized
	pos   int // bytes of n.text consumed
	out   []byte
	align []span
}

// edit begins a rewrite.
func (n *normalized) edit() *edit {
	e := &edit{n: n, out: make([]byte, 0, len(n.text)+len(n.text)/8+8)}
	if n.align != nil {
		e.align = make([]span, 0, cap(e.out))
	}
	return e
}

// keep copies the next size bytes with their sources.
func (e *edit) keep(size int) {
	e.out = append(e.out, e.n.text[e.pos:e.pos+size]...)
	if e.n.align != nil {
		e.align = append(e.align, e.n.align[e.pos:e.pos+size]...)
	}
	e.pos += size
}

// drop removes the next size bytes.
func (e *edit) drop(size int) { e.pos += size }

// insert adds text whose source is that of the byte consumed last.
func (e *edit) insert(s string) {
	e.out = append(e.out, s...)
	if e.n.align != nil {
		e.fill(e.before(), len(s))
	}
}

// put is one step of HF's transform: change 0 replaces the next character by r,
// change > 0 inserts r, change < 0 replaces the next character by r and removes
// -change further ones.
func (e *edit) put(r rune, change int) {
	at := len(e.out)
	e.out = utf8.AppendRune(e.out, r)
	if e.n.align != nil {
		if change > 0 {
			e.fill(e.before(), len(e.out)-at)
		} else {
			e.fill(e.here(), len(e.out)-at)
		}
	}
	for range 1 - change {
		_, size := utf8.DecodeRuneInString(e.n.text[e.pos:])
		e.pos += size
	}
}

func (e *edit) before() span {
	if e.pos == 0 {
		return span{e.n.origin, e.n.origin}
	}
	return e.n.align[e.pos-1]
}

func (e *edit) here() span {
	if e.pos >= len(e.n.align) {
		return e.before()
	}
	return e.n.align[e.pos]
}

func (e *edit) fill(s span, size int) {
	for range size {
		e.align = append(e.align, s)
	}
}

// done ends the rewrite.
func (e *edit) done() {
	e.n.text = string(e.out)
	if e.n.align != nil {
		e.n.align = e.align
	}
}

// prepend puts s in front of a text that is not empty; its source is the first
// character's.
func (n *normalized) prepend(s string) {
	if n.text == "" || s == "" {
		return
	}
	if n.align != nil {
		align := make([]span, len(s), len(s)+len(n.align))
		for i := range align {
			align[i] = n.align[0]
		}
		n.align = append(align, n.align...)
	}
	n.text = s + n.text
}

// replaceAll replaces every occurrence of old, which is not empty, by s; the
// source of s is that of the last byte of what it replaces.
func (n *normalized) replaceAll(old, s string) {
	if !strings.Contains(n.text, old) {
		return
	}
	if n.align == nil {
		n.text = strings.ReplaceAll(n.text, old, s)
		return
	}
	e := n.edit()
	for {
		i := strings.Index(n.text[e.pos:], old)
		if i < 0 {
			break
		}
		e.keep(i)
		e.drop(len(old))
		e.insert(s)
	}
	e.keep(len(n.text) - e.pos)
	e.done()
}
