package stats

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"lep/tokenizer"
)

// scripts are those that reports name, the most frequent first. Letters of others count as Other.
var scripts = []struct {
	name  string
	table *unicode.RangeTable
}{
	{"Latin", unicode.Latin}, {"Cyrillic", unicode.Cyrillic}, {"Han", unicode.Han}, {"Arabic", unicode.Arabic},
	{"Devanagari", unicode.Devanagari}, {"Hangul", unicode.Hangul}, {"Hiragana", unicode.Hiragana}, {"Katakana", unicode.Katakana},
	{"Greek", unicode.Greek}, {"Hebrew", unicode.Hebrew}, {"Thai", unicode.Thai}, {"Georgian", unicode.Georgian},
	{"Armenian", unicode.Armenian}, {"Bengali", unicode.Bengali}, {"Tamil", unicode.Tamil}, {"Telugu", unicode.Telugu},
	{"Gujarati", unicode.Gujarati}, {"Gurmukhi", unicode.Gurmukhi}, {"Kannada", unicode.Kannada}, {"Malayalam", unicode.Malayalam},
	{"Sinhala", unicode.Sinhala}, {"Lao", unicode.Lao}, {"Khmer", unicode.Khmer}, {"Myanmar", unicode.Myanmar},
	{"Ethiopic", unicode.Ethiopic}, {"Tibetan", unicode.Tibetan}, {"Mongolian", unicode.Mongolian},
}

const (
	otherScript   = "Other"
	noScript      = "no letters"
	partialScript = "partial characters"
)

// unspaced says of every script code whether it puts no spaces between words.
var unspaced = func() []bool {
	list := make([]bool, len(scripts)+1)
	for i, s := range scripts {
		list[i] = slices.Contains([]string{"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}, s.name)
	}
	return list
}()

// scriptCode returns an index of scripts, len(scripts) for another letter, -1 for what is no letter.
func scriptCode(r rune) int {
	switch {
	case r < 0x80:
		if r|0x20 >= 'a' && r|0x20 <= 'z' {
			return 0
		}
		return -1
	case r >= 0x400 && r < 0x530:
		if unicode.IsLetter(r) {
			return 1
		}
		return -1
	case !unicode.IsLetter(r) && !unicode.IsMark(r):
		return -1
	}
	for i, s := range scripts {
		if unicode.Is(s.table, r) {
			return i
		}
	}
	if unicode.IsLetter(r) {
		return len(scripts)
	}
	return -1 // a mark of all scripts
}

func scriptName(code int) string {
	switch {
	case code < 0:
		return noScript
	case code < len(scripts):
		return scripts[code].name
	}
	return otherScript
}

// ScriptsOf names the script of every token of a vocabulary: that of its first letter.
func ScriptsOf(tok *tokenizer.Tokenizer) []string {
	list := make([]string, tok.Size())
	for id := range list {
		list[id] = scriptOf(tok.Bytes(int32(id)))
	}
	return list
}

// scriptOf is the script of a token: that of its first letter.
func scriptOf(b []byte, kind tokenizer.Kind) string {
	switch kind {
	case tokenizer.Text, tokenizer.UserDefined:
	case tokenizer.Byte:
		return partialScript
	default:
		return noScript
	}
	if !utf8.Valid(b) {
		return partialScript
	}
	for _, r := range string(b) {
		if c := scriptCode(r); c >= 0 {
			return scriptName(c)
		}
	}
	return noScript
}
