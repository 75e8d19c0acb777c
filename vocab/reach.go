package vocab

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"lep/tokenizer"
)

// Reach says whether a text piece can be produced by encoding, and if not why. A piece is
// reached if its own text becomes this one token; a piece that is no whole characters, as byte-level
// tables have them, if the model alone makes it of its bytes. Other kinds of tokens are reached.
func Reach(t *tokenizer.Tokenizer, id int32) (ok bool, reason string) {
	b, kind := t.Bytes(id)
	if kind != tokenizer.Text || len(b) == 1 && t.ByteLevel() {
		return true, ""
	}
	spelled := t.Token(id)
	if utf8.Valid(b) {
		if reason := neverWhole(t, string(b), spelled); reason != "" {
			return false, reason
		}
	}
	ids := t.ModelEncode(nil, spelled)
	if len(ids) == 1 && ids[0] == id {
		return true, ""
	}
	if len(ids) == 1 {
		return false, fmt.Sprintf("token %d is made of the same text", ids[0])
	}
	var parts []string
	for _, part := range ids {
		piece, _ := t.Bytes(part)
		parts = append(parts, strings.ToValidUTF8(string(piece), "\uFFFD"))
	}
	return false, fmt.Sprintf("alone it is cut as %q: a step on the way to longer tokens", parts)
}

// neverWhole says why normalizer and pre-tokenizer never hand a text to the model in one
// piece, "" if they do. What SentencePiece-style tables do at the start of a text is passed over.
func neverWhole(t *tokenizer.Tokenizer, text, spelled string) string {
	parts := t.PreTokenize(text)
	if !t.ByteLevel() {
		for _, p := range parts {
			if strings.Contains(p, spelled) {
				return ""
			}
		}
		if parts = t.PreTokenize("a" + text); len(parts) == 1 && strings.HasSuffix(parts[0], spelled) {
			return ""
		}
	}
	switch {
	case len(parts) == 0:
		return "the pre-tokenizer removes it"
	case len(parts) > 1:
		return fmt.Sprintf("the pre-tokenizer cuts it into %d parts", len(parts))
	case parts[0] != spelled:
		return "the normalizer changes it"
	}
	return ""
}
