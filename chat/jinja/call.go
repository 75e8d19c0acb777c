package jinja

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// args are the evaluated arguments of a call.
type args struct {
	list  []any
	named map[string]any
	order []string // of named, as written
}

func (a *args) name(s *state, name string, v any) {
	if a.named == nil {
		a.named = map[string]any{}
	}
	if _, ok := a.named[name]; ok {
		s.fail("argument %q given twice", name)
	}
	a.named[name] = v
	a.order = append(a.order, name)
}

func (s *state) arguments(n *arguments) args {
	var a args
	for _, x := range n.positional {
		a.list = append(a.list, s.eval(x))
	}
	if n.list != nil {
		a.list = append(a.list, s.copyItems(s.iterate(s.eval(n.list)))...)
	}
	for i, name := range n.names {
		a.name(s, name, s.eval(n.named[i]))
	}
	if n.mapped != nil {
		d, ok := s.eval(n.mapped).(*dict)
		if !ok {
			s.fail("argument after ** must be a mapping")
		}
		for i, k := range d.keys {
			a.name(s, s.text(k, "keywords"), d.values[i])
		}
	}
	return a
}

// absent marks a parameter that was not given.
type absent struct{}

// bound are the arguments of a call in the order of the parameters.
type bound []any

// or returns argument i, or the default if it was not given.
func (b bound) or(i int, other any) any {
	if _, ok := b[i].(absent); ok {
		return other
	}
	return b[i]
}

func (b bound) given(i int) bool {
	_, missing := b[i].(absent)
	return !missing
}

// bind puts arguments in the order of the parameters; too many, unknown and
// doubled ones fail.
func (s *state) bind(what string, a args, params ...string) bound {
	if len(a.list) > len(params) {
		s.fail("%s takes %d arguments, got %d", what, len(params), len(a.list))
	}
	b := make(bound, len(params))
	for i := range b {
		if i < len(a.list) {
			b[i] = a.list[i]
		} else {
			b[i] = absent{}
		}
	}
	for _, name := range a.order {
		i := slices.Index(params, name)
		if i < 0 {
			s.fail("%s got an unexpected keyword argument '%s'", what, name)
		}
		if b.given(i) {
			s.fail("%s got multiple values for argument '%s'", what, name)
		}
		b[i] = a.named[name]
	}
	return b
}

// need is bind for calls whose first n parameters must be given.
func (s *state) need(n int, what string, a args, params ...string) bound {
	b := s.bind(what, a, params...)
	for i := range n {
		if !b.given(i) {
			s.fail("%s is missing its argument '%s'", what, params[i])
		}
	}
	return b
}

// text is a string argument.
func (s *state) text(v any, what string) string {
	t, ok := v.(string)
	if !ok {
		s.use(v)
		s.fail("%s must be a str, not %s", what, typeName(v))
	}
	return t
}

// toInt is an integer argument.
func (s *state) toInt(v any, what string) int64 {
	n, ok := number64(v).(int64)
	if !ok {
		s.use(v)
		s.fail("%s must be an int, not %s", what, typeName(v))
	}
	return n
}

func (n *call) eval(s *state) any {
	f := s.eval(n.of)
	a := s.arguments(&n.args)
	s.line = n.line
	return s.call(f, a)
}

func (s *state) call(f any, a args) any {
	defer s.enter()()
	switch f := f.(type) {
	case *function:
		return f.call(s, a)
	case *loop:
		over := s.need(1, "loop", a, "iterable")
		if f.again == nil {
			s.fail("the loop must have the 'recursive' marker to be called")
		}
		return f.again(over[0])
	case *joiner:
		return s.str(f)
	}
	s.use(f)
	s.fail("'%s' object is not callable", typeName(f))
	return nil
}

func (n *filter) eval(s *state) any {
	return n.apply(s, s.eval(n.of))
}

func (n *filter) apply(s *state, v any) any {
	a := s.arguments(&n.args)
	s.line = n.line
	return s.applyFilter(n.name, v, a)
}

func (s *state) applyFilter(name string, v any, a args) any {
	f := filterNamed(name)
	if f == nil {
		s.fail("no filter named %q", name)
	}
	return f(s, v, a)
}

func (n *test) eval(s *state) any {
	v := s.eval(n.of)
	a := s.arguments(&n.args)
	s.line = n.line
	return s.applyTest(n.name, v, a) != n.negate
}

func (s *state) applyTest(name string, v any, a args) bool {
	t := testNamed(name)
	if t == nil {
		s.fail("no test named %q", name)
	}
	return t(s, v, a)
}

func (n *macroStatement) exec(s *state) flow {
	s.scope.set(n.name, n.function(s))
	return next
}

// function closes the macro over the scope where it stands.
func (n *macroStatement) function(s *state) *function {
	outer := s.scope
	return &function{name: n.name, what: "Macro", call: func(s *state, a args) any {
		return s.captured(func() {
			s.inside(outer, func() {
				n.bind(s, a)
				s.run(n.body)
			})
		})
	}}
}

// bind sets a macro's parameters; those left out have their default or are undefined.
func (n *macroStatement) bind(s *state, a args) {
	first := len(n.params) - len(n.defaults)
	used := map[string]bool{}
	for i, p := range n.params {
		v, named := a.named[p]
		switch {
		case i < len(a.list) && named:
			s.fail("macro '%s' got multiple values for argument '%s'", n.name, p)
		case i < len(a.list):
			v = a.list[i]
		case named:
			used[p] = true
		case i >= first:
			v = s.eval(n.defaults[i-first])
		default:
			v = &undefined{fmt.Sprintf("parameter '%s' was not provided", p)}
		}
		s.scope.set(p, v)
	}
	n.bindRest(s, a, used)
}

// bindRest sets caller, varargs and kwargs where the body mentions them.
func (n *macroStatement) bindRest(s *state, a args, used map[string]bool) {
	if n.usesCaller && !slices.Contains(n.params, "caller") {
		used["caller"] = true
		v, ok := a.named["caller"]
		if !ok {
			v = &undefined{"no caller defined"}
		}
		s.scope.set("caller", v)
	}
	var extra []any
	if len(a.list) > len(n.params) {
		extra = a.list[len(n.params):]
	}
	if n.usesVarargs {
		s.scope.set("varargs", &list{items: extra, tuple: true})
	} else if len(extra) > 0 {
		s.fail("macro '%s' takes not more than %d argument(s)", n.name, len(n.params))
	}
	rest := newDict(0)
	for _, name := range a.order {
		if !used[name] {
			rest.set(name, name, a.named[name])
		}
	}
	if n.usesKwargs {
		s.scope.set("kwargs", rest)
	} else if len(rest.keys) > 0 {
		s.fail("macro '%s' takes no keyword argument '%s'", n.name, rest.keys[0])
	}
}

func (n *callBlock) exec(s *state) flow {
	s.line = n.line
	f := s.eval(n.call.of)
	a := s.arguments(&n.call.args)
	a.name(s, "caller", n.caller.function(s))
	s.line = n.line
	s.write(s.str(s.call(f, a)))
	return next
}

// globals are the names every template sees, the read-only outermost scope.
var globals = map[string]any{
	"range":           builtin("range", callRange),
	"dict":            builtin("dict", callDict),
	"namespace":       builtin("namespace", callNamespace),
	"cycler":          builtin("cycler", callCycler),
	"joiner":          builtin("joiner", callJoiner),
	"raise_exception": builtin("raise_exception", callRaise),
	"strftime_now":    builtin("strftime_now", callStrftime),
}

func builtin(name string, fn func(s *state, a args) any) *function {
	return &function{name: name, what: "function", call: fn}
}

const maxRange = 100_000 // as in Jinja's sandbox

func callRange(s *state, a args) any {
	p := s.need(1, "range", args{list: a.list}, "start", "stop", "step")
	r := &span{0, s.toInt(p[0], "range"), 1}
	if p.given(1) {
		r.start, r.stop = r.stop, s.toInt(p[1], "range")
	}
	if p.given(2) {
		if r.step = s.toInt(p[2], "range"); r.step == 0 {
			s.fail("range() arg 3 must not be zero")
		}
	}
	const far = 1 << 40 // keeps the arithmetic of len within 64 bits
	for _, n := range []int64{r.start, r.stop, r.step} {
		if n > far || n < -far {
			s.fail("range too big: the sandbox blocks numbers beyond %d", int64(far))
		}
	}
	if r.len() > maxRange {
		s.fail("range too big: the sandbox blocks ranges larger than %d", maxRange)
	}
	return r
}

func callDict(s *state, a args) any {
	d := newDict(len(a.order))
	if len(a.list) > 1 {
		s.fail("dict expected at most 1 argument, got %d", len(a.list))
	}
	if len(a.list) == 1 {
		if from, ok := a.list[0].(*dict); ok {
			s.work(len(from.keys))
			d.keys, d.values, d.index = slices.Clone(from.keys), slices.Clone(from.values), maps.Clone(from.index)
		} else {
			for _, pair := range s.iterate(a.list[0]) {
				kv := s.iterate(pair)
				if len(kv) != 2 {
					s.fail("dict: an item has length %d, 2 is required", len(kv))
				}
				s.work(1)
				d.set(s.hash(kv[0]), kv[0], kv[1])
			}
		}
	}
	for _, name := range a.order {
		d.set(name, name, a.named[name])
	}
	return d
}

func callNamespace(s *state, a args) any { return &namespace{callDict(s, a).(*dict)} }

func callCycler(s *state, a args) any {
	if len(a.list) == 0 {
		s.fail("cycler: at least one item has to be provided")
	}
	return &cycler{items: a.list}
}

func callJoiner(s *state, a args) any {
	return &joiner{sep: s.bind("joiner", a, "sep").or(0, ", ")}
}

func callRaise(s *state, a args) any {
	message := s.str(s.need(1, "raise_exception", a, "message")[0])
	panic(&Error{Line: s.line, Message: message, Raised: true})
}

func callStrftime(s *state, a args) any {
	format := s.text(s.need(1, "strftime_now", a, "format")[0], "strftime_now")
	return s.strftime(format)
}

// strftime formats the time with C's codes, in the C locale.
func (s *state) strftime(format string) string {
	now := s.now()
	out := make([]byte, 0, len(format)+16)
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out = append(out, format[i])
			continue
		}
		i++
		if format[i] == '-' && i+1 < len(format) { // glibc: no padding
			i++
			if n, ok := map[byte]int{'d': now.Day(), 'm': int(now.Month()), 'H': now.Hour(), 'M': now.Minute(),
				'S': now.Second(), 'I': (now.Hour()+11)%12 + 1, 'j': now.YearDay()}[format[i]]; ok {
				out = strconv.AppendInt(out, int64(n), 10)
				continue
			}
			s.fail("strftime_now: code %%-%c is not known", format[i])
		}
		layout, ok := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'B': "January", 'b': "Jan",
			'h': "Jan", 'A': "Monday", 'a': "Mon", 'y': "06", 'I': "03", 'p': "PM", 'e': "_2", 'j': "002", 'F': "2006-01-02",
			'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
			'%': "%", 'n': "\n", 't': "\t"}[format[i]]
		switch {
		case ok:
			out = now.AppendFormat(out, layout)
		case format[i] == 'f':
			out = fmt.Appendf(out, "%06d", now.Nanosecond()/1000)
		case format[i] == 'z' || format[i] == 'Z': // a naive time has no zone
		default:
			s.fail("strftime_now: code %%%c is not known", format[i])
		}
	}
	return string(out)
}
