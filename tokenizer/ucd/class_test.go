package ucd

import (
	"testing"
	"unicode/utf8"
)

// The numbers of code points were counted with tokenizers 0.23.3: one character at
// a time through Split(\p{L}), Split(\p{N}), Split(\p{M}), Split(\s), Whitespace
// (its \w), Punctuation, Digits and Lowercase.
func TestClassesCountAsTheReferences(t *testing.T) {
	for _, tt := range []struct {
		name string
		has  func(rune) bool
		want int
	}{
		{`\p{L}`, IsLetter, 141028},
		{`\p{N}`, IsNumber, 1911},
		{`\p{M}`, IsMark, 2501},
		{`\s`, IsSpace, 25},
		{`\w`, IsWord, 144667},
		{"punctuation", IsPunctuationHF, 726},
		{"numeric", IsNumeric, 1924},
		{"lower case", func(r rune) bool { return ToLower(r) != r }, 1488},
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
		want Class
		why  string
	}{
		{'я', Letter | Word | Lower, "a letter"},
		{0x1C89, Letter | Word | Upper, "new in Unicode 16"},
		{0x10D40, Number | Word, "a digit that is new in Unicode 16"},
		{'²', Number, "a number, but no word character"},
		{0x200D, Word, "a join control"},
		{0x85, Space, "NEL is white space"},
		{0x200B, 0, "the zero-width space is none"},
		{0xE0100, Mark | Word, "a variation selector above the table"},
		{'$', PunctuationHF, "ASCII symbols are punctuation to HF"},
		{'_', PunctuationHF | Word, "connector punctuation"},
		{0x2E52, 0, "punctuation that is younger than HF's table"},
		{utf8.MaxRune, 0, "unassigned"},
		{-1, 0, "no code point"},
	} {
		if got := Of(tt.r); got != tt.want {
			t.Errorf("%U: class %b, want %b: %s", tt.r, got, tt.want, tt.why)
		}
	}
}

// TestAt: At reads the character that utf8 reads, whole or broken.
func TestAt(t *testing.T) {
	for _, s := range []string{"a", "я", "\u07ff", "\u0800", "中", "😀", "\xff", "\xd0", "\xd0a", "\xc1\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		r, want := utf8.DecodeRuneInString(s)
		if c, size := At(s+"z", 0); c != Of(r) || size != want {
			t.Errorf("At(%q) = %b, %d, want %b, %d", s, c, size, Of(r), want)
		}
	}
}
