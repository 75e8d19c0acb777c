package ucd

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// Class is a set of properties of a code point: letters, numbers, marks and word
// characters of Unicode 16.0, punctuation as Hugging Face's Punctuation pre-tokenizer
// has it, which is about Unicode 8.
type Class uint8

const (
	Letter        Class = 1 << iota // \p{L}
	Number                          // \p{N}
	Mark                            // \p{M}
	Space                           // White_Space
	Word                            // \w of Rust's regex: Alphabetic, marks, Nd, Pc, join controls
	Upper                           // \p{Lu} and \p{Lt}
	Lower                           // \p{Ll}
	PunctuationHF                   // punctuation and ASCII symbols, as Hugging Face counts them
)

// classLimit ends the dense table. Of the code points above, only the
// variation selectors U+E0100..E01EF have a class (mark and word).
const classLimit = 0x32400

var classes = buildClasses()

// Of returns the properties of r; none for what is no code point.
func Of(r rune) Class {
	if uint32(r) < classLimit {
		return classes[r]
	}
	if r >= 0xE0100 && r <= 0xE01EF {
		return Mark | Word
	}
	return 0
}

// At returns the class and the size of the character at byte i of s, i below len(s); an
// ill-formed byte is U+FFFD of size 1.
func At(s string, i int) (Class, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return classes[c], 1
	} else if c >= 0xC2 && c < 0xE0 && i+1 < len(s) && s[i+1]&0xC0 == 0x80 {
		return classes[int(c&0x1F)<<6|int(s[i+1]&0x3F)], 2
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return Of(r), size
}

// IsLetter reports whether r is in \p{L}.
func IsLetter(r rune) bool { return Of(r)&Letter != 0 }

// IsNumber reports whether r is in \p{N}.
func IsNumber(r rune) bool { return Of(r)&Number != 0 }

// IsMark reports whether r is in \p{M}.
func IsMark(r rune) bool { return Of(r)&Mark != 0 }

// IsSpace reports whether r is White_Space.
func IsSpace(r rune) bool { return Of(r)&Space != 0 }

// IsWord reports whether r is in \w of Rust's regex.
func IsWord(r rune) bool { return Of(r)&Word != 0 }

// IsPunctuationHF is the rule of HF's Punctuation and BertPreTokenizer.
func IsPunctuationHF(r rune) bool { return Of(r)&PunctuationHF != 0 }

// IsNumeric is Rust's char::is_numeric, which HF's Digits uses: Unicode 17's \p{N}.
func IsNumeric(r rune) bool {
	return Of(r)&Number != 0 || r >= 0x11DE0 && r <= 0x11DE9 || r >= 0x16FF4 && r <= 0x16FF6
}

// Ranges are code points, from the first to the last of each pair, in rising order.
type Ranges [][2]rune

// Has reports whether r is in one of the ranges.
func (s Ranges) Has(r rune) bool {
	_, ok := slices.BinarySearchFunc(s, r, func(s [2]rune, r rune) int {
		switch {
		case s[1] < r:
			return -1
		case s[0] > r:
			return 1
		}
		return 0
	})
	return ok
}

// Unicode 16.0 minus 15.0.
var (
	newLetters = Ranges{{0x1C89, 0x1C8A}, {0xA7CB, 0xA7CD}, {0xA7DA, 0xA7DC}, {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
		{0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5},
		{0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA}, {0x16100, 0x1611D},
		{0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}}
	newNumbers = Ranges{{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139}, {0x16D70, 0x16D79},
		{0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}}
	newMarks = Ranges{{0x897, 0x897}, {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2},
		{0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11F5A, 0x11F5A},
		{0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF}}
	newUpper = Ranges{{0x1C89, 0x1C89}, {0xA7CB, 0xA7CC}, {0xA7DA, 0xA7DA}, {0xA7DC, 0xA7DC}, {0x10D50, 0x10D65}}
	newLower = Ranges{{0x1C8A, 0x1C8A}, {0xA7CD, 0xA7CD}, {0xA7DB, 0xA7DB}, {0x10D70, 0x10D85}}
)

// HF's punctuation against Go's \p{P}: younger characters are missing, two were
// reclassified since.
var (
	morePunct = Ranges{{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'}, {'`', '`'}, {'|', '|'}, {'~', '~'},
		{0x166D, 0x166D}, {0x111C9, 0x111C9}}
	lessPunct = Ranges{{0x61D, 0x61D}, {0x9FD, 0x9FD}, {0xA76, 0xA76}, {0xC77, 0xC77}, {0xC84, 0xC84}, {0x1B7D, 0x1B7E},
		{0x2E43, 0x2E4F}, {0x2E52, 0x2E5D}, {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x1144B, 0x1144F},
		{0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946},
		{0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45},
		{0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A},
		{0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}}
)

func buildClasses() *[classLimit]Class {
	t := new([classLimit]Class)
	set := func(c Class, lo, hi, stride rune) {
		for r := lo; r <= hi && r < classLimit; r += stride {
			t[r] |= c
		}
	}
	table := func(c Class, tables ...*unicode.RangeTable) {
		for _, rt := range tables {
			for _, s := range rt.R16 {
				set(c, rune(s.Lo), rune(s.Hi), rune(s.Stride))
			}
			for _, s := range rt.R32 {
				set(c, rune(s.Lo), rune(s.Hi), rune(s.Stride))
			}
		}
	}
	spans := func(c Class, list Ranges) {
		for _, s := range list {
			set(c, s[0], s[1], 1)
		}
	}
	table(Letter|Word, unicode.L)
	spans(Letter|Word, newLetters)
	table(Number, unicode.N)
	spans(Number|Word, newNumbers)
	table(Mark|Word, unicode.M)
	spans(Mark|Word, newMarks)
	table(Space, unicode.White_Space)
	table(Word, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Other_Lowercase,
		unicode.Other_Uppercase, unicode.Join_Control)
	table(Upper, unicode.Lu, unicode.Lt)
	spans(Upper, newUpper)
	table(Lower, unicode.Ll)
	spans(Lower, newLower)
	table(PunctuationHF, unicode.P)
	spans(PunctuationHF, morePunct)
	for _, s := range lessPunct {
		for r := s[0]; r <= s[1]; r++ {
			t[r] &^= PunctuationHF
		}
	}
	return t
}
