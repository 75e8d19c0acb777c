package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxJSONDepth bounds how deep a tokenizer.json may nest; real ones stay under 12.
const maxJSONDepth = 64

// cursor reads JSON from front to back in one pass. A tokenizer.json is mostly
// two tables of some hundred thousand short strings, which encoding/json reads
// several times slower because it goes over nested values once per level.
type cursor struct {
	data []byte
	pos  int
}

// errorf says what is wrong and on which line of the file.
func (c *cursor) errorf(format string, args ...any) error {
	line := 1
	for _, b := range c.data[:min(c.pos, len(c.data))] {
		if b == '\n' {
			line++
		}
	}
	return fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...))
}

// peek returns the next byte that is not white space, 0 at the end.
func (c *cursor) peek() byte {
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

func (c *cursor) expect(want byte) error {
	if got := c.peek(); got != want {
		if got == 0 {
			return c.errorf("the file ends where %q should stand", want)
		}
		return c.errorf("%q where %q should stand", got, want)
	}
	c.pos++
	return nil
}

// list calls item for each element of an array or, with open '{', for each key
// of an object, at which the cursor then stands.
func (c *cursor) list(open, end byte, item func() error) error {
	if err := c.expect(open); err != nil {
		return err
	}
	if c.peek() == end {
		c.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch b := c.peek(); b {
		case ',':
			c.pos++
		case end:
			c.pos++
			return nil
		case 0:
			return c.errorf("the file ends behind a value")
		default:
			return c.errorf("no ',' or %q behind a value", end)
		}
	}
}

func (c *cursor) array(item func() error) error { return c.list('[', ']', item) }

func (c *cursor) object(value func(key string) error) error {
	return c.list('{', '}', func() error {
		key, err := c.str()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		return value(key)
	})
}

// str reads a string. Escaped lone surrogates are refused: no UTF-8 spells them.
func (c *cursor) str() (string, error) {
	if err := c.expect('"'); err != nil {
		return "", err
	}
	start := c.pos
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; {
		case b == '"':
			s := string(c.data[start:c.pos])
			c.pos++
			if !utf8.ValidString(s) {
				return "", c.errorf("string %q is not UTF-8", s)
			}
			return s, nil
		case b == '\\':
			return c.escaped(start)
		case b < ' ':
			return "", c.errorf("control character in a string")
		default:
			c.pos++
		}
	}
	return "", c.errorf("a string has no end")
}

// escaped is str from the first backslash on.
func (c *cursor) escaped(start int) (string, error) {
	end := c.pos
	for end < len(c.data) && c.data[end] != '"' {
		if c.data[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(c.data) {
		return "", c.errorf("a string has no end")
	}
	raw := c.data[start-1 : end+1]
	if hasLoneSurrogate(raw) {
		return "", c.errorf("string %s has half a surrogate pair", raw)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", c.errorf("string %.40q: %w", raw, err)
	}
	if !utf8.Valid(raw) {
		return "", c.errorf("string %.40q is not UTF-8", raw)
	}
	c.pos = end + 1
	return s, nil
}

func hasLoneSurrogate(raw []byte) bool {
	high := false
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		i++
		if i >= len(raw) || raw[i] != 'u' || i+5 > len(raw) {
			if high {
				return true
			}
			continue
		}
		u, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 32)
		if err != nil {
			return false // json.Unmarshal says what is wrong
		}
		i += 4
		switch low := u >= 0xDC00 && u <= 0xDFFF; {
		case high != low:
			return true
		default:
			high = u >= 0xD800 && u <= 0xDBFF
		}
	}
	return high
}

// raw returns the text of the next value, checked to be JSON.
func (c *cursor) raw() (json.RawMessage, error) {
	c.peek()
	start := c.pos
	if err := c.skip(0); err != nil {
		return nil, err
	}
	v := c.data[start:c.pos]
	if !json.Valid(v) {
		return nil, c.errorf("invalid JSON")
	}
	if !utf8.Valid(v) {
		return nil, c.errorf("the text is not UTF-8")
	}
	return append(json.RawMessage(nil), v...), nil
}

func (c *cursor) skip(depth int) error {
	if depth > maxJSONDepth {
		return c.errorf("nested deeper than %d", maxJSONDepth)
	}
	switch b := c.peek(); b {
	case '{':
		return c.object(func(string) error { return c.skip(depth + 1) })
	case '[':
		return c.array(func() error { return c.skip(depth + 1) })
	case '"':
		_, err := c.str()
		return err
	case 0:
		return c.errorf("the file ends in the middle")
	default:
		if c.word() == "" {
			return c.errorf("%q where a value should stand", b)
		}
		return nil
	}
}

// word reads a number, true, false or null as it is spelled.
func (c *cursor) word() string {
	c.peek()
	start := c.pos
	for c.pos < len(c.data) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", c.data[c.pos]) >= 0 {
		c.pos++
	}
	return string(c.data[start:c.pos])
}

// null reads a null if one stands here.
func (c *cursor) null() bool {
	if c.peek() != 'n' || c.pos+4 > len(c.data) || string(c.data[c.pos:c.pos+4]) != "null" {
		return false
	}
	c.pos += 4
	return true
}

func (c *cursor) boolean() (bool, error) {
	switch w := c.word(); w {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, c.errorf("%q where true or false should stand", w)
	}
}

// id reads a token id.
func (c *cursor) id() (int32, error) {
	w := c.word()
	n, err := strconv.ParseUint(w, 10, 32)
	if err != nil || n >= maxTokens || len(w) > 1 && w[0] == '0' {
		return 0, c.errorf("token id %.40s: want a whole number from 0 to %d", w, maxTokens-1)
	}
	return int32(n), nil
}

// score reads a number as serde_json does without its float_roundtrip feature:
// all digits as one integer, divided or multiplied by a power of ten; digits that
// do not fit 64 bits are left out. That is up to one unit in the last place off
// the nearest double, and some ties between Unigram paths hang on it.
func (c *cursor) score() (float64, error) {
	w := c.word()
	if _, err := strconv.ParseFloat(w, 64); err != nil || !json.Valid([]byte(w)) {
		return 0, c.errorf("score %q is not a finite number", w)
	}
	s, negative := strings.CutPrefix(w, "-")
	digits, tail, _ := strings.Cut(strings.ToLower(s), "e")
	exponent := 0
	if tail != "" {
		n, err := strconv.Atoi(tail)
		if err != nil || n < -10_000 || n > 10_000 {
			return 0, c.errorf("score %q: the exponent is out of range", w)
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	mantissa, full := uint64(0), false
	add := func(d byte) bool {
		full = full || mantissa > (1<<64-1-uint64(d-'0'))/10
		if !full {
			mantissa = mantissa*10 + uint64(d-'0')
		}
		return !full
	}
	for i := range len(whole) {
		if !add(whole[i]) {
			exponent++
		}
	}
	for i := range len(fraction) {
		if add(fraction[i]) {
			exponent--
		}
	}
	v := float64(mantissa)
	if exponent >= 0 {
		v *= power10(exponent)
	} else {
		for ; exponent < -308 && v != 0; exponent += 308 {
			v /= 1e308
		}
		if v != 0 {
			v /= power10(-exponent)
		}
	}
	if negative {
		v = -v
	}
	return v, nil
}

// power10 returns the double nearest to 10^n; math.Pow10 multiplies two factors.
func power10(n int) float64 {
	v, err := strconv.ParseFloat("1e"+strconv.Itoa(min(n, 308)), 64)
	if err != nil {
		panic("tokenizer: 1e308 and below are doubles")
	}
	return v
}
