package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonText returns the text field of a JSON object, or the object itself with
// RawJSON. The whole object is checked.
func jsonText(data []byte, opts Options) (string, error) {
	p := jsonParser{data: data}
	if p.peek() != '{' {
		return "", fmt.Errorf("not a JSON object (begins with %q)", firstRune(data))
	}
	p.field = opts.TextField
	p.lenient = opts.ReplaceInvalid
	err := p.value(0)
	if err == nil && p.peek() != 0 {
		err = p.errorf("something follows the JSON object")
	}
	switch {
	case err != nil:
		return "", err
	case opts.RawJSON:
		return string(data), nil
	case p.found:
		return p.text, nil
	case p.other != "":
		return "", fmt.Errorf("field %q is %s, want a string", opts.TextField, p.other)
	}
	return "", fmt.Errorf("no field %q (fields: %s)", opts.TextField, strings.Join(firstFew(p.keys, 8), ", "))
}

func firstRune(data []byte) rune {
	r, _ := utf8.DecodeRune(data)
	return r
}

// jsonParser checks one JSON value (RFC 8259) and picks a string out of the
// outermost object on the way. It is three times as fast as encoding/json here,
// and unlike it refuses lone surrogates.
type jsonParser struct {
	data    []byte
	i       int
	field   string
	lenient bool // lone surrogates become U+FFFD

	found bool
	text  string
	other string   // what the field is instead of a string
	keys  []string // first few, for the error
}

const maxJSONDepth = 200

func (p *jsonParser) errorf(format string, args ...any) error {
	return fmt.Errorf("broken JSON at byte %d of the row: "+format, append([]any{p.i}, args...)...)
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	for p.i < len(p.data) {
		switch c := p.data[p.i]; c {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return c
		}
	}
	return 0
}

func (p *jsonParser) value(depth int) error {
	if depth > maxJSONDepth {
		return p.errorf("nested deeper than %d", maxJSONDepth)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		_, _, err := p.string()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.i >= len(p.data):
		return p.errorf("it ends too early")
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.data[p.i:], []byte(word)) {
			p.i += len(word)
			return nil
		}
	}
	return p.errorf("%q is no value", firstRune(p.data[p.i:]))
}

func (p *jsonParser) object(depth int) error {
	p.i++
	if p.peek() == '}' {
		p.i++
		return nil
	}
	for {
		if p.peek() != '"' {
			return p.unexpected("a field name")
		}
		key, escaped, err := p.string()
		if err != nil {
			return err
		}
		if p.peek() != ':' {
			return p.unexpected("':'")
		}
		p.i++
		if depth == 0 {
			err = p.member(key, escaped)
		} else {
			err = p.value(depth + 1)
		}
		if err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.i++
		case '}':
			p.i++
			return nil
		default:
			return p.unexpected("',' or '}'")
		}
	}
}

// member reads a value of the outermost object.
func (p *jsonParser) member(key []byte, escaped bool) error {
	name := string(key)
	if escaped {
		var err error
		if name, err = p.unescape(key); err != nil {
			return err
		}
	}
	if name != p.field {
		if len(p.keys) < 9 {
			p.keys = append(p.keys, name)
		}
		return p.value(1)
	}
	switch c := p.peek(); {
	case c == '"':
		raw, escaped, err := p.string()
		if err != nil {
			return err
		}
		p.found = true
		if !escaped {
			p.text = string(raw)
			return nil
		}
		p.text, err = p.unescape(raw)
		return err
	case c == '{':
		p.other = "an object"
	case c == '[':
		p.other = "an array"
	case c == 'n':
		p.other = "null"
	case c == 't' || c == 'f':
		p.other = "a boolean"
	default:
		p.other = "a number"
	}
	p.found = false
	return p.value(1)
}

func (p *jsonParser) array(depth int) error {
	p.i++
	if p.peek() == ']' {
		p.i++
		return nil
	}
	for {
		if err := p.value(depth + 1); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.i++
		case ']':
			p.i++
			return nil
		default:
			return p.unexpected("',' or ']'")
		}
	}
}

func (p *jsonParser) unexpected(want string) error {
	if p.i >= len(p.data) {
		return p.errorf("it ends before %s", want)
	}
	return p.errorf("%q, want %s", firstRune(p.data[p.i:]), want)
}

// string returns the inside of a string literal and whether it has escapes.
func (p *jsonParser) string() (raw []byte, escaped bool, err error) {
	p.i++
	start := p.i
	for p.i < len(p.data) {
		switch c := p.data[p.i]; {
		case c == '"':
			p.i++
			return p.data[start : p.i-1], escaped, nil
		case c == '\\':
			escaped = true
			p.i += 2
		case c < ' ':
			return nil, false, p.errorf("control character 0x%02x inside a string", c)
		default:
			p.i++
		}
	}
	p.i = len(p.data)
	return nil, false, p.errorf("a string does not end")
}

func (p *jsonParser) unescape(raw []byte) (string, error) {
	var b strings.Builder
	b.Grow(len(raw))
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			b.Write(raw)
			break
		}
		b.Write(raw[:i])
		if raw = raw[i+1:]; len(raw) == 0 {
			return "", p.errorf("a string ends in a backslash")
		}
		c := raw[0]
		raw = raw[1:]
		if k := strings.IndexByte(`"\/bfnrt`, c); k >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[k])
			continue
		}
		r, ok := hex4(raw)
		if c != 'u' || !ok {
			return "", p.errorf(`escape \%c`, c)
		}
		raw = raw[4:]
		if utf16.IsSurrogate(r) {
			low, ok := rune(0), len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u'
			if ok {
				low, ok = hex4(raw[2:])
			}
			if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
				r, raw = pair, raw[6:]
			} else if !p.lenient {
				return "", p.errorf(`lone surrogate \u%04x`, r)
			} else {
				r = utf8.RuneError
			}
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func (p *jsonParser) number() error {
	start := p.i
	for p.i < len(p.data) && strings.IndexByte("+-0123456789.eE", p.data[p.i]) >= 0 {
		p.i++
	}
	if !json.Valid(p.data[start:p.i]) {
		return p.errorf("%q is no number", p.data[start:p.i])
	}
	return nil
}

// severalLines reports whether a .json file, by its first bytes, is an array, and
// whether it is an array or objects spread over lines rather than one object a line.
func severalLines(head []byte) (array, values bool) {
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) > 0 && head[0] == '[' {
		return true, true
	}
	line, _, ended := bytes.Cut(head, []byte("\n"))
	return false, ended && !json.Valid(line)
}

// jsonValues reads an array of objects, or objects one after another over any
// number of lines. A syntax error ends the file: there is no line to go on from.
type jsonValues struct {
	name   string
	stream *stream
	opts   Options
	limit  *rowLimit
	dec    *json.Decoder
	array  bool
	begun  bool
	ended  bool
	base   int64
	row    int
}

func newJSONValues(name string, s *stream, array bool, opts Options) *jsonValues {
	j := &jsonValues{name: name, stream: s, array: array, opts: opts, base: s.offset}
	j.limit = &rowLimit{src: s, max: opts.MaxDocBytes}
	j.dec = json.NewDecoder(j.limit)
	return j
}

func (j *jsonValues) close() error        { return j.stream.close() }
func (j *jsonValues) place() (int64, int) { return j.base + j.dec.InputOffset(), j.row }

func (j *jsonValues) next() (Doc, error) {
	if j.ended {
		return Doc{}, io.EOF
	}
	if !j.begun {
		j.begun = true
		if j.array {
			if _, err := j.dec.Token(); err != nil {
				return Doc{}, j.broken(err)
			}
		}
	}
	if j.array && !j.dec.More() {
		j.ended = true
		if _, err := j.dec.Token(); err != nil {
			return Doc{}, j.broken(err)
		}
		return Doc{}, io.EOF
	}
	j.limit.left = j.limit.max
	doc := Doc{Source: j.name, Line: j.row + 1, Offset: j.base + j.dec.InputOffset()}
	var raw json.RawMessage
	if err := j.dec.Decode(&raw); err != nil {
		if err == io.EOF && !j.array {
			return Doc{}, io.EOF
		}
		return Doc{}, j.broken(err)
	}
	j.row++
	text, err := jsonText(raw, j.opts)
	if err != nil {
		return Doc{}, &RowError{j.name, 0, fmt.Errorf("row %d: %w", j.row, err)}
	}
	doc.Text = text
	return doc, nil
}

func (j *jsonValues) broken(err error) error {
	j.ended = true
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		err = fmt.Errorf("broken JSON at byte %d, the rest of the file is lost: %w", j.base+syntax.Offset, err)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("the file is cut off behind row %d", j.row)
	}
	return err
}

// rowLimit fails when a row is longer than max bytes, before it is held in memory.
type rowLimit struct {
	src       io.Reader
	max, left int
}

func (l *rowLimit) Read(p []byte) (int, error) {
	n, err := l.src.Read(p[:min(len(p), bufferSize)])
	if l.left += -n; l.left < -2*bufferSize {
		return 0, fmt.Errorf("a row is longer than max_doc_bytes = %d", l.max)
	}
	return n, err
}
