package jinja

import (
	"fmt"
	"strings"
	"time"
)

// Limits of one rendering; a zero field has the default.
type Limits struct {
	// Work bounds the steps: every expression is one, and every item or some bytes
	// of a value that is made are one more. Default 10 million, a second or two.
	Work int
	// Output bounds the text, and any string on the way, in bytes. Default 64 MiB.
	Output int
	// Depth bounds the nesting of calls, expressions and values. Default 1000.
	Depth int
}

const (
	defaultWork   = 10_000_000
	defaultOutput = 64 << 20
	defaultDepth  = 1000
)

// Span is a range of bytes [Start, End) of a text.
type Span struct{ Start, End int }

// Output is a rendered template.
type Output struct {
	Text string
	// Generated holds where in Text the {% generation %} blocks stand, in order.
	Generated []Span
	// Unplaced is the line of a generation block whose text went into a variable or
	// through a macro, so that its place in Text is not known; 0 if there is none.
	Unplaced int
}

// state is one rendering.
type state struct {
	limits  Limits
	spent   int
	depth   int
	line    int
	now     func() time.Time
	scope   *scope
	out     *strings.Builder
	capture int // buffers below the output: macros, set and filter blocks
	result  Output
}

// scope holds the names of one frame: the first few in a slice, which is quick to
// make and to search, the others in a map.
type scope struct {
	few   []binding
	many  map[string]any
	outer *scope
}

type binding struct {
	name  string
	value any
}

const fewNames = 8

func (c *scope) set(name string, v any) {
	for i := range c.few {
		if c.few[i].name == name {
			c.few[i].value = v
			return
		}
	}
	if len(c.few) < fewNames {
		c.few = append(c.few, binding{name, v})
		return
	}
	if c.many == nil {
		c.many = map[string]any{}
	}
	c.many[name] = v
}

func (c *scope) get(name string) (any, bool) {
	for i := range c.few {
		if c.few[i].name == name {
			return c.few[i].value, true
		}
	}
	v, ok := c.many[name]
	return v, ok
}

// Render executes the template. The values of vars may be nil, bool, int, int64,
// float64, string, []string, json.RawMessage, [Object] and []any of these; the
// template sees them as Python sees JSON. The clock of strftime_now is now, or time.Now if
// that is nil.
func (t *Template) Render(vars map[string]any, now func() time.Time, limits Limits) (out Output, err error) {
	if now == nil {
		now = time.Now
	}
	s := &state{limits: limits, line: 1, now: now, out: &strings.Builder{}}
	for _, l := range []struct {
		field *int
		value int
	}{{&s.limits.Work, defaultWork}, {&s.limits.Output, defaultOutput}, {&s.limits.Depth, defaultDepth}} {
		if *l.field == 0 {
			*l.field = l.value
		}
	}
	s.scope = &scope{outer: &scope{many: globals}}
	for name, v := range vars {
		value, err := fromGo(v)
		if err != nil {
			return Output{}, fmt.Errorf("variable %q: %w", name, err)
		}
		s.scope.set(name, value)
	}
	defer guard(&s.line, &err)
	s.run(t.body)
	s.result.Text = s.out.String()
	return s.result, nil
}

func (s *state) fail(format string, args ...any) {
	panic(&Error{Line: s.line, Message: fmt.Sprintf(format, args...)})
}

// work pays for n steps.
func (s *state) work(n int) {
	if n < 0 || n > s.limits.Work-s.spent {
		s.fail("the template takes more than %d steps", s.limits.Work)
	}
	s.spent += n
}

// limitString refuses a string of n bytes that is about to be made, or pays for it.
func (s *state) limitString(n int) {
	if n < 0 || n > s.limits.Output {
		s.fail("the template makes a text of more than %d bytes", s.limits.Output)
	}
	s.work(n / 64)
}

// enter goes one level deeper; the function it returns comes back.
func (s *state) enter() func() {
	if s.depth++; s.depth > s.limits.Depth {
		s.fail("nested more than %d deep", s.limits.Depth)
	}
	return s.leave
}

func (s *state) leave() { s.depth-- }

func (s *state) eval(x expr) any {
	s.work(1)
	if s.depth++; s.depth > s.limits.Depth {
		s.fail("nested more than %d deep", s.limits.Depth)
	}
	v := x.eval(s)
	s.depth--
	return v
}

func (s *state) lookup(name string) any {
	for c := s.scope; c != nil; c = c.outer {
		if v, ok := c.get(name); ok {
			return v
		}
	}
	return &undefined{"'" + name + "' is undefined"}
}

// inside runs fn in a scope of its own below outer.
func (s *state) inside(outer *scope, fn func()) {
	kept := s.scope
	s.scope = &scope{outer: outer}
	fn()
	s.scope = kept
}

// captured returns what fn writes.
func (s *state) captured(fn func()) string {
	kept := s.out
	s.out = &strings.Builder{}
	s.capture++
	fn()
	s.capture--
	text := s.out.String()
	s.out = kept
	return text
}

func (s *state) write(text string) {
	if s.out.Len()+len(text) > s.limits.Output {
		s.limitString(s.out.Len() + len(text))
	}
	s.work(len(text) / 64)
	s.out.WriteString(text)
}

func (s *state) run(body []stmt) flow {
	defer s.enter()()
	for _, n := range body {
		s.work(1)
		if f := n.exec(s); f != next {
			return f
		}
	}
	return next
}

func (n *text) exec(s *state) flow {
	s.write(n.data)
	return next
}

func (n *output) exec(s *state) flow {
	s.line = n.line
	v := s.eval(n.x)
	s.line = n.line
	s.write(s.str(v))
	return next
}

func (n *ifStatement) exec(s *state) flow {
	for i, x := range n.tests {
		if s.truth(s.eval(x)) {
			return s.run(n.bodies[i])
		}
	}
	return s.run(n.other)
}

func (n *jump) exec(*state) flow { return n.to }

func (n *setValue) exec(s *state) flow {
	s.line = n.line
	v := s.eval(n.x)
	n.target.assign(s, v)
	return next
}

func (n *setBlock) exec(s *state) flow {
	s.line = n.line
	var v any = s.captured(func() { s.inside(s.scope, func() { s.run(n.body) }) })
	if n.filter != nil {
		v = s.filtered(n.filter, v)
	}
	n.target.assign(s, v)
	return next
}

func (n *filterBlock) exec(s *state) flow {
	text := s.captured(func() { s.inside(s.scope, func() { s.run(n.body) }) })
	s.line = n.line
	s.write(s.str(s.filtered(n.filter, text)))
	return next
}

// filtered applies a chain of filters whose innermost one has no operand to v.
func (s *state) filtered(chain expr, v any) any {
	f, ok := chain.(*filter)
	if !ok {
		return v
	}
	if f.of != nil {
		v = s.filtered(f.of, v)
	}
	return f.apply(s, v)
}

func (n *withStatement) exec(s *state) flow {
	f := next
	values := make([]any, len(n.values))
	for i, x := range n.values {
		values[i] = s.eval(x)
	}
	s.inside(s.scope, func() {
		for i, t := range n.targets {
			t.assign(s, values[i])
		}
		f = s.run(n.body)
	})
	return f
}

func (n *generation) exec(s *state) flow {
	start := s.out.Len()
	s.inside(s.scope, func() { s.run(n.body) })
	switch {
	case s.capture > 0:
		s.result.Unplaced = n.line
	case s.out.Len() > start:
		s.result.Generated = append(s.result.Generated, Span{start, s.out.Len()})
	}
	return next
}

func (n *variable) assign(s *state, v any) {
	s.work(1)
	s.scope.set(n.name, v)
}

func (n *field) assign(s *state, v any) {
	s.line = n.line
	ns, ok := s.lookup(n.namespace).(*namespace)
	if !ok {
		s.fail("cannot assign attribute on non-namespace object '%s'", n.namespace)
	}
	s.work(1)
	ns.fields.set(n.name, n.name, v)
}

func (n *targets) assign(s *state, v any) {
	s.line = n.line
	items := s.iterate(v)
	if len(items) != len(n.items) {
		s.fail("%d values for %d names", len(items), len(n.items))
	}
	for i, t := range n.items {
		t.assign(s, items[i])
	}
}

// loop is the value named loop inside a for loop.
type loop struct {
	items   []any
	index   int // from 0
	depth   int64
	changed *list // what loop.changed saw last
	again   func(over any) string
}

func (n *forStatement) exec(s *state) flow {
	s.line = n.line
	return n.run(s, s.eval(n.over), 1)
}

func (n *forStatement) run(s *state, over any, depth int64) flow {
	defer s.enter()()
	outer := s.scope
	items := n.filtered(s, s.iterate(over))
	l := &loop{items: items, depth: depth}
	if n.recursive {
		l.again = func(over any) string {
			kept := s.scope
			s.scope = outer
			text := s.captured(func() { n.run(s, over, depth+1) })
			s.scope = kept
			return text
		}
	}
	for i := range items {
		f := next
		l.index = i
		s.inside(outer, func() {
			s.scope.set("loop", l)
			n.target.assign(s, items[i])
			f = s.run(n.body)
		})
		if f == breakLoop {
			break
		}
	}
	if len(items) == 0 {
		s.inside(outer, func() { s.run(n.other) })
	}
	return next
}

// filtered returns the items for which the loop's "if" holds.
func (n *forStatement) filtered(s *state, items []any) []any {
	if n.test == nil {
		return items
	}
	var kept []any
	for _, item := range items {
		s.inside(s.scope, func() {
			n.target.assign(s, item)
			if s.truth(s.eval(n.test)) {
				kept = append(kept, item)
			}
		})
	}
	return kept
}
