package regex

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"lep/tokenizer/ucd"
)

// runeSet says which characters a class holds.
type runeSet func(r rune) bool

func (s runeSet) negated() runeSet { return func(r rune) bool { return !s(r) } }

// folded holds r if s holds a character that differs from r only in case.
func (s runeSet) folded() runeSet {
	return func(r rune) bool {
		if s(r) {
			return true
		}
		for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
			if s(x) {
				return true
			}
		}
		return false
	}
}

// charSet is a runeSet with a table of the characters of one and two bytes.
type charSet struct {
	low  [0x800 / 64]uint64
	rest runeSet
}

func newCharSet(s runeSet) charSet {
	c := charSet{rest: s}
	for r := range rune(0x800) {
		if s(r) {
			c.low[r>>6] |= 1 << (r & 63)
		}
	}
	return c
}

// matchAt returns the size of the character at byte i if it is in the set, else 0.
func (c *charSet) matchAt(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	if r < 0x800 {
		return size * int(c.low[r>>6]>>(r&63)&1)
	}
	if !c.rest(r) {
		return 0
	}
	return size
}

// class reads a character class behind its '[': ranges, escapes, [:names:], nested
// classes, and intersections with &&.
func (p *parser) class(depth int) (runeSet, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("classes nested deeper than %d", maxDepth)
	}
	not := p.take("^")
	var members, sides []runeSet
	for first := true; ; first = false {
		switch {
		case !p.more():
			return nil, errors.New("'[' without ']'")
		case !first && p.take("]"):
			set := intersection(append(sides, union(members)))
			if not {
				set = set.negated()
			}
			return set, nil
		case p.take("&&"):
			sides = append(sides, union(members))
			members = nil
			continue
		case strings.HasPrefix(p.text[p.pos:], "[:"):
			set, err := p.posix()
			if err != nil {
				return nil, err
			}
			members = append(members, set)
			continue
		case p.take("["):
			set, err := p.class(depth + 1)
			if err != nil {
				return nil, err
			}
			members = append(members, set)
			continue
		}
		set, err := p.classMember()
		if err != nil {
			return nil, err
		}
		members = append(members, set)
	}
}

// classMember reads one character, a range or an escaped set.
func (p *parser) classMember() (runeSet, error) {
	low := p.rune()
	if low == '\\' {
		set, r, err := p.escapedSet()
		if err != nil || r < 0 {
			return set, err
		}
		low = r
	}
	rest := p.text[p.pos:]
	if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' || rest[1] == '[' {
		return func(r rune) bool { return r == low }, nil
	}
	p.pos++
	high := p.rune()
	if high == '\\' {
		_, r, err := p.escapedSet()
		if err != nil {
			return nil, err
		}
		if r < 0 {
			return nil, errors.New("a range ends in a class")
		}
		high = r
	}
	if high < low {
		return nil, fmt.Errorf("the range %q-%q is empty", low, high)
	}
	return func(r rune) bool { return r >= low && r <= high }, nil
}

func union(members []runeSet) runeSet {
	return func(r rune) bool {
		for _, m := range members {
			if m(r) {
				return true
			}
		}
		return false
	}
}

func intersection(sides []runeSet) runeSet {
	if len(sides) == 1 {
		return sides[0]
	}
	return func(r rune) bool {
		for _, s := range sides {
			if !s(r) {
				return false
			}
		}
		return true
	}
}

// posix reads [:name:].
func (p *parser) posix() (runeSet, error) {
	end := strings.Index(p.text[p.pos:], ":]")
	if end < 0 {
		return nil, errors.New("\"[:\" without \":]\"")
	}
	name := p.text[p.pos+2 : p.pos+end]
	p.pos += end + 2
	return property(name)
}

// escapedSet reads what stands behind a backslash, in a class or outside. For a
// single character it is returned, too, else -1.
func (p *parser) escapedSet() (runeSet, rune, error) {
	if !p.more() {
		return nil, -1, errors.New("a backslash at the end")
	}
	c := p.rune()
	var set runeSet
	switch unicode.ToLower(c) {
	case 's':
		set = ucd.IsSpace
	case 'w':
		set = onigWord
	case 'd':
		set = ucd.IsDigit
	case 'h':
		set = func(r rune) bool { return unicode.Is(unicode.ASCII_Hex_Digit, r) }
	case 'p':
		end := strings.IndexByte(p.text[p.pos:], '}')
		if !p.take("{") || end < 0 {
			return nil, -1, errors.New(`\p without {name}`)
		}
		name := p.text[p.pos : p.pos+end-1]
		p.pos += end
		var err error
		if set, err = property(name); err != nil {
			return nil, -1, err
		}
	}
	if set != nil {
		if unicode.IsUpper(c) {
			set = set.negated()
		}
		return set, -1, nil
	}
	r, err := p.escapedRune(c)
	return func(x rune) bool { return x == r }, r, err
}

func (p *parser) escapedRune(c rune) (rune, error) {
	if i := strings.IndexRune("nrtfvae", c); i >= 0 {
		return rune("\n\r\t\f\v\a\x1b"[i]), nil
	}
	hex := func(most int) (rune, error) {
		n := 0
		for n < most && p.pos+n < len(p.text) && strings.IndexByte("0123456789abcdefABCDEF", p.text[p.pos+n]) >= 0 {
			n++
		}
		v, err := strconv.ParseUint(p.text[p.pos:p.pos+n], 16, 32)
		if err != nil || v > utf8.MaxRune {
			return 0, fmt.Errorf("\\%c without a hexadecimal code point", c)
		}
		p.pos += n
		return rune(v), nil
	}
	switch {
	case c == 'x' && p.take("{"):
		r, err := hex(8)
		if err == nil && !p.take("}") {
			err = errors.New(`\x{ without }`)
		}
		return r, err
	case c == 'x':
		return hex(2)
	case c == 'u':
		return hex(4)
	case c >= '0' && c <= '9', c < utf8.RuneSelf && unicode.IsLetter(c):
		return 0, fmt.Errorf("\\%c is not supported", c)
	}
	return c, nil
}
