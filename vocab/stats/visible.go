package stats

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

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
	var b strings.Builder
	inner := strings.Trim(s, " ")
	edge := len(s) - len(strings.TrimLeft(s, " "))
	b.WriteString(strings.Repeat("␣", edge))
	for i := 0; i < len(inner); {
		r, n := utf8.DecodeRuneInString(inner[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, "‹%02x›", inner[i])
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7F:
			b.WriteRune('␡')
		case r != ' ' && (!unicode.IsGraphic(r) || unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Cf, unicode.Variation_Selector)):
			fmt.Fprintf(&b, "‹U+%04X›", r)
		default:
			b.WriteRune(r)
		}
		i += max(n, 1)
	}
	if inner != "" {
		b.WriteString(strings.Repeat("␣", len(s)-edge-len(inner)))
	}
	return b.String()
}
