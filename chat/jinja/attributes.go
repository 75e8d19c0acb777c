package jinja

import (
	"fmt"
	"slices"
	"strings"
)

func (n *attribute) eval(s *state) any {
	of := s.eval(n.of)
	s.line = n.line
	return s.getattr(of, n.name)
}

func (n *subscript) eval(s *state) any {
	of := s.eval(n.of)
	s.use(of)
	if cut, ok := n.index.(*slice); ok {
		return cut.of(s, of, n.line)
	}
	index := s.eval(n.index)
	s.line = n.line
	return s.getitem(of, index)
}

func (n *slice) eval(s *state) any {
	s.fail("slices in tuples are not supported")
	return nil
}

// getattr is x.name: a method or field first, then an item.
func (s *state) getattr(of any, name string) any {
	s.use(of)
	if v, ok := s.member(of, name); ok {
		return v
	}
	if d, ok := of.(*dict); ok {
		if v, ok := d.text(name); ok {
			return v
		}
	}
	return missing(of, name)
}

// getitem is x[index]: an item first, then (for a string) a method or field.
func (s *state) getitem(of, index any) any {
	s.use(of)
	switch c := of.(type) {
	case *dict:
		if l, ok := index.(*list); !ok || l.tuple { // other lists have no hash
			if _, isDict := index.(*dict); isDict {
				break
			}
			if i, ok := c.index[s.hash(index)]; ok {
				return c.values[i]
			}
		}
	case *list:
		if i, ok := number64(index).(int64); ok {
			if i, ok := wrap(i, len(c.items)); ok {
				return c.items[i]
			}
		}
	case string:
		if i, ok := number64(index).(int64); ok {
			s.work(len(c) / 8)
			if r, ok := runeAt(c, i); ok {
				return r
			}
		}
	case *span:
		if i, ok := number64(index).(int64); ok {
			if i, ok := wrap(i, int(c.len())); ok {
				return c.start + int64(i)*c.step
			}
		}
	}
	if name, ok := index.(string); ok {
		if v, ok := s.member(of, name); ok {
			return v
		}
		return missing(of, name)
	}
	var b strings.Builder
	s.repr(&b, index)
	return &undefined{fmt.Sprintf("%s has no element %s", objectName(of), b.String())}
}

func missing(of any, name string) any {
	return &undefined{"'" + objectName(of) + "' has no attribute '" + name + "'"}
}

// wrap counts negative indexes from the end.
func wrap(i int64, n int) (int, bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

func runeAt(text string, i int64) (string, bool) {
	if i < 0 {
		runes := []rune(text)
		at, ok := wrap(i, len(runes))
		if !ok {
			return "", false
		}
		return string(runes[at]), true
	}
	for _, r := range text {
		if i == 0 {
			return string(r), true
		}
		i--
	}
	return "", false
}

// of cuts x[from:to:step].
func (n *slice) of(s *state, x any, line int) any {
	part := func(e expr) (int64, bool) {
		if e == nil {
			return 0, false
		}
		v := s.eval(e)
		if v == nil {
			return 0, false
		}
		return s.toInt(v, "slice index"), true
	}
	from, hasFrom := part(n.from)
	to, hasTo := part(n.to)
	step, hasStep := part(n.step)
	s.line = line
	if !hasStep {
		step = 1
	}
	if step == 0 {
		s.fail("slice step cannot be zero")
	}
	cut := func(n int) []int {
		s.work(n)
		return sliceIndexes(int64(n), from, hasFrom, to, hasTo, step)
	}
	switch x := x.(type) {
	case *list:
		out := &list{tuple: x.tuple}
		for _, i := range cut(len(x.items)) {
			out.items = append(out.items, x.items[i])
		}
		return out
	case string:
		runes := []rune(x)
		var b strings.Builder
		for _, i := range cut(len(runes)) {
			b.WriteRune(runes[i])
		}
		return b.String()
	case *span:
		items := s.iterate(x)
		out := &list{}
		for _, i := range cut(len(items)) {
			out.items = append(out.items, items[i])
		}
		return out
	}
	s.fail("'%s' object is not subscriptable by a slice", typeName(x))
	return nil
}

// sliceIndexes lists the places that Python's slice.indices(n) gives.
func sliceIndexes(n, from int64, hasFrom bool, to int64, hasTo bool, step int64) []int {
	low, high := int64(0), n
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(i int64) int64 {
		if i < 0 {
			i += n
		}
		return max(low, min(i, high))
	}
	start, stop := low, high
	if step < 0 {
		start, stop = high, low
	}
	if hasFrom {
		start = clamp(from)
	}
	if hasTo {
		stop = clamp(to)
	}
	var out []int
	step = max(-n-1, min(step, n+1)) // a longer step leaves at once just as well
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		out = append(out, int(i))
	}
	return out
}

// mutators are what the immutable sandbox keeps back: to a template they are
// undefined.
var mutators = map[string][]string{
	"list": {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"},
	"dict": {"clear", "pop", "popitem", "setdefault", "update"},
}

// member returns a method or field of a value.
func (s *state) member(of any, name string) (any, bool) {
	if kind := typeName(of); strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") || slices.Contains(mutators[kind], name) {
		return &undefined{fmt.Sprintf("access to attribute '%s' of '%s' object is unsafe", name, kind)}, true
	}
	switch v := of.(type) {
	case string:
		if m := stringMethod(name); m != nil {
			return method(name, func(s *state, a args) any { return m(s, v, a) }), true
		}
	case *dict:
		return dictMember(v, name)
	case *list:
		switch name {
		case "index":
			return method(name, func(s *state, a args) any { return s.indexOf(v.items, a) }), true
		case "count":
			return method(name, func(s *state, a args) any { return s.countOf(v.items, a) }), true
		case "copy":
			if !v.tuple {
				return method(name, func(s *state, a args) any { return &list{items: s.copyItems(v.items)} }), true
			}
		}
	case *span:
		switch name {
		case "start":
			return v.start, true
		case "stop":
			return v.stop, true
		case "step":
			return v.step, true
		}
	case *namespace:
		return v.fields.text(name)
	case *loop:
		return v.member(name)
	case *cycler:
		return v.member(name)
	case *function:
		if name == "name" && v.what == "Macro" {
			return v.name, true
		}
	}
	return nil, false
}

func method(name string, fn func(s *state, a args) any) *function {
	return &function{name: name, what: "builtin_function_or_method", call: fn}
}

func (s *state) indexOf(items []any, a args) any {
	p := s.need(1, "index", a, "value", "start", "stop")
	n := int64(len(items))
	clamp := func(i int64) int64 {
		if i < 0 {
			i += n
		}
		return max(0, min(i, n))
	}
	from, to := clamp(s.toInt(p.or(1, int64(0)), "index")), clamp(s.toInt(p.or(2, n), "index"))
	for i := from; i < to; i++ {
		if s.equal(items[i], p[0]) {
			return i
		}
	}
	s.fail("the value is not in the list")
	return nil
}

func (s *state) countOf(items []any, a args) any {
	p := s.need(1, "count", a, "value")
	n := int64(0)
	for _, item := range items {
		if s.equal(item, p[0]) {
			n++
		}
	}
	return n
}

func dictMember(d *dict, name string) (any, bool) {
	var fn func(s *state, a args) any
	switch name {
	case "items":
		fn = func(s *state, a args) any {
			s.bind(name, a)
			s.work(len(d.keys))
			return &view{d.pairs(), "dict_items"}
		}
	case "keys":
		fn = func(s *state, a args) any { s.bind(name, a); return &view{d.keys, "dict_keys"} }
	case "values":
		fn = func(s *state, a args) any { s.bind(name, a); return &view{d.values, "dict_values"} }
	case "copy":
		fn = func(s *state, a args) any { s.bind(name, a); return d }
	case "get":
		fn = func(s *state, a args) any {
			if len(a.order) > 0 {
				s.fail("dict.get takes no keyword arguments")
			}
			p := s.need(1, name, a, "key", "default")
			if i, ok := d.index[s.hash(p[0])]; ok {
				return d.values[i]
			}
			return p.or(1, nil)
		}
	default:
		return nil, false
	}
	return method(name, fn), true
}

func (l *loop) member(name string) (any, bool) {
	n := len(l.items)
	at := func(i int, what string) any {
		if i < 0 || i >= n {
			return &undefined{"there is no " + what + " item"}
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return int64(l.index + 1), true
	case "index0":
		return int64(l.index), true
	case "revindex":
		return int64(n - l.index), true
	case "revindex0":
		return int64(n - l.index - 1), true
	case "first":
		return l.index == 0, true
	case "last":
		return l.index == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return l.depth, true
	case "depth0":
		return l.depth - 1, true
	case "previtem":
		return at(l.index-1, "previous"), true
	case "nextitem":
		return at(l.index+1, "next"), true
	case "cycle":
		return method(name, func(s *state, a args) any {
			if len(a.list) == 0 {
				s.fail("no items for cycling given")
			}
			return a.list[l.index%len(a.list)]
		}), true
	case "changed":
		return method(name, func(s *state, a args) any {
			now := &list{items: a.list}
			if l.changed != nil && s.equal(l.changed, now) {
				return false
			}
			l.changed = now
			return true
		}), true
	}
	return nil, false
}

func (c *cycler) member(name string) (any, bool) {
	switch name {
	case "current":
		return c.items[c.pos], true
	case "next":
		return method(name, func(*state, args) any {
			v := c.items[c.pos]
			c.pos = (c.pos + 1) % len(c.items)
			return v
		}), true
	case "reset":
		return method(name, func(*state, args) any { c.pos = 0; return nil }), true
	}
	return nil, false
}
