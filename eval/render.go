package eval

import (
	"strings"
	"unicode"

	"lep/chat"
	"lep/tokenizer"
)

// Renderer writes messages as a model is to see them: by its chat template, or as plain text
// for base models:
//
//	system     {content}\n
//	user       Query: {content}\n\n
//	assistant  Response: {content}\n\n
//
// A last message of the assistant stays open, to be continued. The zero value is plain.
type Renderer struct {
	Template *chat.Template // nil: plain text
	Special  map[string]string
	System   string // put in front of every request that has no system message
}

// NewRenderer takes the chat template of a tokenizer's folder; plain ignores it. A folder without
// a template gives plain text.
func NewRenderer(tok *tokenizer.Tokenizer, plain bool, system string) (*Renderer, error) {
	r := &Renderer{System: system}
	if plain || tok == nil || tok.Config().ChatTemplate == "" {
		return r, nil
	}
	t, err := chat.Parse(tok.Config().ChatTemplate)
	if err != nil {
		return nil, err
	}
	r.Template, r.Special = t, chat.Special(tok.Config())
	return r, nil
}

// Plain reports that no chat template is used.
func (r *Renderer) Plain() bool { return r.Template == nil }

// Messages returns the messages with the system instruction in front.
func (r *Renderer) Messages(messages []chat.Message) []chat.Message {
	if r.System == "" || len(messages) > 0 && messages[0].Role == "system" {
		return messages
	}
	return append([]chat.Message{{Role: "system", Content: r.System}}, messages...)
}

// Render returns the prompt.
func (r *Renderer) Render(messages []chat.Message) (string, error) {
	messages = r.Messages(messages)
	open := len(messages) > 0 && messages[len(messages)-1].Role == "assistant"
	if r.Template != nil {
		out, err := r.Template.Render(chat.Options{Messages: messages, Special: r.Special, AddGenerationPrompt: !open, ContinueFinalMessage: open})
		return out.Text, err
	}
	var b strings.Builder
	for i, m := range messages {
		switch m.Role {
		case "system":
			b.WriteString(m.Content + "\n")
		case "user":
			b.WriteString("Query: " + m.Content + "\n\n")
		default:
			b.WriteString("Response: " + m.Content)
			if i < len(messages)-1 {
				b.WriteString("\n\n")
			}
		}
	}
	if !open {
		b.WriteString("Response:")
	}
	return b.String(), nil
}

// Stop returns what ends an answer: the empty line in plain text, else what the template writes
// behind an assistant's words.
func (r *Renderer) Stop() ([]string, error) {
	if r.Template == nil {
		return []string{"\n\n"}, nil
	}
	const probe = "ok7"
	out, err := r.Template.Render(chat.Options{Messages: []chat.Message{{Role: "user", Content: "?"}, {Role: "assistant", Content: probe}}, Special: r.Special})
	if err != nil {
		return nil, err
	}
	_, behind, found := strings.Cut(out.Text, probe)
	if behind = strings.TrimSpace(behind); !found || behind == "" {
		return nil, nil
	}
	return []string{behind}, nil
}

// contentStart returns the byte of a prompt where the content of its open last message begins;
// templates may trim the content.
func contentStart(prompt, content string) (int, bool) {
	for _, c := range []string{content, strings.TrimRightFunc(content, unicode.IsSpace), strings.TrimSpace(content)} {
		if strings.HasSuffix(prompt, c) {
			return len(prompt) - len(c), true
		}
	}
	return 0, false
}

// choiceTokens returns the tokens by which choices behind a prompt are told apart, and the prompt's
// tokens up to there: blanks at the prompt's end are dropped, a blank (nothing behind a newline)
// stands before each choice, what all choices share belongs to the prompt, and of the rest as many
// tokens are kept as it takes to tell all choices apart.
func choiceTokens(tok *tokenizer.Tokenizer, prompt string, choices []string) (shared []int32, score [][]int32) {
	prompt = strings.TrimRight(prompt, " ")
	separator := " "
	if strings.HasSuffix(prompt, "\n") {
		separator = ""
	}
	all := make([][]int32, len(choices))
	for i, c := range choices {
		all[i] = tok.Encode(prompt + separator + c)
	}
	n := 0
	for agree(all, n) {
		n++
	}
	shared = all[0][:n]
	for keep := 1; ; keep++ {
		score = score[:0]
		longest := 0
		seen := map[string]bool{}
		for _, ids := range all {
			rest := ids[n:]
			longest = max(longest, len(rest))
			rest = rest[:min(keep, len(rest))]
			score = append(score, rest)
			seen[string(mustJSON(rest))] = true
		}
		if len(seen) == len(choices) || keep >= longest {
			return shared, score
		}
	}
}

// agree reports whether all lists have the same token at n, and one more behind it in each.
func agree(all [][]int32, n int) bool {
	for _, ids := range all {
		if n >= len(ids)-1 || ids[n] != all[0][n] {
			return false
		}
	}
	return true
}
