package stats

import (
	"strings"

	"lep/internal/page"
	"lep/tokenizer"
)

// Cut is a text and the tokens it is cut into.
type Cut struct {
	Code  string `json:"code"`
	Name  string `json:"name"`
	Text  string `json:"text"`
	Spans []Span `json:"spans"`
}

// Span is a token in a cut text.
type Span struct {
	ID   int32  `json:"id"`
	Text string `json:"text"` // see Visible; bytes that are no whole characters in hexadecimal
}

// Spans cuts a text.
func Spans(tok *tokenizer.Tokenizer, text string) []Span {
	var spans []Span
	for _, id := range tok.Encode(text) {
		b, _ := tok.Bytes(id)
		spans = append(spans, Span{id, Visible(string(b))})
	}
	return spans
}

// Visible shows what a terminal or a browser would hide or obey: controls, line ends, direction
// marks and other format characters as pictures or ‹U+202E›, leading and trailing spaces as ␣,
// bytes that are no UTF-8 as ‹d0›.
func Visible(s string) string {
	inner := strings.Trim(s, " ")
	edge := len(s) - len(strings.TrimLeft(s, " "))
	out := strings.Repeat("␣", edge) + page.Reveal(inner, "")
	if inner != "" {
		out += strings.Repeat("␣", len(s)-edge-len(inner))
	}
	return out
}
