package tokenizer

import (
	"strings"

	"lep/tokenizer/ucd"
)

// pattern finds the matches of a split pattern one after the other.
type pattern interface {
	// Next returns the first match that begins at byte from or later. A match may be
	// empty; the caller then goes on one character further.
	Next(s string, from int) (start, end int, ok bool)
}

// scanner is a split pattern that everybody uses, written out by hand. Such a
// pattern matches at every position, so that its matches are a partition of the
// text. The function returns the end of the match that begins at byte i < len(s).
// A byte that is no UTF-8 counts as a character that is neither letter, number nor
// space.
type scanner func(s string, i int) int

func (f scanner) Next(s string, from int) (start, end int, ok bool) {
	if from >= len(s) {
		return 0, 0, false
	}
	return from, f(s, from), true
}

// scanners are the hand-written patterns by their spelling in tokenizer.json.
var scanners = map[string]scanner{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                          scanGPT2,
	`(?:'s|'t|'re|'ve|'m|'ll|'d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                      scanGPT2,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: scanLlama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      scanQwen2,
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`: scanO200k,
	`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`:                                                                scanTekken,
}

const classLN = ucd.Letter | ucd.Number

// run returns the end of the characters from i on that have one of the wanted
// properties.
func run(s string, i int, want ucd.Class) int {
	for i < len(s) {
		c, size := ucd.At(s, i)
		if c&want == 0 {
			break
		}
		i += size
	}
	return i
}

// runNot returns the end of the characters from i on that have none of the
// properties.
func runNot(s string, i int, without ucd.Class) int {
	for i < len(s) {
		c, size := ucd.At(s, i)
		if c&without != 0 {
			break
		}
		i += size
	}
	return i
}

func runOf(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
		i++
	}
	return i
}

// contraction returns the end of (?:'s|'t|'re|'ve|'m|'ll|'d) at byte i, or i. With
// fold, case is folded as Unicode does: 'ſ is 's.
func contraction(s string, i int, fold bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return i
	}
	lower := func(at int) byte {
		if at >= len(s) {
			return 0
		}
		if c := s[at]; fold && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return s[at]
	}
	a, b := lower(i+1), lower(i+2)
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return i + 2
	case a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l':
		return i + 3
	case fold && strings.HasPrefix(s[i+1:], "ſ"):
		return i + 1 + len("ſ")
	}
	return i
}

// spaces returns the end of \s+(?!\S)|\s+ at byte i: all white space, but not the
// last character of it in front of something else.
func spaces(s string, i int) int {
	end, last := i, i
	for end < len(s) {
		c, size := ucd.At(s, end)
		if c&ucd.Space == 0 {
			break
		}
		last = end
		end += size
	}
	if end < len(s) && last > i {
		return last
	}
	return end
}

// lines returns the end of \s*[\r\n]+|\s+(?!\S)|\s+ at byte i: white space up to
// its last line break, else spaces.
func lines(s string, i int) int {
	newline := 0
	for end := i; end < len(s); {
		c, size := ucd.At(s, end)
		if c&ucd.Space == 0 {
			break
		}
		if s[end] == '\n' || s[end] == '\r' {
			newline = end + 1
		}
		end += size
	}
	if newline > 0 {
		return newline
	}
	return spaces(s, i)
}

func scanGPT2(s string, i int) int {
	if end := contraction(s, i, false); end > i {
		return end
	}
	j := i
	if s[i] == ' ' && i+1 < len(s) {
		j++
	}
	c, size := ucd.At(s, j)
	switch {
	case c&ucd.Letter != 0:
		return run(s, j+size, ucd.Letter)
	case c&ucd.Number != 0:
		return run(s, j+size, ucd.Number)
	case c&ucd.Space == 0:
		return runNot(s, j+size, classLN|ucd.Space)
	}
	return spaces(s, i)
}

func scanLlama3(s string, i int) int { return scanCL100k(s, i, 3) }
func scanQwen2(s string, i int) int  { return scanCL100k(s, i, 1) }

// scanCL100k is the pattern of cl100k_base and its descendants, which differ in
// how many digits go together.
func scanCL100k(s string, i, digits int) int {
	c, size := ucd.At(s, i)
	if c&ucd.Letter != 0 {
		return run(s, i+size, ucd.Letter)
	}
	if c&ucd.Number != 0 {
		return numbers(s, i+size, digits-1)
	}
	if end := contraction(s, i, true); end > i {
		return end
	}
	next, nextSize := ucd.Space, 0
	if i+size < len(s) {
		next, nextSize = ucd.At(s, i+size)
	}
	if s[i] != '\r' && s[i] != '\n' && next&ucd.Letter != 0 {
		return run(s, i+size+nextSize, ucd.Letter)
	}
	return otherOrSpace(s, i, c, size, next, "\r\n")
}

// numbers returns the end of at most n further numbers from i on.
func numbers(s string, i, n int) int {
	for ; n > 0 && i < len(s); n-- {
		c, size := ucd.At(s, i)
		if c&ucd.Number == 0 {
			break
		}
		i += size
	}
	return i
}

// otherOrSpace is the common end of the newer patterns,
// ␣?[^\s\p{L}\p{N}]+[trail]*|\s*[\r\n]+|\s+(?!\S)|\s+, at a character that is neither
// letter nor number.
func otherOrSpace(s string, i int, c ucd.Class, size int, next ucd.Class, trail string) int {
	switch {
	case c&ucd.Space == 0:
		return runOf(s, runNot(s, i+size, classLN|ucd.Space), trail)
	case s[i] == ' ' && next&(classLN|ucd.Space) == 0:
		return runOf(s, runNot(s, i+1, classLN|ucd.Space), trail)
	}
	return lines(s, i)
}

func scanO200k(s string, i int) int  { return scanCased(s, i, 3, true) }
func scanTekken(s string, i int) int { return scanCased(s, i, 1, false) }

// scanCased is the pattern of o200k_base and of Mistral's tekken. A word is
// capitals and then small letters; letters without case and marks are both.
func scanCased(s string, i, digits int, contractions bool) int {
	c, size := ucd.At(s, i)
	if end := casedWord(s, i, c, size); end > i {
		if contractions {
			return contraction(s, end, true)
		}
		return end
	}
	if c&ucd.Number != 0 {
		return numbers(s, i+size, digits-1)
	}
	next := ucd.Space
	if i+size < len(s) {
		next, _ = ucd.At(s, i+size)
	}
	return otherOrSpace(s, i, c, size, next, "\r\n/")
}

// casedWord is [^\r\n\p{L}\p{N}]?U*W+|[^\r\n\p{L}\p{N}]?U+W*, where U is capitals and W
// small letters. It returns i if neither matches at byte i. A mark is tried as the
// character in front of a word first.
func casedWord(s string, i int, c ucd.Class, size int) int {
	before := i
	if c&classLN == 0 && s[i] != '\r' && s[i] != '\n' {
		before = i + size
	}
	for _, small := range []bool{true, false} {
		if before > i {
			if end := capitalsSmall(s, before, small); end > before {
				return end
			}
		}
		if c&(ucd.Letter|ucd.Mark) != 0 {
			if end := capitalsSmall(s, i, small); end > i {
				return end
			}
		}
	}
	return i
}

// capitalsSmall is U*W+, or U+W* if small is false, at byte i; i if it does not match.
func capitalsSmall(s string, i int, small bool) int {
	capitals, backtrack := i, i // backtrack: end of the last of the capitals that is in W, too
	for capitals < len(s) {
		c, size := ucd.At(s, capitals)
		if c&(ucd.Letter|ucd.Mark) == 0 || c&ucd.Lower != 0 {
			break
		}
		capitals += size
		if c&ucd.Upper == 0 {
			backtrack = capitals
		}
	}
	end := capitals
	for end < len(s) {
		c, size := ucd.At(s, end)
		if c&(ucd.Letter|ucd.Mark) == 0 || c&ucd.Upper != 0 {
			break
		}
		end += size
	}
	switch {
	case end > capitals:
		if !small && capitals == i {
			return i
		}
		return end
	case small:
		return backtrack
	}
	return capitals
}
