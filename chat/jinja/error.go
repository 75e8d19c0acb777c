package jinja

import "fmt"

// Error is what is wrong with a template, or what stopped it.
type Error struct {
	Line    int    // of the template, from 1
	Message string // without the line
	Raised  bool   // the template called raise_exception itself
}

func (e *Error) Error() string { return fmt.Sprintf("chat template line %d: %s", e.Line, e.Message) }

// guard turns a panic into the *Error it carries. Parser and evaluator report
// through panics of *Error, which never leave this package; any other panic
// would be our own fault and must not take the program down for a hostile
// template.
func guard(line *int, err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		*err = &Error{Line: *line, Message: fmt.Sprintf("internal error: %v", r)}
	}
}
