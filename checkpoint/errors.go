package checkpoint

import (
	"fmt"
	"strings"
)

// TensorError is something wrong with one tensor.
type TensorError struct {
	File   string // or folder, as the user knows it
	Tensor string
	What   string // what is wrong, with got and want
	Advice string // what to do now, or ""
}

func (e *TensorError) Error() string {
	return fmt.Sprintf("%s: tensor %q: %s", e.File, e.Tensor, e.What)
}

// Hint returns the advice.
func (e *TensorError) Hint() string { return e.Advice }

// list writes the first few of many names.
func list(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
