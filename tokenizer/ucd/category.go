package ucd

import "unicode"

// Unicode 16.0 minus 15.0 where it takes more than a Class.
var (
	newPunctuation = Ranges{{0x1B4E, 0x1B4F}, {0x1B7F, 0x1B7F}, {0x10D6E, 0x10D6E}, {0x113D4, 0x113D5}, {0x113D7, 0x113D8},
		{0x11BE1, 0x11BE1}, {0x16D6D, 0x16D6F}, {0x1E5FF, 0x1E5FF}}
	newSymbols = Ranges{{0x2427, 0x2429}, {0x2FFC, 0x2FFF}, {0x31E4, 0x31E5}, {0x31EF, 0x31EF}, {0x10D8E, 0x10D8F}, {0x1CC00, 0x1CCEF},
		{0x1CD00, 0x1CEB3}, {0x1F8B2, 0x1F8BB}, {0x1F8C0, 0x1F8C1}, {0x1FA89, 0x1FA89}, {0x1FA8F, 0x1FA8F}, {0x1FABE, 0x1FABE},
		{0x1FAC6, 0x1FAC6}, {0x1FADC, 0x1FADC}, {0x1FADF, 0x1FADF}, {0x1FAE9, 0x1FAE9}, {0x1FBCB, 0x1FBEF}}
	newModifiers  = Ranges{{0x10D4E, 0x10D4E}, {0x10D6F, 0x10D6F}, {0x16D40, 0x16D42}, {0x16D6B, 0x16D6C}}
	newAlphabetic = Ranges{{0x363, 0x36F}, {0x897, 0x897}, {0x1DD3, 0x1DE6}, {0x10D69, 0x10D69}, {0x10EFC, 0x10EFC},
		{0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113CD}, {0x1611E, 0x1612E}}
)

// IsDigit reports whether r is in \p{Nd}.
func IsDigit(r rune) bool { return unicode.Is(unicode.Nd, r) || newNumbers.Has(r) }

// IsAlphabetic reports whether r is Alphabetic.
func IsAlphabetic(r rune) bool {
	return IsLetter(r) || unicode.In(r, unicode.Nl, unicode.Other_Alphabetic) || newAlphabetic.Has(r)
}

// IsPunctuation reports whether r is in \p{P}.
func IsPunctuation(r rune) bool { return unicode.Is(unicode.P, r) || newPunctuation.Has(r) }

// IsSymbol reports whether r is in \p{S}.
func IsSymbol(r rune) bool { return unicode.Is(unicode.S, r) || newSymbols.Has(r) }

// IsModifierLetter reports whether r is in \p{Lm}.
func IsModifierLetter(r rune) bool { return unicode.Is(unicode.Lm, r) || newModifiers.Has(r) }

// IsOther reports whether r is in \p{C}: none of letter, mark, number, punctuation, symbol, separator.
func IsOther(r rune) bool {
	return Of(r)&(Letter|Mark|Number) == 0 && !IsPunctuation(r) && !IsSymbol(r) && !unicode.Is(unicode.Z, r)
}

// IsUppercase reports whether r is Uppercase, which is more than \p{Lu}.
func IsUppercase(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Other_Uppercase) || newUpper.Has(r)
}

// IsLowercase reports whether r is Lowercase, which is more than \p{Ll}.
func IsLowercase(r rune) bool {
	return unicode.In(r, unicode.Ll, unicode.Other_Lowercase) || newLower.Has(r)
}

// ToLower is Rust's char::to_lowercase (Unicode 17), but for İ, whose lower case is two
// characters. Capital sigma becomes σ wherever it stands.
func ToLower(r rune) rune {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	switch {
	case r < 0x1C89:
		return unicode.ToLower(r)
	case r == 0x1C89 || r == 0xA7CC || r == 0xA7CE || r == 0xA7D2 || r == 0xA7D4 || r == 0xA7DA:
		return r + 1
	case r == 0xA7CB:
		return 0x264
	case r == 0xA7DC:
		return 0x19B
	case r >= 0x10D50 && r <= 0x10D65:
		return r + 0x20
	case r >= 0x16EA0 && r <= 0x16EB8:
		return r + 0x1B
	}
	return unicode.ToLower(r)
}
