package eval

import (
	"slices"

	"lep/chat"
)

// Assemble puts examples before a question, the first example nearest to it, and drops the
// farthest until the request fits; tooLong says that even the bare question does not.
func Assemble(examples [][]chat.Message, question []chat.Message, fits func([]chat.Message) (bool, error)) (messages []chat.Message, tooLong bool, err error) {
	for n := len(examples); ; n-- {
		messages = nil
		for i := n - 1; i >= 0; i-- {
			messages = append(messages, examples[i]...)
		}
		messages = append(messages, question...)
		ok, err := fits(messages)
		if err != nil {
			return nil, false, err
		}
		if ok || n == 0 {
			return slices.Clip(messages), !ok, nil
		}
	}
}
