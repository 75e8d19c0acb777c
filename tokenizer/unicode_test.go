package tokenizer

import (
	"testing"
	"unicode/utf8"
)

// The numbers of code points were counted with tokenizers 0.23.3: one character at
// a time through Split(\p{L}), Split(\p{N}), Split(\p{M}), Split(\s), Whitespace
// (its \w), Punctuation, Digits, StripAccents, BertNormalizer and Nmt.
func TestClassesCountAsTheReferences(t *testing.T) {
	drops := func(f func(rune) (rune, bool)) func(rune) bool {
		return func(r rune) bool { _, keep := f(r); return !keep }
	}
	for _, tt := range []struct {
		name string
		has  func(rune) bool
		want int
	}{
		{`\p{L}`, isLetter, 141028},
		{`\p{N}`, isNumber, 1911},
		{`\p{M}`, isMark, 2501},
		{`\s`, isSpace, 25},
		{`\w`, isWord, 144667},
		{"punctuation", isPunctuation, 726},
		{"numeric", isNumeric, 1924},
		{"accents", drops(dropAccent), 2097},
		{"nonspacing", drops(dropNonspacing), 1567},
		{"controls", drops(bertClean), 137681},
		{"nmt", drops(nmtRune), 30},
		{"lower case", func(r rune) bool { to, _ := lowerRune(r); return to != r }, 1488},
	} {
		got := 0
		for r := range rune(utf8.MaxRune + 1) {
			if utf8.ValidRune(r) && tt.has(r) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d code points, want %d", tt.name, got, tt.want)
		}
	}
}

func TestClassesOfSingleCharacters(t *testing.T) {
	for _, tt := range []struct {
		r    rune
		want class
		why  string
	}{
		{'я', classLetter | classWord | classLower, "a letter"},
		{0x1C89, classLetter | classWord | classUpper, "new in Unicode 16"},
		{0x10D40, classNumber | classWord, "a digit that is new in Unicode 16"},
		{'²', classNumber, "a number, but no word character"},
		{0x200D, classWord, "a join control"},
		{0x85, classSpace, "NEL is white space"},
		{0x200B, 0, "the zero-width space is none"},
		{0xE0100, classMark | classWord, "a variation selector above the table"},
		{'$', classPunct, "ASCII symbols are punctuation to HF"},
		{'_', classPunct | classWord, "connector punctuation"},
		{0x2E52, 0, "punctuation that is younger than HF's table"},
		{utf8.MaxRune, 0, "unassigned"},
		{-1, 0, "no code point"},
	} {
		if got := classOf(tt.r); got != tt.want {
			t.Errorf("%U: class %b, want %b: %s", tt.r, got, tt.want, tt.why)
		}
	}
}
