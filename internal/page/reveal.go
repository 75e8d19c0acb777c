package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reveal shows what a terminal or a browser would hide or obey: controls, line ends,
// direction marks and other format characters as pictures or ‹U+202E›, bytes that are no UTF-8 as
// ‹d0›. The characters of keep, and spaces, stay as they are.
func Reveal(s, keep string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, "‹%02x›", s[i])
		case strings.ContainsRune(keep, r):
			b.WriteRune(r)
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
	return b.String()
}
