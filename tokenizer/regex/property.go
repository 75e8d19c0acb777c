package regex

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"lep/tokenizer/ucd"
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
	return ucd.IsWord(r)
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
		return ucd.IsLetter
	case "n", "number":
		return ucd.IsNumber
	case "m", "mark", "combiningmark":
		return ucd.IsMark
	case "lu", "uppercaseletter":
		return func(r rune) bool { return ucd.Of(r)&ucd.Upper != 0 && !unicode.Is(unicode.Lt, r) }
	case "ll", "lowercaseletter":
		return func(r rune) bool { return ucd.Of(r)&ucd.Lower != 0 }
	case "lm", "modifierletter":
		return ucd.IsModifierLetter
	case "lo", "otherletter":
		return func(r rune) bool {
			return ucd.Of(r)&(ucd.Letter|ucd.Upper|ucd.Lower) == ucd.Letter && !ucd.IsModifierLetter(r)
		}
	case "p", "punct", "punctuation":
		return ucd.IsPunctuation
	case "s", "symbol":
		return ucd.IsSymbol
	case "c", "other":
		return ucd.IsOther
	case "cn", "unassigned":
		return func(r rune) bool {
			return ucd.IsOther(r) && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
		}
	case "nd", "decimalnumber", "digit":
		return ucd.IsDigit
	case "han":
		return func(r rune) bool { return unicode.Is(unicode.Han, r) || r >= 0x2EBF0 && r <= 0x2EE5D }
	case "cyrillic":
		return func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) || r == 0x1C89 || r == 0x1C8A }
	case "any":
		return func(rune) bool { return true }
	case "ascii":
		return func(r rune) bool { return r < utf8.RuneSelf }
	case "space", "whitespace":
		return ucd.IsSpace
	case "word":
		return onigWord
	case "alpha", "alphabetic":
		return ucd.IsAlphabetic
	case "alnum":
		return func(r rune) bool { return ucd.IsAlphabetic(r) || ucd.IsDigit(r) }
	case "xdigit":
		return func(r rune) bool { return unicode.Is(unicode.ASCII_Hex_Digit, r) }
	case "upper", "uppercase":
		return ucd.IsUppercase
	case "lower", "lowercase":
		return ucd.IsLowercase
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
