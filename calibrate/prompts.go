package calibrate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"lep/chat"
	"lep/corpus"
	"lep/internal/hint"
)

// prompt is what the model is asked: one message of a user or several, which it answers one by one.
type prompt struct {
	source string // name of the file, without its folder
	line   int
	system string
	users  []string
}

// maxTurns bounds the user's messages of one conversation.
const maxTurns = 1000

// prompts is what the files hold.
type prompts struct {
	list       []prompt
	duplicates int // left out: the same words as an earlier one, but for white space
	bad        corpus.BadRows
	digest     string // SHA-256 over the list
}

// readPrompts reads texts by line from .txt, the column text_field of tables, and JSON rows:
// {"prompt"}, {text_field}, {"messages"}, {"conversations"} or {"instruction", "input"}.
func readPrompts(ctx context.Context, o *Options) (*prompts, error) {
	opts := o.Text
	opts.RawJSON = true
	r, err := corpus.Open(o.Prompts, opts)
	if err != nil {
		return nil, err
	}
	p := &prompts{}
	seen := map[[16]byte]bool{}
	h := sha256.New()
	for doc, err := range r.Documents(ctx) {
		if err != nil {
			return nil, err
		}
		q, err := readPrompt(doc, o)
		if err != nil {
			if err := r.Reject(doc, err); err != nil {
				return nil, err
			}
			continue
		}
		text, err := json.Marshal([]any{q.system, q.users})
		if err != nil {
			return nil, err
		}
		if key := q.key(); seen[key] {
			p.duplicates++
			continue
		} else {
			seen[key] = true
		}
		p.list = append(p.list, q)
		h.Write(text)
		if len(p.list) == o.Limit {
			break
		}
	}
	p.bad = r.Bad()
	if len(p.list) == 0 {
		return nil, fmt.Errorf("%s: no prompt; %d bad rows", strings.Join(o.Prompts, ", "), p.bad.Count)
	}
	p.digest = fmt.Sprintf("%x", h.Sum(nil))
	return p, nil
}

// key is the same for prompts of the same words.
func (q *prompt) key() [16]byte {
	h := sha256.New()
	for _, text := range append([]string{q.system}, q.users...) {
		io.WriteString(h, strings.Join(strings.Fields(text), " ")+"\x00")
	}
	return [16]byte(h.Sum(nil))
}

func readPrompt(doc corpus.Doc, o *Options) (prompt, error) {
	q := prompt{source: filepath.Base(doc.Source), line: doc.Line, system: o.System}
	err := error(nil)
	if isJSON(doc.Source) {
		err = q.readRow([]byte(doc.Text), o.Text.TextField)
	} else {
		q.users = []string{doc.Text}
	}
	if err != nil {
		return q, err
	}
	for _, u := range q.users {
		if strings.TrimSpace(u) == "" {
			return q, errors.New("the prompt is empty")
		}
	}
	return q, nil
}

// isJSON reports that corpus gives the rows of a file as JSON objects.
func isJSON(file string) bool {
	name := filepath.Base(file)
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	return strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".jsonl")
}

func (q *prompt) readRow(line []byte, field string) error {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil {
		return err
	}
	has := func(key string) bool { return row[key] != nil && string(row[key]) != "null" }
	switch {
	case has("messages"):
		return q.readMessages(row["messages"])
	case has("conversations"):
		r, err := chat.ReadRow(line, "row")
		if err != nil {
			return errors.Unwrap(err)
		}
		return q.take(r.Messages)
	case has("prompt") && row["prompt"][0] == '[':
		return q.readMessages(row["prompt"])
	case has("prompt"):
		return q.readText(row["prompt"], "prompt")
	case has("instruction"):
		return q.readInstruction(row)
	case has(field):
		return q.readText(row[field], field)
	}
	return hint.Errorf("a row has prompt, messages, conversations, instruction or "+field, "no prompt in the row")
}

func (q *prompt) readText(raw json.RawMessage, field string) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("%q is no string", field)
	}
	q.users = []string{text}
	return nil
}

func (q *prompt) readMessages(raw json.RawMessage) error {
	var messages []chat.Message
	if err := json.Unmarshal(raw, &messages); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	return q.take(messages)
}

// readInstruction reads Alpaca's layout as training does: the input stands below the instruction.
func (q *prompt) readInstruction(row map[string]json.RawMessage) error {
	if err := q.readText(row["instruction"], "instruction"); err != nil {
		return err
	}
	var input string
	if raw := row["input"]; raw != nil {
		if err := json.Unmarshal(raw, &input); err != nil {
			return errors.New(`"input" is no string`)
		}
	}
	q.users[0] = strings.TrimPrefix(strings.TrimSuffix(q.users[0]+"\n"+input, "\n"), "\n")
	return nil
}

// take keeps the system message and the user's; the answers are to be the model's own.
func (q *prompt) take(messages []chat.Message) error {
	for i, m := range messages {
		switch m.Role {
		case "system", "developer":
			if i > 0 {
				return fmt.Errorf("message %d: a system message behind others", i+1)
			}
			q.system = m.Content
		case "user":
			q.users = append(q.users, m.Content)
		case "assistant":
			if m.Field("tool_calls") != nil {
				return fmt.Errorf("message %d: tool calls cannot be answered anew", i+1)
			}
		default:
			return fmt.Errorf("message %d: role %q cannot be answered anew, want system, user and assistant", i+1, m.Role)
		}
	}
	if len(q.users) == 0 {
		return errors.New("no message of a user")
	}
	if len(q.users) > maxTurns {
		return fmt.Errorf("%d messages of a user, want at most %d", len(q.users), maxTurns)
	}
	return nil
}

// messages returns the conversation up to the user's message that comes behind the answers.
func (q *prompt) messages(answers []string) []chat.Message {
	var list []chat.Message
	if q.system != "" {
		list = append(list, chat.Message{Role: "system", Content: q.system})
	}
	for i, u := range q.users {
		list = append(list, chat.Message{Role: "user", Content: u})
		if i >= len(answers) {
			break
		}
		list = append(list, chat.Message{Role: "assistant", Content: answers[i]})
	}
	return list
}
