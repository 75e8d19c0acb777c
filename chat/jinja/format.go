package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// numeric is how a value is laid out by % and by str.format.
type numeric struct {
	fill      string
	align     byte // '<', '>', '^', '=' (fill behind the sign), 0 for the default
	sign      byte // '+', ' ' or 0
	alternate bool
	width     int
	comma     byte // ',' or '_' between thousands, 0 for none
	precision int  // -1 if not given
	verb      byte // 0 if not given
}

// percent is text % values.
func (s *state) percent(text string, values any) string {
	var positional []any
	named, isDict := values.(*dict)
	if l, ok := values.(*list); ok && l.tuple {
		positional = l.items
	} else {
		positional = []any{values}
	}
	used := 0
	take := func() any {
		if used >= len(positional) {
			s.fail("not enough arguments for format string")
		}
		used++
		return positional[used-1]
	}
	var b strings.Builder
	keyed := false
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		var v any = absent{}
		if i < len(text) && text[i] == '(' {
			end := strings.IndexByte(text[i:], ')')
			if end < 0 || !isDict {
				s.fail("format requires a mapping and a closed key")
			}
			found, ok := named.text(text[i+1 : i+end])
			if !ok {
				s.fail("format key %q is missing", text[i+1:i+end])
			}
			v, keyed = found, true
			i += end + 1
		}
		f := numeric{fill: " ", align: '>', precision: -1}
		i = s.percentFlags(text, i, &f, take)
		if i >= len(text) {
			s.fail("incomplete format")
		}
		if f.verb = text[i]; f.verb == '%' {
			b.WriteByte('%')
			continue
		}
		if _, ok := v.(absent); ok {
			v = take()
		}
		b.WriteString(s.percentValue(f, v))
		s.limitString(b.Len())
	}
	_, isList := values.(*list)
	if used < len(positional) && !keyed && !isDict && (!isList || values.(*list).tuple) { // Python takes a list for a mapping
		s.fail("not all arguments converted during string formatting")
	}
	return b.String()
}

func (s *state) percentFlags(text string, i int, f *numeric, take func() any) int {
	for ; i < len(text) && strings.IndexByte("-+ #0", text[i]) >= 0; i++ {
		switch text[i] {
		case '-':
			f.align = '<'
		case '#':
			f.alternate = true
		case '0':
			if f.align != '<' {
				f.fill, f.align = "0", '='
			}
		case '+':
			f.sign = '+'
		case ' ':
			if f.sign == 0 {
				f.sign = ' '
			}
		}
	}
	number := func() int {
		if i < len(text) && text[i] == '*' {
			i++
			return s.width(s.toInt(take(), "* in a format"))
		}
		start := i
		for i < len(text) && decimal(text[i]) {
			i++
		}
		n, err := strconv.Atoi("0" + text[start:i])
		if err != nil {
			n = math.MaxInt32
		}
		return s.width(int64(n))
	}
	f.width = number()
	if i < len(text) && text[i] == '.' {
		i++
		f.precision = number()
	}
	for i < len(text) && strings.IndexByte("hlL", text[i]) >= 0 {
		i++
	}
	return i
}

// width bounds a width or precision.
func (s *state) width(n int64) int {
	const most = 10_000
	if n < 0 || n > most {
		s.fail("width or precision %d is not between 0 and %d", n, most)
	}
	return int(n)
}

func (s *state) percentValue(f numeric, v any) string {
	s.use(v)
	switch f.verb {
	case 's', 'r', 'a':
		text := s.str(v)
		if f.verb != 's' {
			var b strings.Builder
			s.repr(&b, v)
			text = b.String()
		}
		if f.fill == "0" {
			f.fill, f.align = " ", '>'
		}
		return f.pad(cut(text, f.precision), "")
	case 'c':
		if text, ok := v.(string); ok && utf8.RuneCountInString(text) == 1 {
			return f.pad(text, "")
		}
		return f.pad(string(rune(s.toInt(v, "%c"))), "")
	case 'd', 'i', 'u':
		f.verb = 'd'
		if x, ok := v.(float64); ok {
			if math.IsNaN(x) || math.Abs(x) >= 1<<63 {
				s.fail("cannot convert float %s to integer", formatFloat(x))
			}
			v = int64(x)
		}
	case 'x', 'X', 'o':
		s.toInt(v, "%"+string(f.verb))
	case 'e', 'E', 'f', 'F', 'g', 'G':
	default:
		s.fail("unsupported format character '%c'", f.verb)
	}
	return s.formatNumber(f, v)
}

func cut(text string, n int) string {
	if n < 0 || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n])
}

// pad brings sign+text to the width.
func (f numeric) pad(text, sign string) string {
	n := f.width - utf8.RuneCountInString(text) - utf8.RuneCountInString(sign)
	if n <= 0 {
		return sign + text
	}
	switch f.align {
	case '<':
		return sign + text + strings.Repeat(f.fill, n)
	case '^':
		return strings.Repeat(f.fill, n/2) + sign + text + strings.Repeat(f.fill, n-n/2)
	case '=':
		return sign + strings.Repeat(f.fill, n) + text
	}
	return strings.Repeat(f.fill, n) + sign + text
}

// formatNumber lays out an int or float by f.verb.
func (s *state) formatNumber(f numeric, v any) string {
	var digits string
	negative := false
	n, isInt := number64(v).(int64)
	x, isFloat := v.(float64)
	switch {
	case strings.IndexByte("eEfFgG%", f.verb) >= 0:
		if isInt {
			x = float64(n)
		} else if !isFloat {
			s.fail("a number is required for '%c', not %s", f.verb, typeName(v))
		}
		negative = math.Signbit(x)
		digits = floatDigits(f, math.Abs(x))
	case isInt && strings.IndexByte("dxXobn\x00", f.verb) >= 0:
		if f.precision >= 0 && f.comma != 0 {
			s.fail("precision is not allowed in an integer format")
		}
		negative = n < 0
		digits = intDigits(f, n)
	default:
		s.fail("unknown format code '%c' for object of type '%s'", f.verb, typeName(v))
	}
	sign := ""
	switch {
	case negative:
		sign = "-"
	case f.sign != 0:
		sign = string(f.sign)
	}
	return f.pad(group(digits, f.comma), sign)
}

func intDigits(f numeric, n int64) string {
	magnitude := uint64(n)
	if n < 0 {
		magnitude = -magnitude
	}
	base, prefix := 10, ""
	switch f.verb {
	case 'x', 'X':
		base, prefix = 16, "0"+string(f.verb)
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	}
	text := strconv.FormatUint(magnitude, base)
	if f.verb == 'X' {
		text = strings.ToUpper(text)
	}
	if n := f.precision - len(text); n > 0 {
		text = strings.Repeat("0", n) + text
	}
	if f.alternate {
		text = prefix + text
	}
	return text
}

// floatDigits spells |x| by the verbs e, f, g and %.
func floatDigits(f numeric, x float64) string {
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	var text string
	switch f.verb | 0x20 {
	case 'e':
		text = strconv.FormatFloat(x, 'e', precision, 64)
	case 'f':
		text = strconv.FormatFloat(x, 'f', precision, 64)
	case 'g':
		text = general(x, max(precision, 1), f.alternate)
	default: // %
		text = strconv.FormatFloat(x*100, 'f', precision, 64) + "%"
	}
	if math.IsInf(x, 0) {
		text = "inf"
	} else if math.IsNaN(x) {
		text = "nan"
	}
	if f.verb >= 'A' && f.verb <= 'Z' {
		text = strings.ToUpper(text)
	}
	return text
}

// general is C's %g: precision significant digits, trailing zeros dropped.
func general(x float64, precision int, keep bool) string {
	e := strconv.FormatFloat(x, 'e', precision-1, 64)
	mantissa, exponent, _ := strings.Cut(e, "e")
	exp, err := strconv.Atoi(exponent)
	if err != nil || exp >= -4 && exp < precision {
		mantissa, exponent = strconv.FormatFloat(x, 'f', max(precision-1-exp, 0), 64), ""
	} else {
		exponent = "e" + exponent
	}
	if !keep && strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + exponent
}

// group puts commas between the thousands of the leading digits.
func group(text string, comma byte) string {
	if comma == 0 {
		return text
	}
	n := 0
	for n < len(text) && decimal(text[n]) {
		n++
	}
	var b strings.Builder
	for i := range n {
		if i > 0 && (n-i)%3 == 0 {
			b.WriteByte(comma)
		}
		b.WriteByte(text[i])
	}
	return b.String() + text[n:]
}

// format is text.format(...): fields {}, {0}, {name}, {a.b}, {a[0]}, !r, !s and
// format specifications of strings and numbers.
func (s *state) format(text string, a args) string {
	var b strings.Builder
	auto := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			b.WriteByte(c)
			i++
		case c == '}':
			s.fail("single '}' encountered in format string")
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				s.fail("expected '}' before end of string")
			}
			b.WriteString(s.formatField(text[i+1:i+end], a, &auto))
			i += end
		default:
			b.WriteByte(c)
		}
		s.limitString(b.Len())
	}
	return b.String()
}

func (s *state) formatField(field string, a args, auto *int) string {
	s.work(1)
	field, spec, _ := strings.Cut(field, ":")
	if strings.Contains(spec, "{") {
		s.fail("fields inside a format specification are not known here")
	}
	field, conversion, _ := strings.Cut(field, "!")
	v := s.formatValue(field, a, auto)
	s.use(v)
	switch conversion {
	case "":
	case "s":
		v = s.str(v)
	case "r":
		var b strings.Builder
		s.repr(&b, v)
		v = b.String()
	default:
		s.fail("unknown conversion specifier '%s'", conversion)
	}
	f := s.formatSpec(spec)
	if text, ok := v.(string); ok || spec == "" || f.verb == 's' {
		if !ok {
			text = s.str(v)
		}
		if f.verb != 0 && f.verb != 's' || f.sign != 0 || f.comma != 0 || f.align == '=' {
			s.fail("format specification %q does not fit a str", spec)
		}
		if f.align == 0 {
			f.align = '<'
		}
		return f.pad(cut(text, f.precision), "")
	}
	if x, ok := v.(float64); ok && f.verb == 0 {
		if f.precision < 0 {
			return f.pad(group(strings.TrimPrefix(formatFloat(x), "-"), f.comma), floatSign(f, x))
		}
		f.verb = 'g'
	}
	return s.formatNumber(f, v)
}

func floatSign(f numeric, x float64) string {
	switch {
	case math.Signbit(x):
		return "-"
	case f.sign != 0:
		return string(f.sign)
	}
	return ""
}

func (s *state) formatValue(field string, a args, auto *int) any {
	n := strings.IndexAny(field, ".[")
	if n < 0 {
		n = len(field)
	}
	name, path := field[:n], field[n:]
	var v any
	index, err := strconv.Atoi(name)
	switch {
	case name == "":
		index, err = *auto, nil
		*auto++
		fallthrough
	case err == nil:
		if index < 0 || index >= len(a.list) {
			s.fail("replacement index %d out of range for positional args", index)
		}
		v = a.list[index]
	default:
		var ok bool
		if v, ok = a.named[name]; !ok {
			s.fail("format key %q is missing", name)
		}
	}
	for path != "" {
		s.work(1)
		if path[0] == '.' {
			n := strings.IndexAny(path[1:], ".[") + 1
			if n <= 0 {
				n = len(path)
			}
			v, path = s.getattr(v, path[1:n]), path[n:]
			continue
		}
		end := strings.IndexByte(path, ']')
		if path[0] != '[' || end < 0 {
			s.fail("format field %q is malformed", field)
		}
		key := path[1:end]
		path = path[end+1:]
		if i, err := strconv.ParseInt(key, 10, 64); err == nil {
			v = s.getitem(v, i)
		} else {
			v = s.getitem(v, key)
		}
	}
	return v
}

// formatSpec reads [[fill]align][sign][#][0][width][,][.precision][type].
func (s *state) formatSpec(spec string) numeric {
	f := numeric{fill: " ", precision: -1}
	rest := spec
	if _, n := utf8.DecodeRuneInString(rest); n > 0 && n < len(rest) && strings.IndexByte("<>^=", rest[n]) >= 0 {
		f.fill, f.align, rest = rest[:n], rest[n], rest[n+1:]
	} else if rest != "" && strings.IndexByte("<>^=", rest[0]) >= 0 {
		f.align, rest = rest[0], rest[1:]
	}
	next := func(set string) byte {
		if rest == "" || strings.IndexByte(set, rest[0]) < 0 {
			return 0
		}
		c := rest[0]
		rest = rest[1:]
		return c
	}
	number := func() int {
		n := digits(rest, decimal)
		v, err := strconv.Atoi("0" + rest[:n])
		if err != nil {
			v = math.MaxInt32
		}
		rest = rest[n:]
		return s.width(int64(v))
	}
	if f.sign = next("+- "); f.sign == '-' {
		f.sign = 0
	}
	f.alternate = next("#") != 0
	if next("0") != 0 && f.align == 0 {
		f.fill, f.align = "0", '='
	}
	f.width = number()
	f.comma = next(",_")
	if next(".") != 0 {
		f.precision = number()
	}
	f.verb = next("bdeEfFgGnosxX%")
	if rest != "" {
		s.fail("invalid format specification %q", spec)
	}
	return f
}
