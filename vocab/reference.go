package vocab

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"lep/tokenizer"
)

// anchor is the character behind which the authors' code encodes a token, so that
// a tokenizer that puts a space before the first word does not put it before the token.
const anchor = "家"

// ReferenceOptions are the circumstances that the authors' propagation depends on.
type ReferenceOptions struct {
	// SpaceForMetaspace replaces ▁ by a space before encoding. The authors' code
	// does so if the path of the old tokenizer contains "llama", in any case.
	SpaceForMetaspace bool
	// Special are the values of the new tokenizer's special map (bos, eos, unk, pad,
	// additional special tokens), which are looked up by name.
	Special []string
}

// ConvertReference lists old subtokens as the authors' propagation does: the new
// token's raw piece string behind the anchor 家, encoded by the whole old tokenizer, less
// as many ids as the anchor alone has. Raw strings of byte-level tables are encoded as
// if they were text, so many old tokens do not map to themselves. It fails where
// the authors' code does: a token that the anchor swallows has no subtokens left.
func ConvertReference(old, next *tokenizer.Tokenizer, opts ReferenceOptions) (*Conversion, error) {
	special := make(map[string]bool, len(opts.Special))
	for _, s := range opts.Special {
		special[s] = true
	}
	prefix := len(old.Encode(anchor))
	c := &Conversion{}
	var buf []int32
	for id := range int32(next.Size()) {
		piece := next.Token(id)
		switch {
		case piece == "":
			c.append(nil, LeftOut)
			continue
		case special[piece]:
			if o, ok := old.ID(piece); ok {
				c.append([]int32{o}, ByName)
			} else {
				c.append(nil, LeftOut)
			}
			continue
		}
		if opts.SpaceForMetaspace {
			piece = strings.ReplaceAll(piece, "▁", " ")
		}
		buf = old.AppendEncode(buf[:0], anchor+piece)
		if len(buf) <= prefix {
			return nil, fmt.Errorf("token %d %q has no old subtokens: the anchor %s joins with it", id, next.Token(id), anchor)
		}
		how := Composed
		if len(buf) == prefix+1 {
			how = Copied
		}
		c.append(buf[prefix:], how)
	}
	return c, nil
}

// InitialReference lists old subtokens as the authors' initialisation does, for a
// new tokenizer that already has the old one's special tokens. special are the values
// of its special map. A token is decoded by the new tokenizer's decoder, and its text
// encoded by the old model alone, without pre-tokenizer and normalizer; a token
// that decodes to a lone U+FFFD is taken by its piece string.
func InitialReference(old, next *tokenizer.Tokenizer, special []string) *Conversion {
	isSpecial := make(map[string]bool, len(special))
	for _, s := range special {
		isSpecial[s] = true
	}
	front, forced := forcedSpace(next)
	c := &Conversion{}
	var buf []int32
	for id := range int32(next.Size()) {
		piece := next.Token(id)
		if piece == "" {
			c.append(nil, LeftOut)
			continue
		}
		if isSpecial[piece] {
			if o, ok := old.ID(piece); ok {
				c.append([]int32{o}, ByName)
			} else {
				c.append(nil, LeftOut)
			}
			continue
		}
		text := piece
		if b, ok := hexPiece(piece); ok {
			if o, ok := old.ID(piece); ok {
				c.append([]int32{o}, Copied)
				continue
			}
			text = string(rune(b))
		} else {
			ids := []int32{id}
			if forced {
				ids = []int32{front, id}
			}
			if text = next.Decode(ids); text == string(utf8.RuneError) {
				text = piece
			}
		}
		s, ok := old.FromBytes([]byte(text))
		if !ok {
			s = text
		}
		buf = old.ModelEncode(buf[:0], s)
		switch len(buf) {
		case 0:
			c.append(nil, LeftOut)
		case 1:
			c.append(buf, Copied)
		default:
			c.append(buf, Composed)
		}
	}
	return c
}

// forcedSpace reports whether a tokenizer puts a space piece before a text, and
// which id the lone space piece has.
func forcedSpace(t *tokenizer.Tokenizer) (int32, bool) {
	ids := t.Encode("1")
	if len(ids) == 0 || !strings.HasPrefix(t.Token(ids[0]), "▁") {
		return 0, false
	}
	id, ok := t.ID("▁")
	return id, ok
}

// hexPiece reads "<0x0A>".
func hexPiece(s string) (byte, bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	var v byte
	for _, c := range []byte(s[3:5]) {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | (c - '0')
		case 'A' <= c && c <= 'F':
			v = v<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return v, true
}
