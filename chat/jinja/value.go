package jinja

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value of a template is one of: nil (None), bool, int64, bigInt, float64,
// string, and pointers to the types below. Values are never changed once made,
// but for namespaces, loops, cyclers and joiners, and how far a generator has
// been read.
type (
	// bigInt is an integer beyond 64 bits as JSON spelled it: it can be printed,
	// compared for equality and passed on, but not computed with.
	bigInt string

	list struct {
		items []any
		tuple bool
	}
	dict struct {
		keys, values []any
		index        map[any]int // by hashed key
	}
	// generator is what filters such as map give: made when it is first read, read
	// once, without a length.
	generator struct {
		make  func() []any // nil once items are made
		items []any
		what  string // its Python type
	}
	// view is what dict.keys(), values() and items() give.
	view struct {
		items []any
		what  string
	}
	span      struct{ start, stop, step int64 } // range(start, stop, step)
	namespace struct{ fields *dict }
	undefined struct{ why string } // the message when it is used

	// function is anything that can be called.
	function struct {
		name string
		what string // its Python type
		call func(s *state, a args) any
	}
	cycler struct {
		items []any
		pos   int
	}
	joiner struct {
		sep  any
		used bool
	}
)

// hashed keys of values that are no plain Go map keys
type (
	noneKey  struct{}
	noKey    struct{} // undefined
	tupleKey string
)

const maxJSONDepth = 200

// hash returns v as a key of Go maps, by Python's rule that 1, 1.0 and True are
// one key.
func (s *state) hash(v any) any {
	switch v := v.(type) {
	case nil:
		return noneKey{}
	case *undefined:
		return noKey{}
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<62 {
			return int64(v)
		}
		return v
	case int64, string, bigInt:
		return v
	case *list:
		if !v.tuple {
			break
		}
		defer s.enter()()
		var b strings.Builder
		for _, item := range v.items {
			s.work(8)
			k := fmt.Sprintf("%T:%v", item, s.hash(item))
			fmt.Fprintf(&b, "%d:%s", len(k), k)
			s.limitString(b.Len())
		}
		return tupleKey(b.String())
	case *namespace, *function, *span, *generator, *loop, *cycler, *joiner:
		return v
	}
	s.fail("unhashable type: '%s'", typeName(v))
	return nil
}

// lazily is a generator whose items make gives when they are needed.
func lazily(make func() []any) *generator { return &generator{make: make, what: "generator"} }

// rest returns the items not yet read.
func (g *generator) rest() []any {
	if g.make != nil {
		make := g.make
		g.make = nil // before the call: a generator that reads itself is empty
		g.items = make()
	}
	return g.items
}

func newDict(size int) *dict {
	return &dict{index: make(map[any]int, size)}
}

func (d *dict) set(hashed, key, value any) {
	if i, ok := d.index[hashed]; ok {
		d.values[i] = value
		return
	}
	d.index[hashed] = len(d.keys)
	d.keys = append(d.keys, key)
	d.values = append(d.values, value)
}

// text returns the value under a string key.
func (d *dict) text(key string) (any, bool) {
	i, ok := d.index[key]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *dict) pairs() []any {
	out := make([]any, len(d.keys))
	for i, k := range d.keys {
		out[i] = &list{[]any{k, d.values[i]}, true}
	}
	return out
}

func (r *span) len() int64 {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

// typeName is Python's name of a value's type.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, bigInt:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *list:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case *generator:
		return v.what
	case *view:
		return v.what
	case *span:
		return "range"
	case *namespace:
		return "Namespace"
	case *function:
		return v.what
	case *loop:
		return "LoopContext"
	case *cycler:
		return "Cycler"
	case *joiner:
		return "Joiner"
	}
	return "Undefined"
}

// objectName is a value's type as Jinja's messages name it.
func objectName(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case *namespace, *loop, *cycler, *joiner, *function:
		return typeName(v)
	}
	return typeName(v) + " object"
}

// truth is Python's bool(v).
func (s *state) truth(v any) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	case *view:
		return len(v.items) > 0
	case *span:
		return v.len() > 0
	}
	return true
}

// length is Python's len(v).
func (s *state) length(v any) int64 {
	switch v := v.(type) {
	case *undefined:
		return 0
	case string:
		return int64(utf8.RuneCountInString(v))
	case *list:
		return int64(len(v.items))
	case *dict:
		return int64(len(v.keys))
	case *view:
		return int64(len(v.items))
	case *span:
		return v.len()
	case *loop:
		return int64(len(v.items))
	}
	s.fail("object of type '%s' has no len()", typeName(v))
	return 0
}

// iterable returns the items of v, or false if it has none. The items may be
// shared with v: they must not be changed. A generator is used up.
func (s *state) iterable(v any) ([]any, bool) {
	switch v := v.(type) {
	case *undefined:
		return nil, true
	case string:
		s.work(len(v))
		items := make([]any, 0, len(v))
		for _, r := range v {
			items = append(items, string(r))
		}
		return items, true
	case *list:
		return v.items, true
	case *dict:
		return v.keys, true
	case *view:
		return v.items, true
	case *generator:
		items := v.rest()
		v.items = nil
		return items, true
	case *span:
		n := v.len()
		s.work(int(n))
		items := make([]any, n)
		for i := range items {
			items[i] = v.start + int64(i)*v.step
		}
		return items, true
	}
	return nil, false
}

func (s *state) iterate(v any) []any {
	items, ok := s.iterable(v)
	if !ok {
		s.use(v)
		s.fail("'%s' object is not iterable", typeName(v))
	}
	return items
}

// use fails if v is undefined: for operations that undefined does not have.
func (s *state) use(v any) {
	if u, ok := v.(*undefined); ok {
		s.fail("%s", u.why)
	}
}

// Object is a mapping as a caller passes it in: fields in order, their values as
// Render takes them. Of fields with one name the last counts.
type Object []Field

// Field is one field of an [Object].
type Field struct {
	Name  string
	Value any
}

// fromGo makes a value of what a caller passes in.
func fromGo(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case int:
		return int64(v), nil
	case []string:
		l := &list{}
		for _, item := range v {
			l.items = append(l.items, item)
		}
		return l, nil
	case json.RawMessage:
		return fromJSON(v)
	case []any:
		l := &list{items: make([]any, len(v))}
		for i, item := range v {
			var err error
			if l.items[i], err = fromGo(item); err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
		}
		return l, nil
	case Object:
		d := newDict(len(v))
		for _, f := range v {
			value, err := fromGo(f.Value)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", f.Name, err)
			}
			d.set(f.Name, f.Name, value)
		}
		return d, nil
	}
	return nil, fmt.Errorf("a template cannot be given a Go value of type %T", v)
}

// fromJSON reads one JSON value as Python's json.loads does: keys keep their
// order, numbers without fraction and exponent are integers.
func fromJSON(raw json.RawMessage) (any, error) {
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("JSON is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeJSON(d, 0)
	if err != nil {
		return nil, fmt.Errorf("JSON at byte %d: %w", d.InputOffset(), err)
	}
	if len(bytes.TrimSpace(raw[d.InputOffset():])) > 0 {
		return nil, fmt.Errorf("JSON at byte %d: text behind the value", d.InputOffset())
	}
	return v, nil
}

func decodeJSON(d *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Number:
		return number(string(tok))
	case json.Delim:
		if tok == '[' {
			l := &list{}
			for d.More() {
				v, err := decodeJSON(d, depth+1)
				if err != nil {
					return nil, err
				}
				l.items = append(l.items, v)
			}
			_, err := d.Token()
			return l, err
		}
		o := newDict(0)
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeJSON(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(key, key, v)
		}
		_, err := d.Token()
		return o, err
	}
	return tok, nil // nil, bool, string
}

func number(s string) (any, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, err
		}
		return f, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return bigInt(s), nil
	}
	return n, nil
}

// copyItems is a fresh slice of items, paid for.
func (s *state) copyItems(items []any) []any {
	s.work(len(items))
	return slices.Clone(items)
}
