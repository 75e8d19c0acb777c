package metric

import (
	"strings"
	"unicode"
)

// The published figures come from Python, whose ideas of lower case, blanks and words are
// Unicode's and differ from Go's in details.

// lower is Python's str.lower: İ becomes i and U+0307, Σ at the end of a word ς.
func lower(s string) string {
	if !strings.ContainsAny(s, "İΣ") {
		return strings.ToLower(s)
	}
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		switch {
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && casedBeside(runes[:i], true) && !casedBeside(runes[i+1:], false):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// casedBeside reports whether the nearest character that is not ignored in matters of case is a
// cased letter, at the end of the list or at its beginning.
func casedBeside(list []rune, end bool) bool {
	for i := range list {
		r := list[i]
		if end {
			r = list[len(list)-1-i]
		}
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) || strings.ContainsRune("'.:·’", r) {
			continue
		}
		return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
	}
	return false
}

// isSpace is Python's str.isspace: Go's and the four separators U+001C to U+001F.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// isWord is \w of Python's re.
func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

func strip(s string) string { return strings.TrimFunc(s, isSpace) }

func fields(s string) []string { return strings.FieldsFunc(s, isSpace) }

// isPunct reports the 32 signs of Python's string.punctuation, all of them ASCII.
func isPunct(r rune) bool {
	return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
}
