package chat

import (
	"fmt"
	"strings"
	"unicode"

	"lep/internal/hint"
)

// Answers returns the parts of a rendered conversation that the assistant is to
// write: its words with the token that ends them, not the header before nor the
// newline behind that token. They are
//
//   - what the template's {% generation %} blocks wrote, if it has such blocks;
//   - otherwise, for each assistant message, what follows the conversation before
//     it with a generation prompt, without blanks at the end;
//   - or, where a template writes earlier turns differently once more follow
//     (reasoning that is dropped, say), what changes in the text with the message's
//     content, and the special token directly behind it.
//
// Messages before number learn are left out. special says whether a special
// token of the tokenizer begins a text, and how many bytes it has; nil for none.
func (t *Template) Answers(o Options, learn int, special func(text string) int) (Rendered, error) {
	r, err := t.Render(o)
	if err != nil {
		return Rendered{}, err
	}
	if t.MarksGeneration() {
		return t.markedAnswers(o, r, learn)
	}
	r.Generated, err = t.findAnswers(o, r.Text, learn, special)
	return r, err
}

// markedAnswers leaves out of r, which has generation blocks, those of the messages
// before number learn: as many as there are when these stand alone.
func (t *Template) markedAnswers(o Options, r Rendered, learn int) (Rendered, error) {
	if r.Unplaced > 0 {
		return Rendered{}, fmt.Errorf("chat template line %d: a generation block inside a macro, call or set block: its place in the text is not known", r.Unplaced)
	}
	if learn == 0 {
		return r, nil
	}
	before := o
	before.Messages, before.AddGenerationPrompt = o.Messages[:learn], false
	head, err := t.Render(before)
	if err != nil {
		return Rendered{}, fmt.Errorf("the first %d messages alone: %w", learn, err)
	}
	r.Generated = r.Generated[min(len(head.Generated), len(r.Generated)):]
	return r, nil
}

// findAnswers finds the assistant's parts of text, which o renders to, from message
// number learn on, by rendering variants of the conversation.
func (t *Template) findAnswers(o Options, text string, learn int, special func(string) int) ([]Span, error) {
	var spans []Span
	for i, m := range o.Messages {
		if m.Role != "assistant" || i < learn {
			continue
		}
		s, ok := t.answerByPrefix(o, text, i, special)
		if !ok {
			s, ok = t.answerByContent(o, text, i, special)
		}
		if !ok {
			return nil, hint.Errorf("give a template that marks the assistant's words with {% generation %} blocks",
				"message %d: cannot tell where the template writes the assistant's words", i+1)
		}
		if n := len(spans); n > 0 && s.Start < spans[n-1].End {
			return nil, fmt.Errorf("message %d: its place in the text overlaps the answer before", i+1)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// answerByPrefix finds message i behind the conversation before it.
func (t *Template) answerByPrefix(o Options, text string, i int, special func(string) int) (Span, bool) {
	upTo := func(n int, prompt bool) (string, bool) {
		part := o
		part.Messages, part.AddGenerationPrompt = o.Messages[:n], prompt
		r, err := t.Render(part)
		return r.Text, err == nil && strings.HasPrefix(text, r.Text)
	}
	head, ok := upTo(i, true)
	if !ok {
		return Span{}, false
	}
	whole, ok := upTo(i+1, false)
	if !ok || len(whole) <= len(head) {
		return Span{}, false
	}
	end := answerEnd(whole, len(head), o.Messages[i], special)
	return Span{Start: len(head), End: end}, end > len(head)
}

// answerEnd finds where the answer m ends in whole, which it begins at start: with
// the special token behind its content, else with the last character that is no
// blank, the content's own blanks aside.
func answerEnd(whole string, start int, m Message, special func(string) int) int {
	end := len(strings.TrimRightFunc(whole, unicode.IsSpace))
	if strings.TrimSpace(m.Content) == "" {
		return end
	}
	at := strings.LastIndex(whole[start:], m.Content)
	if kept := strings.TrimSpace(m.Content); at < 0 {
		m.Content = kept // the template trims
		at = strings.LastIndex(whole[start:], kept)
	}
	if at < 0 {
		return end
	}
	behind := start + at + len(m.Content)
	if special != nil && m.Field("tool_calls") == nil {
		if n := special(whole[behind:]); n > 0 {
			return behind + n
		}
	}
	return max(end, behind)
}

// answerByContent finds the content of message i as what changes in the text when
// the content does; the special token behind it ends the answer.
func (t *Template) answerByContent(o Options, text string, i int, special func(string) int) (Span, bool) {
	m := o.Messages[i]
	words := strings.TrimSpace(m.Content)
	if words == "" || m.Field("tool_calls") != nil {
		return Span{}, false
	}
	other := o
	other.Messages = append([]Message{}, o.Messages...)
	stand := "0"
	for strings.HasPrefix(words, stand[:1]) || strings.HasSuffix(words, stand[:1]) {
		stand = string(stand[0] + 1) // a character that neither begins nor ends the words
	}
	other.Messages[i].Content = stand
	r, err := t.Render(other)
	if err != nil {
		return Span{}, false
	}
	start := commonPrefix(text, r.Text)
	tail := commonPrefix(reverse(text[start:]), reverse(r.Text[start:]))
	end := len(text) - tail
	if end <= start || strings.TrimSpace(text[start:end]) != words && !strings.HasSuffix(words, text[start:end]) {
		return Span{}, false
	}
	if special != nil {
		end += special(text[end:])
	}
	return Span{Start: start, End: end}, true
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// reverse turns the bytes around.
func reverse(text string) string {
	b := []byte(text)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
