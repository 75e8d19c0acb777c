package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Unicode 16.0 minus 15.0 where a pattern may ask for more than classOf knows.
var (
	newPunctuation = []runeRange{{0x1B4E, 0x1B4F}, {0x1B7F, 0x1B7F}, {0x10D6E, 0x10D6E}, {0x113D4, 0x113D5}, {0x113D7, 0x113D8},
		{0x11BE1, 0x11BE1}, {0x16D6D, 0x16D6F}, {0x1E5FF, 0x1E5FF}}
	newSymbols = []runeRange{{0x2427, 0x2429}, {0x2FFC, 0x2FFF}, {0x31E4, 0x31E5}, {0x31EF, 0x31EF}, {0x10D8E, 0x10D8F}, {0x1CC00, 0x1CCEF},
		{0x1CD00, 0x1CEB3}, {0x1F8B2, 0x1F8BB}, {0x1F8C0, 0x1F8C1}, {0x1FA89, 0x1FA89}, {0x1FA8F, 0x1FA8F}, {0x1FABE, 0x1FABE},
		{0x1FAC6, 0x1FAC6}, {0x1FADC, 0x1FADC}, {0x1FADF, 0x1FADF}, {0x1FAE9, 0x1FAE9}, {0x1FBCB, 0x1FBEF}}
	newModifiers  = []runeRange{{0x10D4E, 0x10D4E}, {0x10D6F, 0x10D6F}, {0x16D40, 0x16D42}, {0x16D6B, 0x16D6C}}
	newAlphabetic = []runeRange{{0x363, 0x36F}, {0x897, 0x897}, {0x1DD3, 0x1DE6}, {0x10D69, 0x10D69}, {0x10EFC, 0x10EFC},
		{0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113CD}, {0x1611E, 0x1612E}}
)

// onigWord is Oniguruma's \w: Alphabetic, marks, decimal digits, connectors, and the
// raised and broken numbers of Latin-1.
func onigWord(r rune) bool {
	switch r {
	case '²', '³', '¹', '¼', '½', '¾':
		return true
	case 0x200C, 0x200D:
		return false
	}
	return isWord(r)
}

func isDigit(r rune) bool { return unicode.Is(unicode.Nd, r) || inRanges(newNumbers, r) }

func isAlphabetic(r rune) bool {
	return isLetter(r) || unicode.In(r, unicode.Nl, unicode.Other_Alphabetic) || inRanges(newAlphabetic, r)
}

func isPunct(r rune) bool { return unicode.Is(unicode.P, r) || inRanges(newPunctuation, r) }

func isSymbol(r rune) bool { return unicode.Is(unicode.S, r) || inRanges(newSymbols, r) }

func isModifier(r rune) bool { return unicode.Is(unicode.Lm, r) || inRanges(newModifiers, r) }

// isOther is \p{C}: what is none of letter, mark, number, punctuation, symbol, separator.
func isOther(r rune) bool {
	return classOf(r)&(classLetter|classMark|classNumber) == 0 && !isPunct(r) && !isSymbol(r) && !unicode.Is(unicode.Z, r)
}

// property returns the set of \p{name}: a general category, a script, or one of
// the names of POSIX classes. Case, spaces, '-' and '_' do not matter.
func property(name string) (runeSet, error) {
	plain, not := strings.CutPrefix(name, "^")
	plain = plainName(plain)
	set := namedSet(plain)
	if set == nil {
		return nil, fmt.Errorf("unknown property %q", name)
	}
	if not {
		set = set.negated()
	}
	return set, nil
}

func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

func namedSet(name string) runeSet {
	switch name {
	case "l", "letter":
		return isLetter
	case "n", "number":
		return isNumber
	case "m", "mark", "combiningmark":
		return isMark
	case "lu", "uppercaseletter":
		return func(r rune) bool { return classOf(r)&classUpper != 0 && !unicode.Is(unicode.Lt, r) }
	case "ll", "lowercaseletter":
		return func(r rune) bool { return classOf(r)&classLower != 0 }
	case "lm", "modifierletter":
		return isModifier
	case "lo", "otherletter":
		return func(r rune) bool {
			return classOf(r)&(classLetter|classUpper|classLower) == classLetter && !isModifier(r)
		}
	case "p", "punct", "punctuation":
		return isPunct
	case "s", "symbol":
		return isSymbol
	case "c", "other":
		return isOther
	case "cn", "unassigned":
		return func(r rune) bool { return isOther(r) && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) }
	case "nd", "decimalnumber", "digit":
		return isDigit
	case "han":
		return func(r rune) bool { return unicode.Is(unicode.Han, r) || r >= 0x2EBF0 && r <= 0x2EE5D }
	case "cyrillic":
		return func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) || r == 0x1C89 || r == 0x1C8A }
	case "any":
		return func(rune) bool { return true }
	case "ascii":
		return func(r rune) bool { return r < utf8.RuneSelf }
	case "space", "whitespace":
		return isSpace
	case "word":
		return onigWord
	case "alpha", "alphabetic":
		return isAlphabetic
	case "alnum":
		return func(r rune) bool { return isAlphabetic(r) || isDigit(r) }
	case "xdigit":
		return func(r rune) bool { return unicode.Is(unicode.ASCII_Hex_Digit, r) }
	case "upper", "uppercase":
		return func(r rune) bool { return unicode.In(r, unicode.Lu, unicode.Other_Uppercase) || inRanges(newUpper, r) }
	case "lower", "lowercase":
		return func(r rune) bool { return unicode.In(r, unicode.Ll, unicode.Other_Lowercase) || inRanges(newLower, r) }
	case "cntrl":
		return unicode.IsControl
	}
	for _, tables := range []map[string]*unicode.RangeTable{unicode.Categories, unicode.Scripts, unicode.Properties} {
		for key, table := range tables {
			if plainName(key) == name {
				return func(r rune) bool { return unicode.Is(table, r) }
			}
		}
	}
	for alias, category := range unicode.CategoryAliases {
		if plainName(alias) == name {
			return func(r rune) bool { return unicode.Is(unicode.Categories[category], r) }
		}
	}
	return nil
}
