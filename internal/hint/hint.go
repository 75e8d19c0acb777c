// Package hint attaches a second line of advice to an error: the first line
// says what is wrong and where, the hint says what to do now. The command line
// prints both.
package hint

import (
	"errors"
	"fmt"
)

type hinted struct {
	err    error
	advice string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.advice }

// Wrap returns err with advice attached; nil stays nil.
func Wrap(err error, advice string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, advice: advice}
}

// Errorf formats an error as fmt.Errorf does (%w included) and attaches advice.
func Errorf(advice, format string, args ...any) error {
	return &hinted{err: fmt.Errorf(format, args...), advice: advice}
}

// Of returns the advice of the outermost error in err's chain that has a
// Hint() string method, or "".
func Of(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
