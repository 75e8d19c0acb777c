package tokenizer

import "unicode/utf8"

// The byte alphabet of GPT-2 spells each byte as one printable letter: ASCII and
// Latin-1 letters stand for themselves, the other 68 bytes follow from U+0100 on,
// so that a space is "Ġ".

// byteLetter is the letter of a byte.
func byteLetter(b byte) rune {
	switch {
	case b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE:
		return rune(b)
	case b <= ' ':
		return 0x100 + rune(b)
	case b <= 0xA0:
		return 0x100 + 33 + rune(b-0x7F)
	}
	return 0x143 // U+00AD, the soft hyphen
}

// letterByte is the inverse of byteLetter.
func letterByte(r rune) (byte, bool) {
	switch {
	case r >= '!' && r <= '~' || r >= 0xA1 && r <= 0xFF && r != 0xAD:
		return byte(r), true
	case r >= 0x100 && r <= 0x120:
		return byte(r - 0x100), true
	case r >= 0x121 && r <= 0x142:
		return byte(r - 0x121 + 0x7F), true
	case r == 0x143:
		return 0xAD, true
	}
	return 0, false
}

// appendLetters spells s in the byte alphabet.
func appendLetters(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteLetter(s[i]))
	}
	return dst
}

// appendBytes undoes appendLetters; false if s has a letter outside the alphabet.
func appendBytes(dst []byte, s string) ([]byte, bool) {
	n := len(dst)
	for _, r := range s {
		b, ok := letterByte(r)
		if !ok {
			return dst[:n], false
		}
		dst = append(dst, b)
	}
	return dst, true
}
