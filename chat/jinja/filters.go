package jinja

import (
	"math"
	"slices"
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

func filterBatch(s *state, v any, a args) any {
	p := s.need(1, "batch", a, "linecount", "fill_with")
	return lazily(func() []any {
		size, fill := s.toInt(p[0], "linecount"), p.or(1, nil)
		var rows []any
		items := s.copyItems(s.iterate(v))
		for len(items) > 0 {
			n := len(items)
			if size < int64(n) {
				n = int(max(size, 1))
			}
			row := slices.Clone(items[:n])
			items = items[n:]
			if missing := size - int64(len(row)); fill != nil && missing > 0 {
				s.work(int(missing))
				row = append(row, slices.Repeat([]any{fill}, int(missing))...)
			}
			rows = append(rows, &list{items: row})
		}
		return rows
	})
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

func filterDictsort(s *state, v any, a args) any {
	p := s.bind("dictsort", a, "case_sensitive", "by", "reverse")
	d, ok := v.(*dict)
	if !ok {
		s.use(v)
		s.fail("dictsort needs a dict, not %s", typeName(v))
	}
	by := s.text(p.or(1, "key"), "by")
	if by != "key" && by != "value" {
		s.fail("dictsort sorts by either \"key\" or \"value\"")
	}
	sensitive := s.truth(p.or(0, false))
	s.work(len(d.keys))
	return &list{items: s.sorted(d.pairs(), s.truth(p.or(2, false)), func(item any) any {
		pair := item.(*list).items
		if by == "value" {
			return folded(pair[1], sensitive)
		}
		return folded(pair[0], sensitive)
	})}
}

// sorted sorts items in place and stably by their keys.
func (s *state) sorted(items []any, reverse bool, key func(any) any) []any {
	type keyed struct{ key, item any }
	ks := make([]keyed, len(items))
	for i, item := range items {
		ks[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(ks, func(a, b keyed) int {
		if reverse {
			return s.order(b.key, a.key)
		}
		return s.order(a.key, b.key)
	})
	for i := range ks {
		items[i] = ks[i].item
	}
	return items
}

// end is the first or last item.
func (s *state) end(v any, which string) any {
	if g, ok := v.(*generator); ok {
		if which == "last" {
			s.fail("'generator' object is not reversible")
		}
		if items := g.rest(); len(items) > 0 {
			g.items = items[1:]
			return items[0]
		}
	}
	items := s.iterate(v)
	switch {
	case len(items) == 0:
		return &undefined{"no " + which + " item, sequence was empty"}
	case which == "first":
		return items[0]
	}
	return items[len(items)-1]
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

func filterItems(s *state, v any, a args) any {
	s.bind("items", a)
	return lazily(func() []any {
		switch d := v.(type) {
		case *undefined:
			return nil
		case *dict:
			s.work(len(d.keys))
			return d.pairs()
		}
		s.fail("can only get item pairs from a mapping, not from %s", typeName(v))
		return nil
	})
}

func filterJoin(s *state, v any, a args) any {
	p := s.bind("join", a, "d", "attribute")
	get := s.getter(p.or(1, nil), absent{}, true)
	items := s.iterate(v)
	parts := make([]string, len(items))
	total := 0
	for i, item := range items {
		parts[i] = s.str(get(item))
		total += len(parts[i])
		s.limitString(total)
	}
	return s.join(parts, s.str(p.or(0, "")))
}

// getter returns a function that follows an attribute path "a.b.0" from an item;
// with nil it returns the item itself.
func (s *state) getter(path, other any, sensitive bool) func(any) any {
	var keys []any
	switch p := path.(type) {
	case nil:
	case string:
		for _, part := range strings.Split(p, ".") {
			if n, err := strconv.ParseInt(part, 10, 64); err == nil && n >= 0 {
				keys = append(keys, n)
			} else {
				keys = append(keys, part)
			}
		}
	default:
		keys = []any{path}
	}
	return func(item any) any {
		s.work(1)
		for _, key := range keys {
			item = s.getitem(item, key)
			if _, ok := item.(*undefined); ok && other != (absent{}) {
				item = other
			}
		}
		return folded(item, sensitive)
	}
}

func filterMap(s *state, v any, a args) any {
	return lazily(func() []any {
		if !s.truth(v) {
			return nil
		}
		return s.mapped(v, a)
	})
}

func (s *state) mapped(v any, a args) []any {
	each := func(item any) any { return item }
	if _, ok := a.named["attribute"]; ok && len(a.list) == 0 {
		p := s.bind("map", a, "attribute", "default")
		other := p.or(1, absent{})
		if other == nil {
			other = absent{}
		}
		each = s.getter(p[0], other, true)
	} else {
		if len(a.list) == 0 {
			s.fail("map requires a filter argument")
		}
		name := s.text(a.list[0], "map's filter")
		rest := args{list: a.list[1:], named: a.named, order: a.order}
		each = func(item any) any { return s.applyFilter(name, item, rest) }
	}
	items := s.copyItems(s.iterate(v))
	for i, item := range items {
		items[i] = each(item)
	}
	return items
}

// choose is select, reject, selectattr and rejectattr.
func (s *state) choose(v any, what string, a args, keep, byAttribute bool) []any {
	get := func(item any) any { return item }
	rest := a.list
	if byAttribute {
		if len(rest) == 0 {
			s.fail("%s: missing parameter for attribute name", what)
		}
		get = s.getter(rest[0], absent{}, true)
		rest = rest[1:]
	}
	holds := s.truth
	if len(rest) > 0 {
		name := s.text(rest[0], "name of the test")
		call := args{list: rest[1:], named: a.named, order: a.order}
		holds = func(item any) bool { return s.applyTest(name, item, call) }
	}
	var kept []any
	for _, item := range s.iterate(v) {
		s.work(1)
		if holds(get(item)) == keep {
			kept = append(kept, item)
		}
	}
	return kept
}

func (s *state) extreme(v any, which string, a args) any {
	p := s.bind(which, a, "case_sensitive", "attribute")
	key := s.getter(p.or(1, nil), absent{}, s.truth(p.or(0, false)))
	items := s.iterate(v)
	if len(items) == 0 {
		return &undefined{"no aggregated item, sequence was empty"}
	}
	best, bestKey := items[0], key(items[0])
	for _, item := range items[1:] {
		k := key(item)
		if c := s.order(k, bestKey); which == "max" && c > 0 || which == "min" && c < 0 {
			best, bestKey = item, k
		}
	}
	return best
}

func filterReverse(s *state, v any, a args) any {
	s.bind("reverse", a)
	if text, ok := v.(string); ok {
		s.work(len(text) / 8)
		runes := []rune(text)
		slices.Reverse(runes)
		return string(runes)
	}
	items := s.copyItems(s.iterate(v))
	slices.Reverse(items)
	return &generator{items: items, what: "list_reverseiterator"}
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

func filterSlice(s *state, v any, a args) any {
	p := s.need(1, "slice", a, "slices", "fill_with")
	return lazily(func() []any {
		n := s.toInt(p[0], "slices")
		if n < 1 || n > maxRange {
			s.fail("slice: %d slices are not between 1 and %d", n, maxRange)
		}
		items := s.iterate(v)
		s.work(int(n) + len(items))
		size, extra := len(items)/int(n), len(items)%int(n)
		out := make([]any, n)
		for i := range out {
			take := size
			if i < extra {
				take++
			}
			row := slices.Clone(items[:take])
			items = items[take:]
			if fill := p.or(1, nil); fill != nil && i >= extra {
				row = append(row, fill)
			}
			out[i] = &list{items: row}
		}
		return out
	})
}

func filterSort(s *state, v any, a args) any {
	p := s.bind("sort", a, "reverse", "case_sensitive", "attribute")
	sensitive := s.truth(p.or(1, false))
	var gets []func(any) any
	if path, ok := p.or(2, nil).(string); ok {
		for _, part := range strings.Split(path, ",") {
			gets = append(gets, s.getter(part, absent{}, sensitive))
		}
	} else {
		gets = append(gets, s.getter(p.or(2, nil), absent{}, sensitive))
	}
	return &list{items: s.sorted(s.copyItems(s.iterate(v)), s.truth(p.or(0, false)), func(item any) any {
		key := &list{items: make([]any, len(gets))}
		for i, get := range gets {
			key.items[i] = get(item)
		}
		return key
	})}
}

func filterGroupby(s *state, v any, a args) any {
	p := s.need(1, "groupby", a, "attribute", "default", "case_sensitive")
	other := p.or(1, absent{})
	if other == nil {
		other = absent{}
	}
	key := s.getter(p[0], other, s.truth(p.or(2, false)))
	plain := s.getter(p[0], other, true)
	var groups []any
	var last any
	for _, item := range s.sorted(s.copyItems(s.iterate(v)), false, key) {
		k := key(item)
		if len(groups) == 0 || !s.equal(k, last) {
			groups = append(groups, &list{[]any{plain(item), &list{}}, true})
		}
		last = k
		members := groups[len(groups)-1].(*list).items[1].(*list)
		members.items = append(members.items, item)
	}
	return &list{items: groups}
}

func filterSum(s *state, v any, a args) any {
	p := s.bind("sum", a, "attribute", "start")
	get := s.getter(p.or(0, nil), absent{}, true)
	total := p.or(1, int64(0))
	for _, item := range s.iterate(v) {
		total = s.arithmetic("+", total, get(item))
	}
	return total
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

func filterUnique(s *state, v any, a args) any {
	p := s.bind("unique", a, "case_sensitive", "attribute")
	return lazily(func() []any {
		key := s.getter(p.or(1, nil), absent{}, s.truth(p.or(0, false)))
		seen := map[any]bool{}
		var kept []any
		for _, item := range s.iterate(v) {
			k := s.hash(key(item))
			if !seen[k] {
				seen[k] = true
				kept = append(kept, item)
			}
		}
		return kept
	})
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
