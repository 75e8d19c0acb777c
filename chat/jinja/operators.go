package jinja

import (
	"cmp"
	"math"
	"strings"
	"unicode/utf8"
)

func (n *constant) eval(*state) any { return n.value }

func (n *variable) eval(s *state) any { return s.lookup(n.name) }

func (n *sequence) eval(s *state) any {
	l := &list{items: make([]any, len(n.items)), tuple: n.tuple}
	for i, x := range n.items {
		l.items[i] = s.eval(x)
	}
	return l
}

func (n *dictLiteral) eval(s *state) any {
	d := newDict(len(n.keys))
	for i, k := range n.keys {
		key := s.eval(k)
		d.set(s.hash(key), key, s.eval(n.values[i]))
	}
	return d
}

func (n *condition) eval(s *state) any {
	if s.truth(s.eval(n.test)) {
		return s.eval(n.yes)
	}
	if n.no == nil {
		return &undefined{"the inline if-expression evaluated to false and no else section was defined"}
	}
	return s.eval(n.no)
}

func (n *concat) eval(s *state) any {
	parts := make([]string, len(n.parts))
	size := 0
	for i, x := range n.parts {
		parts[i] = s.str(s.eval(x))
		size += len(parts[i])
	}
	s.limitString(size)
	return strings.Join(parts, "")
}

func (n *unary) eval(s *state) any {
	x := s.eval(n.x)
	s.line = n.line
	if n.op == "not" {
		return !s.truth(x)
	}
	switch v := number64(x).(type) {
	case int64:
		if n.op == "-" {
			if v == math.MinInt64 {
				s.overflow()
			}
			return -v
		}
		return v
	case float64:
		if n.op == "-" {
			return -v
		}
		return v
	}
	s.use(x)
	s.fail("bad operand type for unary %s: '%s'", n.op, typeName(x))
	return nil
}

func (n *binary) eval(s *state) any {
	x := s.eval(n.x)
	switch n.op { // the right side counts only if needed
	case "and":
		if !s.truth(x) {
			return x
		}
		return s.eval(n.y)
	case "or":
		if s.truth(x) {
			return x
		}
		return s.eval(n.y)
	}
	y := s.eval(n.y)
	s.line = n.line
	return s.arithmetic(n.op, x, y)
}

// number64 widens bool to int64; other values stay as they are.
func number64(v any) any {
	if b, ok := v.(bool); ok {
		if b {
			return int64(1)
		}
		return int64(0)
	}
	return v
}

func isBig(v any) bool {
	_, ok := v.(bigInt)
	return ok
}

func (s *state) overflow() { s.fail("integer result does not fit 64 bits") }

func (s *state) arithmetic(op string, x, y any) any {
	s.use(x)
	if isBig(x) || isBig(y) && op != "%" {
		s.overflow()
	}
	switch a := number64(x).(type) {
	case int64:
		switch b := number64(y).(type) {
		case int64:
			return s.integers(op, a, b)
		case float64:
			return s.floats(op, float64(a), b)
		}
	case float64:
		switch b := number64(y).(type) {
		case int64:
			return s.floats(op, a, float64(b))
		case float64:
			return s.floats(op, a, b)
		}
	case string:
		if op == "%" {
			return s.percent(a, y)
		}
		if b, ok := y.(string); ok && op == "+" {
			s.limitString(len(a) + len(b))
			return a + b
		}
	case *list:
		if b, ok := y.(*list); ok && op == "+" && a.tuple == b.tuple {
			return &list{append(s.copyItems(a.items), s.copyItems(b.items)...), a.tuple}
		}
	}
	if op == "*" {
		if n, ok := number64(y).(int64); ok {
			if v, ok := s.repeat(x, n); ok {
				return v
			}
		} else if n, ok := number64(x).(int64); ok {
			if v, ok := s.repeat(y, n); ok {
				return v
			}
		}
	}
	s.use(y)
	if a, ok := x.(string); ok && op == "+" {
		s.fail("can only concatenate str (not \"%s\") to str, the text before was %s", typeName(y), shorten(a))
	}
	s.fail("unsupported operand types for %s: '%s' and '%s'", op, typeName(x), typeName(y))
	return nil
}

// shorten quotes the end of a text for a message.
func shorten(text string) string {
	const keep = 30
	if len(text) > keep {
		text = text[len(text)-keep:]
		for text != "" && !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
	}
	var b strings.Builder
	quote(&b, text)
	return b.String()
}

func (s *state) repeat(v any, n int64) (any, bool) {
	n = max(n, 0)
	switch v := v.(type) {
	case string:
		if n > 0 && int64(len(v)) > math.MaxInt32/n {
			s.limitString(math.MaxInt32)
		}
		s.limitString(len(v) * int(n))
		return strings.Repeat(v, int(n)), true
	case *list:
		if n > 0 && int64(len(v.items)) > math.MaxInt32/n {
			s.work(math.MaxInt32)
		}
		s.work(len(v.items) * int(n))
		items := make([]any, 0, len(v.items)*int(n))
		for range n {
			items = append(items, v.items...)
			if len(v.items) == 0 {
				break
			}
		}
		return &list{items, v.tuple}, true
	}
	return nil, false
}

func (s *state) integers(op string, a, b int64) any {
	switch op {
	case "+":
		c := a + b
		if (c > a) != (b > 0) {
			if b != 0 {
				s.overflow()
			}
		}
		return c
	case "-":
		c := a - b
		if (c < a) != (b > 0) && b != 0 {
			s.overflow()
		}
		return c
	case "*":
		c := a * b
		if a != 0 && (c/a != b || a == -1 && b == math.MinInt64) {
			s.overflow()
		}
		return c
	case "/":
		return s.floats(op, float64(a), float64(b))
	case "//", "%":
		if b == 0 {
			s.fail("integer division or modulo by zero")
		}
		if a == math.MinInt64 && b == -1 {
			s.overflow()
		}
		q, r := a/b, a%b
		if r != 0 && (r < 0) != (b < 0) {
			q, r = q-1, r+b
		}
		if op == "%" {
			return r
		}
		return q
	}
	return s.power(a, b)
}

func (s *state) power(a, b int64) any {
	if b < 0 {
		return s.floats("**", float64(a), float64(b))
	}
	switch a {
	case 0, 1:
		if b == 0 {
			return int64(1)
		}
		return a
	case -1:
		return 1 - 2*(b&1)
	}
	c := int64(1)
	for range b { // ends by overflow after 63 steps at most
		c = s.integers("*", c, a).(int64)
	}
	return c
}

func (s *state) floats(op string, a, b float64) any {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	}
	if b == 0 && op != "**" || a == 0 && b < 0 && op == "**" {
		s.fail("division by zero")
	}
	switch op {
	case "/":
		return a / b
	case "//":
		return math.Floor(a / b)
	case "%":
		r := math.Mod(a, b)
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	}
	c := math.Pow(a, b)
	if math.IsNaN(c) && !math.IsNaN(a) && !math.IsNaN(b) {
		s.fail("a negative number to a fractional power is no real number")
	}
	if math.IsInf(c, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		s.fail("result of ** is too large")
	}
	return c
}

func (n *compare) eval(s *state) any {
	x := s.eval(n.x)
	for i, op := range n.ops {
		y := s.eval(n.ys[i])
		s.line = n.line
		if !s.compare(op, x, y) {
			return false
		}
		x = y
	}
	return true
}

func (s *state) compare(op string, x, y any) bool {
	switch op {
	case "==":
		return s.equal(x, y)
	case "!=":
		return !s.equal(x, y)
	case "in":
		return s.contains(y, x)
	case "not in":
		return !s.contains(y, x)
	}
	if isNaN(x) || isNaN(y) {
		return false
	}
	c := s.order(x, y)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func isNaN(v any) bool {
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
}

// equal is Python's x == y.
func (s *state) equal(x, y any) bool {
	defer s.enter()()
	s.work(1)
	switch a := number64(x).(type) {
	case nil:
		return y == nil
	case int64:
		switch b := number64(y).(type) {
		case int64:
			return a == b
		case float64:
			return float64(a) == b
		}
		return false
	case float64:
		switch b := number64(y).(type) {
		case int64:
			return a == float64(b)
		case float64:
			return a == b
		}
		return false
	case string:
		b, ok := y.(string)
		return ok && a == b
	case bigInt:
		b, ok := y.(bigInt)
		return ok && a == b
	case *list:
		b, ok := y.(*list)
		if !ok || a.tuple != b.tuple || len(a.items) != len(b.items) {
			return false
		}
		for i := range a.items {
			if !s.equal(a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case *dict:
		b, ok := y.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for i, k := range a.keys {
			j, ok := b.index[s.hash(k)]
			if !ok || !s.equal(a.values[i], b.values[j]) {
				return false
			}
		}
		return true
	case *span:
		b, ok := y.(*span)
		return ok && s.equal(&list{items: s.iterate(a)}, &list{items: s.iterate(b)})
	case *undefined:
		_, ok := y.(*undefined)
		return ok
	}
	return x == y // the same object
}

// order compares for sorting: negative, 0 or positive. Values without an order
// among them are an error, as in Python.
func (s *state) order(x, y any) int {
	defer s.enter()()
	s.work(1)
	switch a := number64(x).(type) {
	case int64:
		switch b := number64(y).(type) {
		case int64:
			return cmp.Compare(a, b)
		case float64:
			return cmp.Compare(float64(a), b)
		}
	case float64:
		switch b := number64(y).(type) {
		case int64:
			return cmp.Compare(a, float64(b))
		case float64:
			return cmp.Compare(a, b)
		}
	case string:
		if b, ok := y.(string); ok {
			return strings.Compare(a, b) // UTF-8 orders as code points do
		}
	case *list:
		b, ok := y.(*list)
		if !ok || a.tuple != b.tuple {
			break
		}
		for i := range min(len(a.items), len(b.items)) {
			if !s.equal(a.items[i], b.items[i]) {
				return s.order(a.items[i], b.items[i])
			}
		}
		return cmp.Compare(len(a.items), len(b.items))
	}
	s.use(x)
	s.use(y)
	s.fail("'%s' and '%s' have no order", typeName(x), typeName(y))
	return 0
}

// contains is Python's "item in container".
func (s *state) contains(container, item any) bool {
	switch c := container.(type) {
	case string:
		part, ok := item.(string)
		if !ok {
			s.use(item)
			s.fail("'in <string>' requires string as left operand, not %s", typeName(item))
		}
		s.work(len(c) / 8)
		return strings.Contains(c, part)
	case *dict:
		_, ok := c.index[s.hash(item)]
		return ok
	}
	items, ok := s.iterable(container)
	if !ok {
		s.use(container)
		s.fail("argument of type '%s' is not iterable", typeName(container))
	}
	for _, v := range items {
		if s.equal(v, item) {
			return true
		}
	}
	return false
}
