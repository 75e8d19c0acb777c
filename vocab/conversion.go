package vocab

import (
	"slices"
	"unicode/utf8"

	"lep/tokenizer"
)

// How says where the old subtokens of a new token come from.
type How uint8

const (
	LeftOut  How = iota // no old tokens: a special token that the old table lacks, or no piece
	Copied              // one old token stands for it
	Composed            // several old subtokens
	ByName              // a special token of the same name
)

// String returns the word that reports and logs use.
func (h How) String() string {
	return [...]string{"left_out", "copied", "composed", "special"}[h]
}

// Conversion lists the old subtokens of every new token.
type Conversion struct {
	start []int32 // of token i in ids; one more than tokens
	ids   []int32
	how   []How
}

// Len returns the number of new ids, holes included.
func (c *Conversion) Len() int { return len(c.how) }

// IDs returns the old subtokens of a new token, nil if it is left out. It aliases
// the conversion.
func (c *Conversion) IDs(id int) []int32 {
	if c.how[id] == LeftOut {
		return nil
	}
	return c.ids[c.start[id]:c.start[id+1]:c.start[id+1]]
}

// How returns where the subtokens of a new token come from.
func (c *Conversion) How(id int) How { return c.how[id] }

// Count returns the number of tokens of one kind.
func (c *Conversion) Count(h How) int {
	n := 0
	for _, x := range c.how {
		if x == h {
			n++
		}
	}
	return n
}

// NewConversion makes a conversion of given lists; a nil list is left out.
func NewConversion(lists [][]int32) *Conversion {
	c := &Conversion{}
	for _, ids := range lists {
		how := Composed
		switch {
		case ids == nil:
			how = LeftOut
		case len(ids) == 1:
			how = Copied
		}
		c.append(ids, how)
	}
	return c
}

func (c *Conversion) append(ids []int32, how How) {
	if how == LeftOut {
		ids = nil
	}
	if len(c.start) == 0 {
		c.start = append(c.start, 0)
	}
	c.ids = append(c.ids, ids...)
	c.start = append(c.start, int32(len(c.ids)))
	c.how = append(c.how, how)
}

// Convert lists for every id below next.Size() the old tokens that its bytes are
// made of:
//
//   - a piece with the bytes and the kind (text, or byte fallback) of an old piece is
//     that piece, the lowest id if there are two;
//   - another piece is what the old model makes of its bytes: the merges over all
//     bytes for a byte-level table; the model over the text for the others, where bytes
//     that are no UTF-8 go through the byte-fallback pieces;
//   - an added token is the old token of the same name, and is left out without one.
//
// A piece that the old model knows nothing of (unknown tokens alone) is left out too.
//
// The result depends on no pre-tokenizer, normalizer or decoder. The same lists
// serve initialisation and propagation, as in the paper (arXiv 2412.21140), where
// the token conversion is one operator.
func Convert(old, next *tokenizer.Tokenizer) *Conversion {
	t := newTable(old)
	c := &Conversion{}
	var buf []int32
	for id := range int32(next.Size()) {
		b, kind := next.Bytes(id)
		switch kind {
		case tokenizer.Missing:
			c.append(nil, LeftOut)
		case tokenizer.Special, tokenizer.Control, tokenizer.Unknown, tokenizer.Unused:
			if o, ok := old.ID(next.Token(id)); ok {
				c.append([]int32{o}, ByName)
			} else {
				c.append(nil, LeftOut)
			}
		default:
			if o, ok := t.same(b, kind); ok {
				c.append([]int32{o}, Copied)
				continue
			}
			buf = t.encode(buf[:0], b)
			c.append(buf, howOf(buf, t.unk))
		}
	}
	return c
}

// howOf sorts a list of subtokens. A list of unknown tokens alone says nothing
// about the token: it is left out.
func howOf(ids []int32, unk int32) How {
	if !slices.ContainsFunc(ids, func(id int32) bool { return id != unk }) {
		return LeftOut
	}
	if len(ids) == 1 {
		return Copied
	}
	return Composed
}

// table finds old pieces by their bytes.
type table struct {
	tok   *tokenizer.Tokenizer
	unk   int32 // -1 for none
	text  map[string]int32
	bytes [256]int32 // of the byte-fallback pieces, -1 without one
}

func newTable(tok *tokenizer.Tokenizer) *table {
	t := &table{tok: tok, unk: tok.Definition().Model.UnkID, text: make(map[string]int32, tok.Size())}
	for i := range t.bytes {
		t.bytes[i] = -1
	}
	for id := range int32(tok.Size()) {
		b, kind := tok.Bytes(id)
		switch {
		case kind == tokenizer.Byte && len(b) == 1:
			if t.bytes[b[0]] < 0 {
				t.bytes[b[0]] = id
			}
		case kind == tokenizer.Text || kind == tokenizer.UserDefined:
			if _, ok := t.text[string(b)]; !ok {
				t.text[string(b)] = id
			}
		}
	}
	return t
}

// same returns the lowest old piece with these bytes and this kind.
func (t *table) same(b []byte, kind tokenizer.Kind) (int32, bool) {
	if kind == tokenizer.Byte {
		if len(b) == 1 && t.bytes[b[0]] >= 0 {
			return t.bytes[b[0]], true
		}
		return 0, false
	}
	id, ok := t.text[string(b)]
	return id, ok
}

// encode appends the old model's pieces of b.
func (t *table) encode(dst []int32, b []byte) []int32 {
	if s, ok := t.tok.FromBytes(b); ok {
		return t.tok.ModelEncode(dst, s)
	}
	// A table of text: whole characters through the model, stray bytes one by one.
	for len(b) > 0 {
		n := 0
		for n < len(b) {
			r, size := utf8.DecodeRune(b[n:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			n += size
		}
		if n > 0 {
			if s, ok := t.tok.FromBytes(b[:n]); ok {
				dst = t.tok.ModelEncode(dst, s)
			}
			b = b[n:]
			continue
		}
		if id := t.bytes[b[0]]; id >= 0 {
			dst = append(dst, id)
		}
		b = b[1:]
	}
	return dst
}
