package chat

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"lep/chat/jinja"
	"lep/internal/hint"
)

// Template is a parsed chat template, safe for concurrent use.
type Template struct {
	program *jinja.Template
	source  string
}

// Parse reads a chat template, as it stands in chat_template.jinja or under
// chat_template in tokenizer_config.json. Errors name the template's line and are
// [*jinja.Error] inside.
func Parse(source string) (*Template, error) {
	if source == "" {
		return nil, hint.Errorf("give a chat template, or use prompt and completion without one",
			"the tokenizer has no chat template")
	}
	p, err := jinja.Parse(source)
	if err != nil {
		return nil, err
	}
	return &Template{program: p, source: source}, nil
}

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// MarksGeneration says whether the template itself marks the assistant's words
// with {% generation %} blocks.
func (t *Template) MarksGeneration() bool { return t.program.HasGeneration }

// Options are what one conversation gives to a template.
type Options struct {
	Messages []Message
	// Tools and Documents are JSON lists, nil for none, as transformers takes them.
	Tools, Documents json.RawMessage
	// AddGenerationPrompt ends the text with the header of the assistant's answer.
	AddGenerationPrompt bool
	// ContinueFinalMessage ends the text with the content of the last message, so
	// that a model continues it.
	ContinueFinalMessage bool
	// Special holds the special tokens by their names in tokenizer_config.json:
	// "bos_token", "eos_token" and so on. One that a tokenizer lacks must be absent,
	// not "": the template sees it as undefined.
	Special map[string]string
	// Extra are further variables such as enable_thinking: nil, bool, int, int64,
	// float64, string, []string or json.RawMessage.
	Extra map[string]any
	// Now is the time that strftime_now gives; zero means the clock.
	Now time.Time
	// Limits bound the template's work; zero means the defaults.
	Limits jinja.Limits
}

// Span is a range of bytes [Start, End) of a text.
type Span = jinja.Span

// Rendered is a conversation as text.
type Rendered struct {
	Text string
	// Generated holds the bytes that {% generation %} blocks wrote, in order.
	Generated []Span
	// Unplaced is the template's line of a generation block whose place in Text is not
	// known, because a macro or variable carried it; 0 if there is none.
	Unplaced int
}

// Render writes the messages by the template. A template's own complaint
// (raise_exception) is an error that holds a [*jinja.Error] with Raised set.
func (t *Template) Render(o Options) (Rendered, error) {
	vars := map[string]any{"tools": nil, "documents": nil}
	for name, token := range o.Special {
		vars[name] = token
	}
	maps.Copy(vars, o.Extra)
	messages := make([]any, len(o.Messages))
	for i, m := range o.Messages {
		messages[i] = m.object()
	}
	vars["messages"] = messages
	if o.Tools != nil {
		vars["tools"] = o.Tools
	}
	if o.Documents != nil {
		vars["documents"] = o.Documents
	}
	vars["add_generation_prompt"] = o.AddGenerationPrompt
	now := time.Now
	if !o.Now.IsZero() {
		now = func() time.Time { return o.Now }
	}
	out, err := t.program.Render(vars, now, o.Limits)
	if err != nil {
		return Rendered{}, err
	}
	r := Rendered{Text: out.Text, Generated: out.Generated, Unplaced: out.Unplaced}
	if o.ContinueFinalMessage {
		return r.cutBehindLast(o)
	}
	return r, nil
}

// cutBehindLast ends the text behind the content of the last message.
func (r Rendered) cutBehindLast(o Options) (Rendered, error) {
	if o.AddGenerationPrompt {
		return Rendered{}, fmt.Errorf("a generation prompt cannot follow a message that is to be continued")
	}
	if len(o.Messages) == 0 {
		return Rendered{}, fmt.Errorf("no message to continue")
	}
	last := o.Messages[len(o.Messages)-1].Content
	at := strings.LastIndex(r.Text, strings.TrimSpace(last))
	if strings.TrimSpace(last) == "" || at < 0 {
		return Rendered{}, fmt.Errorf("the template does not write the last message as it is, so it cannot be continued")
	}
	end := at + len(strings.TrimSpace(last))
	if whole := strings.TrimLeft(last, " \t\r\n"); strings.HasPrefix(r.Text[at:], whole) {
		end = at + len(whole) // the template kept the blanks at the end
	}
	r.Text = r.Text[:end]
	var kept []Span
	for _, g := range r.Generated {
		if g.Start < end {
			kept = append(kept, Span{Start: g.Start, End: min(g.End, end)})
		}
	}
	r.Generated = kept
	return r, nil
}
