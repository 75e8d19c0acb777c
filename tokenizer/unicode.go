package tokenizer

import (
	"slices"
	"unicode"
)

// class is a set of properties of a code point, in the Unicode versions that
// the reference libraries use: letters, numbers, marks and word characters are those of
// Unicode 16.0 (Go 1.26's unicode package has 15.0), punctuation is that of
// Hugging Face's Punctuation pre-tokenizer, which is about Unicode 8.
type class uint8

const (
	classLetter class = 1 << iota // \p{L}
	classNumber                   // \p{N}
	classMark                     // \p{M}
	classSpace                    // White_Space
	classWord                     // \w of Rust's regex: Alphabetic, marks, Nd, Pc, join controls
	classUpper                    // \p{Lu} and \p{Lt}
	classLower                    // \p{Ll}
	classPunct                    // punctuation and ASCII symbols
)

// classLimit ends the dense table. Of the code points above, only the
// variation selectors U+E0100..E01EF have a class (mark and word).
const classLimit = 0x32400

var classes = buildClasses()

// classOf returns the properties of r; none for what is no code point.
func classOf(r rune) class {
	if uint32(r) < classLimit {
		return classes[r]
	}
	if r >= 0xE0100 && r <= 0xE01EF {
		return classMark | classWord
	}
	return 0
}

func isLetter(r rune) bool { return classOf(r)&classLetter != 0 }
func isNumber(r rune) bool { return classOf(r)&classNumber != 0 }
func isMark(r rune) bool   { return classOf(r)&classMark != 0 }
func isSpace(r rune) bool  { return classOf(r)&classSpace != 0 }
func isWord(r rune) bool   { return classOf(r)&classWord != 0 }

// isPunctuation is the rule of HF's Punctuation and BertPreTokenizer.
func isPunctuation(r rune) bool { return classOf(r)&classPunct != 0 }

// isNumeric is Rust's char::is_numeric, which HF's Digits uses: Unicode 17's \p{N}.
func isNumeric(r rune) bool {
	return classOf(r)&classNumber != 0 || r >= 0x11DE0 && r <= 0x11DE9 || r >= 0x16FF4 && r <= 0x16FF6
}

// runeRange is a range of code points, both ends included.
type runeRange struct{ lo, hi rune }

func inRanges(spans []runeRange, r rune) bool {
	_, ok := slices.BinarySearchFunc(spans, r, func(s runeRange, r rune) int {
		switch {
		case s.hi < r:
			return -1
		case s.lo > r:
			return 1
		}
		return 0
	})
	return ok
}

// Unicode 16.0 minus 15.0.
var (
	newLetters = []runeRange{{0x1C89, 0x1C8A}, {0xA7CB, 0xA7CD}, {0xA7DA, 0xA7DC}, {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
		{0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5},
		{0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA}, {0x16100, 0x1611D},
		{0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}}
	newNumbers = []runeRange{{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139}, {0x16D70, 0x16D79},
		{0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}}
	newMarks = []runeRange{{0x897, 0x897}, {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2},
		{0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11F5A, 0x11F5A},
		{0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF}}
	newUpper = []runeRange{{0x1C89, 0x1C89}, {0xA7CB, 0xA7CC}, {0xA7DA, 0xA7DA}, {0xA7DC, 0xA7DC}, {0x10D50, 0x10D65}}
	newLower = []runeRange{{0x1C8A, 0x1C8A}, {0xA7CD, 0xA7CD}, {0xA7DB, 0xA7DB}, {0x10D70, 0x10D85}}
)

// HF's punctuation against Go's \p{P}: younger characters are missing, two were
// reclassified since.
var (
	morePunct = []runeRange{{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'}, {'`', '`'}, {'|', '|'}, {'~', '~'},
		{0x166D, 0x166D}, {0x111C9, 0x111C9}}
	lessPunct = []runeRange{{0x61D, 0x61D}, {0x9FD, 0x9FD}, {0xA76, 0xA76}, {0xC77, 0xC77}, {0xC84, 0xC84}, {0x1B7D, 0x1B7E},
		{0x2E43, 0x2E4F}, {0x2E52, 0x2E5D}, {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x1144B, 0x1144F},
		{0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946},
		{0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45},
		{0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A},
		{0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}}
)

func buildClasses() *[classLimit]class {
	t := new([classLimit]class)
	set := func(c class, lo, hi, stride rune) {
		for r := lo; r <= hi && r < classLimit; r += stride {
			t[r] |= c
		}
	}
	table := func(c class, tables ...*unicode.RangeTable) {
		for _, rt := range tables {
			for _, s := range rt.R16 {
				set(c, rune(s.Lo), rune(s.Hi), rune(s.Stride))
			}
			for _, s := range rt.R32 {
				set(c, rune(s.Lo), rune(s.Hi), rune(s.Stride))
			}
		}
	}
	spans := func(c class, list []runeRange) {
		for _, s := range list {
			set(c, s.lo, s.hi, 1)
		}
	}
	table(classLetter|classWord, unicode.L)
	spans(classLetter|classWord, newLetters)
	table(classNumber, unicode.N)
	spans(classNumber|classWord, newNumbers)
	table(classMark|classWord, unicode.M)
	spans(classMark|classWord, newMarks)
	table(classSpace, unicode.White_Space)
	table(classWord, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Other_Lowercase,
		unicode.Other_Uppercase, unicode.Join_Control)
	table(classUpper, unicode.Lu, unicode.Lt)
	spans(classUpper, newUpper)
	table(classLower, unicode.Ll)
	spans(classLower, newLower)
	table(classPunct, unicode.P)
	spans(classPunct, morePunct)
	for _, s := range lessPunct {
		for r := s.lo; r <= s.hi; r++ {
			t[r] &^= classPunct
		}
	}
	return t
}
