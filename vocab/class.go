package vocab

import (
	"unicode"
	"unicode/utf8"

	"lep/tokenizer"
)

// Class is the sort of text a token stands for. Reports break figures down by it.
type Class uint8

const (
	Word         Class = iota // letters with a leading space
	Subword                   // letters without a leading space
	Digits                    // digits, with or without a leading space
	Punctuation               // no letter and no digit
	Space                     // blanks and line ends alone
	Foreign                   // letters of a script that is neither Latin nor the new vocabulary's own
	Bytes                     // a byte-fallback piece, or bytes that are no whole characters
	SpecialToken              // added and control tokens
	numClasses
)

// Classes lists all classes in the order of reports.
func Classes() []Class {
	all := make([]Class, numClasses)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// String returns the word that reports and --json use.
func (c Class) String() string {
	return [...]string{"whole_word", "piece", "digits", "punctuation", "space", "foreign_script", "bytes", "special"}[c]
}

// scripts are those told apart; a letter of none of them counts as one more script.
var scripts = []*unicode.RangeTable{
	unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Hebrew, unicode.Arabic,
	unicode.Devanagari, unicode.Bengali, unicode.Tamil, unicode.Telugu, unicode.Thai, unicode.Georgian,
	unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Han, unicode.Ethiopic, unicode.Khmer,
}

// script returns 1 + the index in scripts of a letter's script.
func script(r rune) int {
	if r < 0x80 {
		return 1
	}
	for i, t := range scripts {
		if unicode.Is(t, r) {
			return i + 1
		}
	}
	return len(scripts) + 1
}

// ClassesOf sorts every token of a vocabulary. Latin and the script that most of its
// other letter tokens are written in are at home; the rest is foreign.
func ClassesOf(t *tokenizer.Tokenizer) []Class {
	out := make([]Class, t.Size())
	found := make([]int, t.Size())
	var count [32]int
	for id := range out {
		b, kind := t.Bytes(int32(id))
		out[id], found[id] = classOf(b, kind)
		count[found[id]]++
	}
	home := 2
	for s := 3; s < len(count); s++ {
		if count[s] > count[home] {
			home = s
		}
	}
	for id, s := range found {
		if s > 1 && s != home {
			out[id] = Foreign
		}
	}
	return out
}

// classOf sorts one token and returns the script of its first letter, 0 if it
// has none.
func classOf(b []byte, kind tokenizer.Kind) (Class, int) {
	switch kind {
	case tokenizer.Text, tokenizer.UserDefined:
	case tokenizer.Byte:
		return Bytes, 0
	default:
		return SpecialToken, 0
	}
	if !utf8.Valid(b) {
		return Bytes, 0
	}
	text := string(b)
	digits, blank := false, true
	for _, r := range text {
		switch {
		case unicode.IsLetter(r):
			if text[0] == ' ' {
				return Word, script(r)
			}
			return Subword, script(r)
		case unicode.IsDigit(r):
			digits = true
		}
		blank = blank && unicode.IsSpace(r)
	}
	switch {
	case digits:
		return Digits, 0
	case blank:
		return Space, 0
	}
	return Punctuation, 0
}
