package jinja

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v) as Jinja prints it.
func (s *state) str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case *undefined:
		return ""
	case *joiner:
		if !v.used {
			v.used = true
			return ""
		}
		return s.str(v.sep)
	}
	var b strings.Builder
	s.repr(&b, v)
	return b.String()
}

// repr writes Python's repr(v).
func (s *state) repr(b *strings.Builder, v any) {
	defer s.enter()()
	s.work(1)
	s.limitString(b.Len())
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bigInt:
		b.WriteString(string(v))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		s.work(len(v) / 8)
		quote(b, v)
	case *list:
		s.reprList(b, v)
	case *dict:
		s.reprDict(b, v)
	case *view:
		b.WriteString(v.what + "(")
		s.repr(b, &list{items: v.items})
		b.WriteByte(')')
	case *span:
		fmt.Fprintf(b, "range(%d, %d", v.start, v.stop)
		if v.step != 1 {
			fmt.Fprintf(b, ", %d", v.step)
		}
		b.WriteByte(')')
	case *namespace:
		b.WriteString("<Namespace ")
		s.repr(b, v.fields)
		b.WriteByte('>')
	case *loop:
		fmt.Fprintf(b, "<LoopContext %d/%d>", v.index+1, len(v.items))
	case *function:
		fmt.Fprintf(b, "<%s %s>", v.what, v.name)
	case *undefined:
		b.WriteString("Undefined")
	default:
		fmt.Fprintf(b, "<%s object>", typeName(v))
	}
}

func (s *state) reprList(b *strings.Builder, l *list) {
	open, end := byte('['), byte(']')
	if l.tuple {
		open, end = '(', ')'
	}
	b.WriteByte(open)
	for i, item := range l.items {
		if i > 0 {
			b.WriteString(", ")
		}
		s.repr(b, item)
	}
	if l.tuple && len(l.items) == 1 {
		b.WriteByte(',')
	}
	b.WriteByte(end)
}

func (s *state) reprDict(b *strings.Builder, d *dict) {
	b.WriteByte('{')
	for i, key := range d.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		s.repr(b, key)
		b.WriteString(": ")
		s.repr(b, d.values[i])
	}
	b.WriteByte('}')
}

// quote writes Python's repr of a string.
func quote(b *strings.Builder, text string) {
	q := '\''
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		q = '"'
	}
	b.WriteRune(q)
	for _, r := range text {
		switch {
		case shortEscape(b, r, q):
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(q)
}

// shortEscape writes r, if it is the quote, a backslash or one of \n, \r and \t, as Python and
// JSON both do, and reports whether it was.
func shortEscape(b *strings.Builder, r, quote rune) bool {
	switch r {
	case '\n':
		r = 'n'
	case '\r':
		r = 'r'
	case '\t':
		r = 't'
	case quote, '\\':
	default:
		return false
	}
	b.WriteByte('\\')
	b.WriteRune(r)
	return true
}

// formatFloat is Python's repr of a float: the shortest digits that read back
// as the same number, with an exponent below 1e-4 and from 1e16 on.
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// jsonStyle holds the arguments of json.dumps.
type jsonStyle struct {
	ascii     bool
	indent    string
	lines     bool // indent was given, even if empty
	item, key string
	sorted    bool
}

// tojson is the filter as transformers defines it: json.dumps without HTML
// escapes, tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False).
func tojson(s *state, v any, a args) any {
	p := s.bind("tojson", a, "ensure_ascii", "indent", "separators", "sort_keys")
	style := jsonStyle{item: ", ", key: ": "}
	style.ascii = s.truth(p.or(0, false))
	style.sorted = s.truth(p.or(3, false))
	switch indent := p.or(1, nil).(type) {
	case nil:
	case string:
		style.lines, style.indent, style.item = true, indent, ","
	default:
		n := max(0, s.toInt(indent, "indent"))
		s.limitString(int(min(n, math.MaxInt32)))
		style.lines, style.indent, style.item = true, strings.Repeat(" ", int(n)), ","
	}
	if separators := p.or(2, nil); separators != nil {
		items := s.iterate(separators)
		if len(items) != 2 {
			s.fail("tojson: separators must be two strings, got %d", len(items))
		}
		style.item, style.key = s.text(items[0], "separators"), s.text(items[1], "separators")
	}
	var b strings.Builder
	s.dump(&b, v, style, 0)
	return b.String()
}

func (s *state) dump(b *strings.Builder, v any, style jsonStyle, depth int) {
	defer s.enter()()
	s.work(1)
	s.limitString(b.Len() + depth*len(style.indent))
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		s.work(len(v) / 8)
		dumpString(b, v, style.ascii)
	case *list:
		s.dumpItems(b, '[', ']', len(v.items), style, depth, func(i int) {
			s.dump(b, v.items[i], style, depth+1)
		})
	case *dict:
		keys := s.jsonKeys(v, style.sorted)
		s.dumpItems(b, '{', '}', len(keys), style, depth, func(i int) {
			dumpString(b, keys[i].text, style.ascii)
			b.WriteString(style.key)
			s.dump(b, v.values[keys[i].at], style, depth+1)
		})
	case int64, bigInt, float64:
		b.WriteString(jsonNumber(v))
	default:
		s.fail("Object of type %s is not JSON serializable", typeName(v))
	}
}

func (s *state) dumpItems(b *strings.Builder, open, end byte, n int, style jsonStyle, depth int, item func(i int)) {
	b.WriteByte(open)
	for i := range n {
		if i > 0 {
			b.WriteString(style.item)
		}
		style.newline(b, depth+1)
		item(i)
	}
	if n > 0 {
		style.newline(b, depth)
	}
	b.WriteByte(end)
}

func (style jsonStyle) newline(b *strings.Builder, depth int) {
	if !style.lines {
		return
	}
	b.WriteByte('\n')
	for range depth {
		b.WriteString(style.indent)
	}
}

func jsonNumber(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case bigInt:
		return string(v)
	}
	switch f := v.(float64); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	default:
		return formatFloat(f)
	}
}

type jsonKey struct {
	text string
	at   int
}

// jsonKeys spells the keys of d as JSON strings, sorted by the keys themselves
// if asked for.
func (s *state) jsonKeys(d *dict, sorted bool) []jsonKey {
	keys := make([]jsonKey, len(d.keys))
	for i, k := range d.keys {
		keys[i].at = i
		switch k := k.(type) {
		case string:
			keys[i].text = k
		case nil:
			keys[i].text = "null"
		case bool:
			keys[i].text = strconv.FormatBool(k)
		case int64, bigInt, float64:
			keys[i].text = jsonNumber(k)
		default:
			s.fail("keys must be str, int, float, bool or None, not %s", typeName(k))
		}
	}
	if sorted {
		slices.SortStableFunc(keys, func(a, b jsonKey) int { return s.order(d.keys[a.at], d.keys[b.at]) })
	}
	return keys
}

const hexDigits = "0123456789abcdef"

func dumpString(b *strings.Builder, text string, ascii bool) {
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case shortEscape(b, r, '"'):
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r >= 0x20 && (r < 0x7f || !ascii):
			b.WriteRune(r)
		case r >= 0x10000:
			r -= 0x10000
			unicodeEscape(b, 0xd800+r>>10)
			unicodeEscape(b, 0xdc00+r&0x3ff)
		default:
			unicodeEscape(b, r)
		}
	}
	b.WriteByte('"')
}

func unicodeEscape(b *strings.Builder, r rune) {
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(hexDigits[r>>shift&15])
	}
}
