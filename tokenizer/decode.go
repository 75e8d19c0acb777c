package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decode returns the text of ids; ids that no token has are left out. What is no
// UTF-8 becomes U+FFFD: see DecodeBytes for the bytes themselves.
func (t *Tokenizer) Decode(ids []int32) string { return t.decode(ids, false) }

// DecodeSkip is Decode without special tokens (skip_special_tokens=True).
func (t *Tokenizer) DecodeSkip(ids []int32) string { return t.decode(ids, true) }

func (t *Tokenizer) decode(ids []int32, skip bool) string {
	if t.cleanUp {
		return cleanUp.Replace(t.join(ids, skip))
	}
	return t.join(ids, skip)
}

func (t *Tokenizer) join(ids []int32, skip bool) string {
	if t.native != nil {
		return t.native.decode(ids, skip)
	}
	if t.decodesBytes() {
		b := t.appendPieces(make([]byte, 0, 5*len(ids)), ids, skip)
		if utf8.Valid(b) {
			return string(b)
		}
		return string(appendValid(make([]byte, 0, len(b)+16), b))
	}
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if t.Kind(id) == Missing || skip && t.special[id] {
			continue
		}
		tokens = append(tokens, t.decoded[id])
	}
	if t.decoders == nil {
		return strings.Join(tokens, " ")
	}
	for _, d := range t.decoders {
		tokens = d.decode(tokens)
	}
	return strings.Join(tokens, "")
}

// DecodeBytes is Decode without the replacement of what is no UTF-8, for byte-level
// tokenizers; for others it is Decode.
func (t *Tokenizer) DecodeBytes(ids []int32) []byte {
	if t.native != nil || !t.decodesBytes() {
		return []byte(t.Decode(ids))
	}
	return t.appendPieces(nil, ids, false)
}

// decodesBytes reports whether ByteLevel is the whole decoder.
func (t *Tokenizer) decodesBytes() bool {
	if len(t.decoders) != 1 {
		return false
	}
	_, ok := t.decoders[0].(byteLevelDecoder)
	return ok
}

// byteTable holds what the byte-level decoder makes of each id.
type byteTable struct {
	data []byte
	ends []uint32 // of the id before and, with the next entry, of the id
}

func (t *Tokenizer) buildByteTable() *byteTable {
	b := &byteTable{ends: make([]uint32, 1, len(t.tokens)+1)}
	for _, s := range t.decoded {
		b.data = appendPieceBytes(b.data, s)
		b.ends = append(b.ends, uint32(len(b.data)))
	}
	return b
}

func (t *Tokenizer) appendPieces(dst []byte, ids []int32, skip bool) []byte {
	table := t.pieceBytes()
	for _, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) || skip && t.special[id] {
			continue
		}
		dst = append(dst, table.data[table.ends[id]:table.ends[id+1]]...)
	}
	return dst
}

// Bytes returns the bytes that a piece stands for, with the byte alphabet, ▁ and
// <0xNN> undone, so that vocabularies of different kinds can be compared; for an added token
// its content. ok is false if no token has the id.
func (t *Tokenizer) Bytes(id int32) ([]byte, Kind) {
	kind := t.Kind(id)
	if kind == Missing {
		return nil, kind
	}
	text := t.tokens[id]
	switch {
	case kind == Byte:
		b, _ := byteOf(text)
		return []byte{b}, kind
	case kind != Text && kind != UserDefined:
		return []byte(text), kind
	case t.byteLevel:
		return appendPieceBytes(nil, text), kind
	}
	return []byte(strings.ReplaceAll(text, "▁", " ")), kind
}

// FromBytes spells bytes in the model's alphabet, as pieces of it would be; false
// if a piece of this tokenizer cannot be these bytes (what is no UTF-8, in a tokenizer
// that is not byte-level).
func (t *Tokenizer) FromBytes(b []byte) (string, bool) {
	if t.byteLevel {
		return string(appendLetters(nil, string(b))), true
	}
	if !utf8.Valid(b) {
		return "", false
	}
	return strings.ReplaceAll(string(b), " ", "▁"), true
}

// StreamDecoder turns ids into text as they come. The texts joined are what Decode
// makes of all ids, but where a run of byte tokens is no UTF-8.
type StreamDecoder struct {
	// SkipSpecial leaves special tokens out.
	SkipSpecial bool

	t       *Tokenizer
	pending []byte  // byte-level: the beginning of a character
	ids     []int32 // else: the last ids
	read    int     // how many of ids are in the text that was returned
}

// NewDecoder returns a decoder for one stream of ids.
func (t *Tokenizer) NewDecoder() *StreamDecoder { return &StreamDecoder{t: t} }

// Next takes an id and returns the text that is certain now: "" while a
// character is incomplete.
func (d *StreamDecoder) Next(id int32) string {
	if d.t.native == nil && d.t.decodesBytes() {
		d.pending = d.t.appendPieces(d.pending, []int32{id}, d.SkipSpecial)
		return d.take(completeLength(d.pending))
	}
	if d.t.native == nil && (d.t.Kind(id) == Missing || d.SkipSpecial && d.t.special[id]) {
		return ""
	}
	// The ids returned last stay in front, because the first token of a text may
	// lose its space: what is new is what they do not explain.
	d.ids = append(d.ids, id)
	before := d.t.decode(d.ids[:d.read], d.SkipSpecial)
	text := d.t.decode(d.ids, d.SkipSpecial)
	if text == before || strings.HasSuffix(text, "\uFFFD") && len(d.ids)-d.read < maxPending {
		return ""
	}
	text, ok := strings.CutPrefix(text, before)
	if !ok {
		text = d.t.decode(d.ids[d.read:], d.SkipSpecial)
	}
	d.ids = append(d.ids[:0], d.ids[d.read:]...)
	d.read = len(d.ids)
	return text
}

// Flush returns what is left at the end; an incomplete character is U+FFFD.
func (d *StreamDecoder) Flush() string {
	if d.t.native == nil && d.t.decodesBytes() {
		return d.take(len(d.pending))
	}
	before := d.t.decode(d.ids[:d.read], d.SkipSpecial)
	text, ok := strings.CutPrefix(d.t.decode(d.ids, d.SkipSpecial), before)
	if !ok {
		text = d.t.decode(d.ids[d.read:], d.SkipSpecial)
	}
	d.ids, d.read = nil, 0
	return text
}

// maxPending is how many ids wait for the rest of a character, which has four bytes
// at most, before it is taken for broken.
const maxPending = 8

// take returns the first n pending bytes as text.
func (d *StreamDecoder) take(n int) string {
	text := string(appendValid(nil, d.pending[:n]))
	d.pending = append(d.pending[:0], d.pending[n:]...)
	return text
}

// completeLength returns the length of b without an incomplete character at its end.
func completeLength(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-3; i-- {
		if !utf8.RuneStart(b[i]) {
			continue
		}
		if badPrefix(b[i:]) == len(b)-i && !utf8.FullRune(b[i:]) {
			return i
		}
		break
	}
	return len(b)
}
