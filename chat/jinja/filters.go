package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

type filterFunc func(s *state, v any, a args) any

// filterNamed lists all filters; nil if there is none of that name.
func filterNamed(name string) filterFunc {
	switch name {
	case "abs":
		return filterAbs
	case "attr":
		return filterAttr
	case "batch":
		return filterBatch
	case "capitalize":
		return onText(name, capitalize)
	case "center":
		return func(s *state, v any, a args) any {
			return s.pad(s.str(v), "center", args{list: []any{s.bind(name, a, "width").or(0, int64(80))}})
		}
	case "d", "default":
		return filterDefault
	case "dictsort":
		return filterDictsort
	case "e", "escape", "forceescape":
		return onText(name, strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace)
	case "first", "last":
		return func(s *state, v any, a args) any { s.bind(name, a); return s.end(v, name) }
	case "float":
		return filterFloat
	case "format":
		return filterFormat
	case "groupby":
		return filterGroupby
	case "indent":
		return filterIndent
	case "int":
		return filterInt
	case "items":
		return filterItems
	case "join":
		return filterJoin
	case "length", "count":
		return func(s *state, v any, a args) any { s.bind(name, a); return s.length(v) }
	case "list":
		return func(s *state, v any, a args) any {
			s.bind(name, a)
			return &list{items: s.copyItems(s.iterate(v))}
		}
	case "lower":
		return onText(name, strings.ToLower)
	case "upper":
		return onText(name, upper)
	case "title":
		return onText(name, title)
	case "string", "safe":
		return onText(name, func(text string) string { return text })
	case "map":
		return filterMap
	case "max", "min":
		return func(s *state, v any, a args) any { return s.extreme(v, name, a) }
	case "reject", "select", "rejectattr", "selectattr":
		return func(s *state, v any, a args) any {
			return lazily(func() []any {
				if !s.truth(v) {
					return nil
				}
				return s.choose(v, name, a, strings.HasPrefix(name, "select"), strings.HasSuffix(name, "attr"))
			})
		}
	case "replace":
		return func(s *state, v any, a args) any {
			p := s.need(2, name, a, "old", "new", "count")
			count := int64(-1)
			if c := p.or(2, nil); c != nil {
				count = s.toInt(c, "count")
			}
			return s.replace(s.str(v), s.str(p[0]), s.str(p[1]), count)
		}
	case "reverse":
		return filterReverse
	case "round":
		return filterRound
	case "slice":
		return filterSlice
	case "sort":
		return filterSort
	case "sum":
		return filterSum
	case "tojson":
		return tojson
	case "trim":
		return func(s *state, v any, a args) any {
			return s.strip(s.str(v), "strip", s.bind(name, a, "chars").or(0, nil))
		}
	case "truncate":
		return filterTruncate
	case "unique":
		return filterUnique
	case "urlencode":
		return filterURLEncode
	case "wordcount":
		return func(s *state, v any, a args) any {
			s.bind(name, a)
			return int64(len(strings.FieldsFunc(s.str(v), func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
			})))
		}
	}
	return nil
}

// onText is a filter without arguments that changes str(v).
func onText(name string, change func(string) string) filterFunc {
	return func(s *state, v any, a args) any {
		s.bind(name, a)
		text := s.str(v)
		s.work(len(text) / 8)
		return change(text)
	}
}

func filterAbs(s *state, v any, a args) any {
	s.bind("abs", a)
	switch n := number64(v).(type) {
	case int64:
		if n < 0 {
			return s.integers("-", 0, n)
		}
		return n
	case float64:
		return math.Abs(n)
	}
	s.use(v)
	s.fail("bad operand type for abs(): '%s'", typeName(v))
	return nil
}

// filterAttr is x|attr("name"): fields and methods only, never items.
func filterAttr(s *state, v any, a args) any {
	name := s.text(s.need(1, "attr", a, "name")[0], "attr")
	if found, ok := s.member(v, name); ok {
		return found
	}
	return missing(v, name)
}

func filterDefault(s *state, v any, a args) any {
	p := s.bind("default", a, "default_value", "boolean")
	if _, ok := v.(*undefined); ok || s.truth(p.or(1, false)) && !s.truth(v) {
		return p.or(0, "")
	}
	return v
}

// folded is v for comparison without regard to case.
func folded(v any, sensitive bool) any {
	if text, ok := v.(string); ok && !sensitive {
		return strings.ToLower(text)
	}
	return v
}

func filterFloat(s *state, v any, a args) any {
	p := s.bind("float", a, "default")
	s.use(v)
	switch n := number64(v).(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	case string:
		if f, ok := parseFloat(n); ok {
			return f
		}
	}
	return p.or(0, 0.0)
}

// parseFloat reads a float as Python's float() does.
func parseFloat(text string) (float64, bool) {
	text = strings.TrimFunc(text, isSpace)
	if strings.ContainsAny(text, "xXpP") || strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

func filterInt(s *state, v any, a args) any {
	p := s.bind("int", a, "default", "base")
	s.use(v)
	switch n := number64(v).(type) {
	case int64, bigInt:
		return n
	case string:
		base := s.toInt(p.or(1, int64(10)), "base")
		if base < 0 || base == 1 || base > 36 {
			return p.or(0, int64(0))
		}
		text := strings.ToLower(strings.TrimFunc(n, isSpace))
		if prefix := map[int64]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" {
			text = strings.TrimPrefix(text, prefix)
		}
		if i, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), int(base), 64); err == nil {
			return i
		}
		if f, ok := parseFloat(n); ok && math.Abs(f) < 1<<63 {
			return int64(f)
		}
	case float64:
		if math.Abs(n) < 1<<63 {
			return int64(n)
		}
	}
	return p.or(0, int64(0))
}

func filterFormat(s *state, v any, a args) any {
	text := s.str(v)
	if len(a.list) > 0 && len(a.order) > 0 {
		s.fail("format takes positional or keyword arguments, not both")
	}
	if len(a.order) == 0 {
		return s.percent(text, &list{items: a.list, tuple: true})
	}
	return s.percent(text, callDict(s, a))
}

func filterIndent(s *state, v any, a args) any {
	p := s.bind("indent", a, "width", "first", "blank")
	pad, ok := p.or(0, int64(4)).(string)
	if !ok {
		n := max(0, s.toInt(p.or(0, int64(4)), "width"))
		s.limitString(int(min(n, math.MaxInt32)))
		pad = strings.Repeat(" ", int(n))
	}
	text, ok := v.(string)
	if !ok {
		s.use(v)
		s.fail("indent needs a str, not %s", typeName(v))
	}
	lines := splitLines(text+"\n", false)
	blank := s.truth(p.or(2, false))
	for i := range lines {
		if i > 0 && (blank || lines[i] != "") || i == 0 && s.truth(p.or(1, false)) {
			s.limitString(len(pad) + len(lines[i]))
			lines[i] = pad + lines[i]
		}
	}
	return s.join(lines, "\n")
}

func filterRound(s *state, v any, a args) any {
	p := s.bind("round", a, "precision", "method")
	precision := s.toInt(p.or(0, int64(0)), "precision")
	if precision < -300 || precision > 300 {
		s.fail("round: precision %d is not between -300 and 300", precision)
	}
	x, isFloat := v.(float64)
	n, isInt := number64(v).(int64)
	if isInt {
		x = float64(n)
	} else if !isFloat {
		s.use(v)
		s.fail("round needs a number, not %s", typeName(v))
	}
	scale := math.Pow(10, float64(precision))
	switch s.text(p.or(1, "common"), "method") {
	case "common":
		if isInt && precision >= 0 {
			return n
		}
		if precision >= 0 {
			f, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', int(precision), 64), 64)
			return f
		}
		r := math.RoundToEven(x*scale) / scale
		if isInt {
			return int64(math.RoundToEven(r))
		}
		return r
	case "ceil":
		return math.Ceil(x*scale) / scale
	case "floor":
		return math.Floor(x*scale) / scale
	}
	s.fail("round: method must be common, ceil or floor")
	return nil
}

// title begins each word with a capital; words end at blanks and at - ( { [ <.
func title(text string) string {
	begins := true
	return strings.Map(func(r rune) rune {
		first := begins
		begins = isSpace(r) || strings.ContainsRune("-({[<", r)
		if first {
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, text)
}

func filterTruncate(s *state, v any, a args) any {
	p := s.bind("truncate", a, "length", "killwords", "end", "leeway")
	end := s.text(p.or(2, "..."), "end")
	length, leeway := s.toInt(p.or(0, int64(255)), "length"), int64(5)
	if l := p.or(3, nil); l != nil {
		leeway = s.toInt(l, "leeway")
	}
	keep := length - int64(len([]rune(end)))
	if keep < 0 || leeway < 0 {
		s.fail("truncate: length %d is shorter than its end, or leeway %d is negative", length, leeway)
	}
	if s.length(v) <= length+leeway {
		return v
	}
	text := []rune(s.text(v, "text to truncate"))
	s.work(len(text))
	short := string(text[:keep])
	if !s.truth(p.or(1, false)) {
		if at := strings.LastIndexByte(short, ' '); at >= 0 {
			short = short[:at]
		}
	}
	return short + end
}

// filterURLEncode quotes a text for a path, or pairs for a query.
func filterURLEncode(s *state, v any, a args) any {
	s.bind("urlencode", a)
	if d, ok := v.(*dict); ok {
		v = &list{items: d.pairs()}
	}
	text, isText := v.(string)
	pairs, ok := s.iterable(v)
	if isText || !ok {
		if !isText {
			text = s.str(v)
		}
		return s.quoteURL(text, "/", "%20")
	}
	parts := make([]string, len(pairs))
	for i, pair := range pairs {
		kv := s.iterate(pair)
		if len(kv) != 2 {
			s.fail("urlencode: an item has %d values, want a key and a value", len(kv))
		}
		parts[i] = s.quoteURL(s.str(kv[0]), "", "+") + "=" + s.quoteURL(s.str(kv[1]), "", "+")
	}
	return s.join(parts, "&")
}

func (s *state) quoteURL(text, plain, space string) string {
	s.limitString(3 * len(text))
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z' || decimal(c) || strings.IndexByte("_.-~"+plain, c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteString(space)
		default:
			b.WriteByte('%')
			b.WriteString(strings.ToUpper(string([]byte{hexDigits[c>>4], hexDigits[c&15]})))
		}
	}
	return b.String()
}
