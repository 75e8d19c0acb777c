package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	tokEOF kind = iota
	tokData
	tokVariableBegin
	tokVariableEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokInteger
	tokFloat
	tokOperator
)

type token struct {
	kind kind
	text string // strings: unescaped; operators and names: as written
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of template"
	case tokData:
		return "template text"
	case tokVariableBegin:
		return "begin of print statement"
	case tokVariableEnd:
		return "end of print statement"
	case tokBlockBegin:
		return "begin of statement block"
	case tokBlockEnd:
		return "end of statement block"
	}
	return t.text
}

// operators, longest first.
var operators = []string{
	"**", "//", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
}

// lexer cuts a template into tokens by the rules of jinja2/lexer.py with
// trim_blocks and lstrip_blocks on.
type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	// fresh says that what was consumed last ended a line (or nothing was yet):
	// only then may blanks before a block tag at pos be its indentation.
	fresh bool
}

func tokenize(source string) []token {
	source = strings.ReplaceAll(source, "\r\n", "\n")
	source = strings.ReplaceAll(source, "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, fresh: true}
	for l.pos < len(l.src) {
		l.root()
	}
	l.emit(tokEOF, "")
	return l.tokens
}

func (l *lexer) fail(format string, args ...any) {
	panic(&Error{Line: l.line, Message: fmt.Sprintf(format, args...)})
}

func (l *lexer) emit(k kind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.line})
}

// take consumes n bytes and counts their lines.
func (l *lexer) take(n int) string {
	s := l.src[l.pos : l.pos+n]
	l.pos += n
	l.line += strings.Count(s, "\n")
	l.fresh = strings.HasSuffix(s, "\n")
	return s
}

func (l *lexer) rest() string { return l.src[l.pos:] }

func (l *lexer) has(prefix string) bool { return strings.HasPrefix(l.rest(), prefix) }

// root consumes text and the beginning of the next tag, and then the tag.
func (l *lexer) root() {
	n, open := nextTag(l.rest())
	if n < 0 {
		l.data(l.rest(), len(l.rest()))
		return
	}
	text := l.rest()[:n]
	sign := byte(0)
	if after := l.rest()[n+2:]; after != "" && (after[0] == '-' || after[0] == '+') {
		sign = after[0]
	}
	l.data(l.lstrip(text, sign, open != '{'), n)
	size := 2
	if sign != 0 {
		size = 3
	}
	if open == '%' {
		if raw := rawBegin(l.rest()[size:]); raw > 0 {
			l.take(size + raw)
			l.raw()
			return
		}
	}
	switch open {
	case '#':
		l.take(size)
		l.comment()
	case '{':
		l.emit(tokVariableBegin, "")
		l.take(size)
		l.code(tokVariableEnd)
	default:
		l.emit(tokBlockBegin, "")
		l.take(size)
		l.code(tokBlockEnd)
	}
}

// nextTag finds the first {{, {% or {#: its place and second character.
func nextTag(s string) (int, byte) {
	for i := 0; ; {
		j := strings.IndexByte(s[i:], '{')
		if j < 0 || i+j+1 >= len(s) {
			return -1, 0
		}
		i += j
		if c := s[i+1]; c == '{' || c == '%' || c == '#' {
			return i, c
		}
		i++
	}
}

// lstrip applies the whitespace control of the tag behind text.
func (l *lexer) lstrip(text string, sign byte, block bool) string {
	switch {
	case sign == '-':
		return strings.TrimRightFunc(text, isSpace)
	case sign == '+' || !block:
		return text
	}
	bol := strings.LastIndexByte(text, '\n') + 1
	if (bol > 0 || l.fresh) && strings.TrimLeftFunc(text[bol:], isSpace) == "" {
		return text[:bol]
	}
	return text
}

// data emits text, of which n bytes are consumed in the source.
func (l *lexer) data(text string, n int) {
	if text != "" {
		l.emit(tokData, text)
	}
	l.take(n)
}

func skipSpace(s string) int { return len(s) - len(strings.TrimLeftFunc(s, isSpace)) }

// rawBegin matches the inside of a raw tag, `\s*raw\s*(-%}\s*|%})`, and
// returns its length or 0.
func rawBegin(s string) int {
	n := skipSpace(s)
	if !strings.HasPrefix(s[n:], "raw") {
		return 0
	}
	n += len("raw")
	n += skipSpace(s[n:])
	switch {
	case strings.HasPrefix(s[n:], "-%}"):
		n += 3
		return n + skipSpace(s[n:])
	case strings.HasPrefix(s[n:], "%}"):
		return n + 2
	}
	return 0
}

// tagEnd matches the end of a tag and returns its length or 0: "%}" with the
// newline behind it, "-%}" with all blanks behind it, "+%}" alone.
func tagEnd(s, close string, trim bool) int {
	switch {
	case strings.HasPrefix(s, "-"+close):
		n := 1 + len(close)
		return n + skipSpace(s[n:])
	case trim && strings.HasPrefix(s, "+"+close):
		return 1 + len(close)
	case strings.HasPrefix(s, close):
		n := len(close)
		if trim && strings.HasPrefix(s[n:], "\n") {
			n++
		}
		return n
	}
	return 0
}

func (l *lexer) comment() {
	n := strings.Index(l.rest(), "#}")
	if n < 0 {
		l.fail("missing end of comment tag")
	}
	if n > 0 && (l.rest()[n-1] == '-' || l.rest()[n-1] == '+') {
		n--
	}
	l.take(n)
	l.take(tagEnd(l.rest(), "#}", true))
}

func (l *lexer) raw() {
	for n := 0; ; n += 2 {
		i := strings.Index(l.rest()[n:], "{%")
		if i < 0 {
			l.fail("missing end of raw directive")
		}
		n += i
		s := l.rest()[n+2:]
		sign := byte(0)
		if s != "" && (s[0] == '-' || s[0] == '+') {
			sign, s = s[0], s[1:]
		}
		word := s[skipSpace(s):]
		if !strings.HasPrefix(word, "endraw") {
			continue
		}
		word = word[len("endraw"):]
		word = word[skipSpace(word):]
		end := tagEnd(word, "%}", true)
		if end == 0 {
			continue
		}
		total := len(l.rest()) - len(word) + end
		text := l.rest()[:n]
		l.data(l.lstrip(text, sign, true), n)
		l.take(total - n)
		return
	}
}

// code consumes the inside of {{ }} or {% %} and its end.
func (l *lexer) code(end kind) {
	close := "%}"
	if end == tokVariableEnd {
		close = "}}"
	}
	var open []byte // closing brackets that are due
	for l.pos < len(l.src) {
		if len(open) == 0 {
			if n := tagEnd(l.rest(), close, end == tokBlockEnd); n > 0 {
				l.emit(end, "")
				l.take(n)
				return
			}
		}
		if n := skipSpace(l.rest()); n > 0 {
			l.take(n)
			continue
		}
		r, _ := utf8.DecodeRuneInString(l.rest())
		switch {
		case r >= '0' && r <= '9':
			l.number()
		case r == '_' || unicode.IsLetter(r):
			n := strings.IndexFunc(l.rest(), func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
			})
			if n < 0 {
				n = len(l.rest())
			}
			l.emit(tokName, l.rest()[:n])
			l.take(n)
		case r == '\'' || r == '"':
			l.text(byte(r))
		default:
			open = l.operator(open)
		}
	}
	l.fail("unexpected end of template, expected %q", close)
}

func (l *lexer) operator(open []byte) []byte {
	for _, op := range operators {
		if !l.has(op) {
			continue
		}
		switch op {
		case "(":
			open = append(open, ')')
		case "[":
			open = append(open, ']')
		case "{":
			open = append(open, '}')
		case ")", "]", "}":
			if len(open) == 0 {
				l.fail("unexpected %q", op)
			}
			if want := open[len(open)-1]; want != op[0] {
				l.fail("unexpected %q, expected %q", op, string(want))
			}
			open = open[:len(open)-1]
		}
		l.emit(tokOperator, op)
		l.take(len(op))
		return open
	}
	r, _ := utf8.DecodeRuneInString(l.rest())
	l.fail("unexpected character %q", r)
	return nil
}

// digits returns the length of \d(_?\d)* in s for the digits that ok accepts.
func digits(s string, ok func(c byte) bool) int {
	n := 0
	for n < len(s) {
		switch {
		case ok(s[n]):
			n++
		case s[n] == '_' && n > 0 && n+1 < len(s) && ok(s[n+1]):
			n++
		default:
			return n
		}
	}
	return n
}

func decimal(c byte) bool { return c >= '0' && c <= '9' }

func (l *lexer) number() {
	s := l.rest()
	if n := floatLength(s); n > 0 && (l.pos == 0 || l.src[l.pos-1] != '.') {
		l.emit(tokFloat, strings.ReplaceAll(s[:n], "_", ""))
		l.take(n)
		return
	}
	if s[0] == '0' {
		n := 1
		if len(s) > 1 {
			if d := digits(s[2:], radix(s[1])); d > 0 {
				n = 2 + d
			} else {
				n = digits(s, func(c byte) bool { return c == '0' })
			}
		}
		l.emit(tokInteger, strings.ReplaceAll(s[:n], "_", ""))
		l.take(n)
		return
	}
	n := digits(s, decimal)
	l.emit(tokInteger, strings.ReplaceAll(s[:n], "_", ""))
	l.take(n)
}

// radix returns the digits allowed behind 0b, 0o and 0x.
func radix(c byte) func(c byte) bool {
	switch c | 0x20 {
	case 'b':
		return func(c byte) bool { return c == '0' || c == '1' }
	case 'o':
		return func(c byte) bool { return c >= '0' && c <= '7' }
	case 'x':
		return func(c byte) bool { return decimal(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
	}
	return func(byte) bool { return false }
}

// floatLength matches digits with a fraction, an exponent or both; 0 if none.
func floatLength(s string) int {
	n := digits(s, decimal)
	whole := n
	if n < len(s) && s[n] == '.' {
		if d := digits(s[n+1:], decimal); d > 0 {
			n += 1 + d
		}
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		e := n + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if d := digits(s[e:], decimal); d > 0 {
			n = e + d
		}
	}
	if n == whole {
		return 0
	}
	return n
}

func (l *lexer) text(quote byte) {
	s := l.rest()
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			l.emit(tokString, l.unescape(s[1:i]))
			l.take(i + 1)
			return
		}
	}
	l.fail("unexpected character %q: a string without its end", quote)
}

var simpleEscapes = map[byte]byte{
	'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// unescape undoes Python's string escapes; an unknown one stays as it is.
func (l *lexer) unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++ // the lexer never lets a string end in a lone backslash
		c := s[i]
		if plain, ok := simpleEscapes[c]; ok {
			b.WriteByte(plain)
			continue
		}
		width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		switch {
		case c == '\n':
		case c >= '0' && c <= '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(v))
			i += n - 1
		case width > 0:
			if i+1+width > len(s) {
				l.fail("truncated \\%c escape in a string", c)
			}
			v, err := strconv.ParseUint(s[i+1:i+1+width], 16, 32)
			if err != nil || !utf8.ValidRune(rune(v)) || v > unicode.MaxRune {
				l.fail("escape %q is no character", s[i-1:i+1+width])
			}
			b.WriteRune(rune(v))
			i += width
		case c == 'N':
			l.fail("\\N{name} escapes are not known here: write the character")
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
