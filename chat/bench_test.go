package chat

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRender renders a conversation of 20 turns by a template with reasoning
// and calls; bytes are those of the text.
func BenchmarkRender(b *testing.B) {
	source := readStyle(b, "thinking")
	template, err := Parse(source)
	if err != nil {
		b.Fatal(err)
	}
	var o Options
	for i := range 20 {
		o.Messages = append(o.Messages, Message{Role: "user", Content: fmt.Sprintf("Question %d?", i)},
			Message{Role: "assistant", Content: strings.Repeat("Words of an answer. ", 20)})
	}
	r, err := template.Render(o)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(r.Text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Render(o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	source := readStyle(b, "channels")
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, err := Parse(source); err != nil {
			b.Fatal(err)
		}
	}
}
