package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lep/chat/jinja"
	"lep/internal/orderedjson"
)

// Message is one turn of a conversation in OpenAI's layout. Fields beyond role
// and content (tool_calls, name, reasoning_content, …) are kept and seen by
// templates.
type Message struct {
	Role string
	// Content is the text; of a content that is a list of parts, the text parts one
	// after another; "" if there is none.
	Content string
	// fields is the object as it was read, nil for a message made in Go.
	fields *orderedjson.Object
	// read is Content as it came out of fields: as long as it is unchanged, the
	// template sees the content as it was read, parts and null included.
	read string
}

// The roles that templates know.
var roles = []string{"system", "developer", "user", "assistant", "tool", "function", "ipython"}

// UnmarshalJSON reads an object with role and, usually, content: a string, null,
// or a list of parts {"type":"text","text":…}.
func (m *Message) UnmarshalJSON(data []byte) error {
	o, err := orderedjson.Parse(data)
	if err != nil {
		return err
	}
	var role, content string
	if ok, err := o.Decode("role", &role); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("no \"role\" among its fields %s", quoted(o.Keys()))
	}
	if content, err = contentText(o.Raw("content")); err != nil {
		return err
	}
	*m = Message{Role: role, Content: content, fields: o, read: content}
	return nil
}

// contentText returns the text of a message's content.
func contentText(raw json.RawMessage) (string, error) {
	if raw == nil || string(raw) == "null" {
		return "", nil
	}
	var text string
	if raw[0] == '"' {
		err := json.Unmarshal(raw, &text)
		return text, err
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", fmt.Errorf("content is neither a string nor a list of parts")
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Text != nil {
			b.WriteString(*p.Text)
		}
	}
	return b.String(), nil
}

// MarshalJSON writes the message with all its fields, in the order they were read.
func (m Message) MarshalJSON() ([]byte, error) {
	o := orderedjson.New()
	if m.fields != nil {
		if m.fields.Text("role") == m.Role && m.Content == m.read {
			return m.fields.MarshalJSON()
		}
		o = m.fields.Clone()
	}
	if err := o.Set("role", m.Role); err != nil {
		return nil, err
	}
	if m.fields == nil || m.Content != m.read {
		if err := o.Set("content", m.Content); err != nil {
			return nil, err
		}
	}
	return o.MarshalJSON()
}

// object is the message as a template sees it: what MarshalJSON writes, without
// the way through JSON for texts.
func (m Message) object() jinja.Object {
	if m.fields == nil {
		return jinja.Object{{Name: "role", Value: m.Role}, {Name: "content", Value: m.Content}}
	}
	o := make(jinja.Object, 0, len(m.fields.Keys())+1)
	for _, key := range m.fields.Keys() {
		raw := m.fields.Raw(key)
		switch {
		case key == "role":
			o = append(o, jinja.Field{Name: key, Value: m.Role})
		case key == "content" && (m.Content != m.read || raw[0] == '"'):
			o = append(o, jinja.Field{Name: key, Value: m.Content})
		default:
			o = append(o, jinja.Field{Name: key, Value: raw})
		}
	}
	if m.Content != m.read && !m.fields.Has("content") {
		o = append(o, jinja.Field{Name: "content", Value: m.Content})
	}
	return o
}

// Field returns the JSON of another field of the message, nil if it has none.
func (m Message) Field(name string) json.RawMessage {
	if m.fields == nil {
		return nil
	}
	return m.fields.Raw(name)
}

// SetField sets another field of the message, such as tool_calls or name; role
// and content have their own Go fields.
func (m *Message) SetField(name string, v any) error {
	if name == "role" || name == "content" {
		return fmt.Errorf("%q is a field of its own", name)
	}
	o := orderedjson.New()
	if m.fields != nil {
		o = m.fields.Clone()
	} else {
		if err := o.Set("role", m.Role); err != nil {
			return err
		}
		if err := o.Set("content", m.Content); err != nil {
			return err
		}
		m.read = m.Content
	}
	if err := o.Set(name, v); err != nil {
		return err
	}
	m.fields = o
	return nil
}

// checkMessages refuses what no template can be given: no message at all, an
// unknown role, an assistant turn with nothing in it.
func checkMessages(messages []Message) error {
	if len(messages) == 0 {
		return fmt.Errorf("no messages")
	}
	for i, m := range messages {
		if !slices.Contains(roles, m.Role) {
			return fmt.Errorf("message %d: unknown role %q, want one of %s", i+1, m.Role, quoted(roles))
		}
		if m.Role == "assistant" && m.Content == "" && m.Field("tool_calls") == nil && m.Field("reasoning_content") == nil {
			return fmt.Errorf("message %d: role %q has neither content nor tool calls", i+1, m.Role)
		}
	}
	return nil
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, ", ")
}
