package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// Filters of lists and other sequences.

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
	var each func(item any) any
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
