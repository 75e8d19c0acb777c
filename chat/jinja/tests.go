package jinja

import "slices"

type testFunc func(s *state, v any, a args) bool

// testNamed lists all tests; nil if there is none of that name.
func testNamed(name string) testFunc {
	switch name {
	case "defined", "undefined":
		return func(s *state, v any, a args) bool {
			s.bind(name, a)
			return isUndefined(v) == (name == "undefined")
		}
	case "filter":
		return func(s *state, v any, a args) bool {
			text, ok := v.(string)
			return ok && filterNamed(text) != nil
		}
	case "test":
		return func(s *state, v any, a args) bool {
			text, ok := v.(string)
			return ok && testNamed(text) != nil
		}
	case "divisibleby":
		return func(s *state, v any, a args) bool {
			n := s.need(1, name, a, "num")[0]
			return s.equal(s.arithmetic("%", v, n), int64(0))
		}
	case "odd", "even":
		return func(s *state, v any, a args) bool {
			s.bind(name, a)
			return s.equal(s.arithmetic("%", v, int64(2)), int64(1)) == (name == "odd")
		}
	case "sameas":
		return func(s *state, v any, a args) bool { return same(v, s.need(1, name, a, "other")[0]) }
	case "in":
		return func(s *state, v any, a args) bool { return s.contains(s.need(1, name, a, "seq")[0], v) }
	case "lower", "upper":
		return func(s *state, v any, a args) bool { s.bind(name, a); return is("is"+name, s.str(v)) }
	}
	if op := comparison(name); op != "" {
		return func(s *state, v any, a args) bool { return s.compare(op, v, s.need(1, name, a, "other")[0]) }
	}
	if kinds := kindTest(name); kinds != nil {
		return func(s *state, v any, a args) bool {
			s.bind(name, a)
			return kinds(v)
		}
	}
	return nil
}

func isUndefined(v any) bool {
	_, ok := v.(*undefined)
	return ok
}

// comparison names the operator of a test such as "eq".
func comparison(name string) string {
	switch name {
	case "==", "eq", "equalto":
		return "=="
	case "!=", "ne":
		return "!="
	case ">", "gt", "greaterthan":
		return ">"
	case ">=", "ge":
		return ">="
	case "<", "lt", "lessthan":
		return "<"
	case "<=", "le":
		return "<="
	}
	return ""
}

// kindTest returns a test of a value's type alone.
func kindTest(name string) func(v any) bool {
	of := func(kinds ...string) func(v any) bool {
		return func(v any) bool { return slices.Contains(kinds, typeName(v)) }
	}
	switch name {
	case "none":
		return func(v any) bool { return v == nil }
	case "true":
		return func(v any) bool { return v == true }
	case "false":
		return func(v any) bool { return v == false }
	case "boolean":
		return of("bool")
	case "integer":
		return of("int")
	case "float":
		return of("float")
	case "number":
		return of("int", "float", "bool")
	case "string":
		return of("str")
	case "mapping":
		return of("dict")
	case "sequence":
		return of("str", "list", "tuple", "dict", "range", "Undefined")
	case "iterable":
		return func(v any) bool {
			switch v.(type) {
			case string, *list, *dict, *generator, *view, *span, *undefined, *loop:
				return true
			}
			return false
		}
	case "callable":
		return func(v any) bool {
			switch v.(type) {
			case *function, *loop, *joiner, *undefined:
				return true
			}
			return false
		}
	case "escaped":
		return func(any) bool { return false }
	}
	return nil
}

// same is Python's "is" as far as values have an identity here: small
// integers and equal strings are one object.
func same(a, b any) bool { return a == b }
