package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/internal/orderedjson"
)

// Layout is the way a data file spells its rows.
type Layout string

const (
	// OpenAI is {"messages": [{"role", "content"}, …], "tools": …}.
	OpenAI Layout = "messages"
	// ShareGPT is {"conversations": [{"from", "value"}, …], "system": …, "tools": …}.
	ShareGPT Layout = "conversations"
	// Alpaca is {"instruction", "input", "output", "system"}.
	Alpaca Layout = "instruction"
	// PromptCompletion is {"prompt", "completion"}: two strings, or two lists of messages.
	PromptCompletion Layout = "prompt"
	// Tokenized is {"input_ids", "labels"}: ids, and labels with -100 where there is no
	// loss; without labels every id is one.
	Tokenized Layout = "input_ids"
)

// Row is one row of a data file.
type Row struct {
	Layout Layout
	// Messages is the conversation of the layouts OpenAI, ShareGPT and Alpaca, and of
	// PromptCompletion where it has messages.
	Messages []Message
	// Learn is the number of the first message to learn from: 0, but for
	// PromptCompletion with messages the first of the completion.
	Learn int
	// Tools is the row's JSON list of tools, nil for none.
	Tools json.RawMessage
	// Prompt and Completion are the texts of PromptCompletion without messages.
	Prompt, Completion string
	// InputIDs and Labels are those of Tokenized, of equal length.
	InputIDs, Labels []int32
}

// maxRow bounds a row of a data file in bytes.
const maxRow = 256 << 20

// ReadRow reads one JSON row; the layout is told by its fields. place is where
// the row stands ("train.jsonl:12") and begins every error.
func ReadRow(line []byte, place string) (Row, error) {
	row, err := readRow(line)
	if err != nil {
		return Row{}, fmt.Errorf("%s: %w", place, err)
	}
	return row, nil
}

func readRow(line []byte) (Row, error) {
	if len(line) > maxRow {
		return Row{}, fmt.Errorf("row of %d bytes, more than %d", len(line), maxRow)
	}
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	for i := 0; i < len(line); {
		r, n := utf8.DecodeRune(line[i:])
		if r == utf8.RuneError && n == 1 {
			return Row{}, fmt.Errorf("invalid UTF-8 at byte %d", i)
		}
		i += n
	}
	if !json.Valid(line) {
		var v json.RawMessage
		return Row{}, fmt.Errorf("not JSON: %w", json.Unmarshal(line, &v))
	}
	o, err := orderedjson.Parse(line)
	if err != nil {
		return Row{}, err
	}
	switch {
	case o.Has("input_ids"):
		return tokenizedRow(o)
	case o.Has("messages"):
		return conversationRow(o, OpenAI)
	case o.Has("conversations"):
		return conversationRow(o, ShareGPT)
	case o.Has("instruction") && (o.Has("output") || o.Has("response")):
		return alpacaRow(o)
	case o.Has("prompt") && o.Has("completion"):
		return completionRow(o)
	}
	return Row{}, hint.Errorf("a row has messages, conversations, instruction and output, prompt and completion, or input_ids and labels",
		"no known layout among the fields %s", quoted(o.Keys()))
}

func tokenizedRow(o *orderedjson.Object) (Row, error) {
	row := Row{Layout: Tokenized}
	if _, err := o.Decode("input_ids", &row.InputIDs); err != nil {
		return Row{}, err
	}
	if len(row.InputIDs) == 0 {
		return Row{}, fmt.Errorf("input_ids is empty")
	}
	hasLabels, err := o.Decode("labels", &row.Labels)
	if err != nil {
		return Row{}, err
	}
	if !hasLabels {
		row.Labels = append([]int32{}, row.InputIDs...)
	}
	if len(row.Labels) != len(row.InputIDs) {
		return Row{}, fmt.Errorf("%d labels for %d input_ids", len(row.Labels), len(row.InputIDs))
	}
	for i, id := range row.InputIDs {
		if id < 0 {
			return Row{}, fmt.Errorf("input_ids[%d] is %d, want 0 to %d", i, id, math.MaxInt32)
		}
		if l := row.Labels[i]; l < 0 && l != NoLabel {
			return Row{}, fmt.Errorf("labels[%d] is %d, want an id or %d", i, l, NoLabel)
		}
	}
	return row, nil
}

func conversationRow(o *orderedjson.Object, layout Layout) (Row, error) {
	row := Row{Layout: layout}
	var turns []json.RawMessage
	if ok, err := o.Decode(string(layout), &turns); err != nil || !ok {
		return Row{}, fmt.Errorf("%q is no list of messages", layout)
	}
	if layout == ShareGPT {
		var system string
		if ok, err := o.Decode("system", &system); err != nil {
			return Row{}, err
		} else if ok && system != "" {
			row.Messages = append(row.Messages, Message{Role: "system", Content: system})
		}
	}
	for i, raw := range turns {
		m, err := readTurn(raw)
		if err != nil {
			return Row{}, fmt.Errorf("message %d: %w", i+1, err)
		}
		row.Messages = append(row.Messages, m)
	}
	var err error
	if row.Tools, err = toolList(o.Raw("tools")); err != nil {
		return Row{}, err
	}
	return row, checkMessages(row.Messages)
}

// toolList returns the tools of a row; files without nested columns (CSV,
// parquet) carry the list as a string.
func toolList(raw json.RawMessage) (json.RawMessage, error) {
	if raw == nil || string(raw) == "null" || string(raw) == `""` {
		return nil, nil
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
		raw = json.RawMessage(text)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("tools is no JSON list: %w", err)
	}
	if len(list) == 0 {
		return nil, nil // templates ask whether there are tools at all
	}
	return raw, nil
}

// shareGPT maps the speakers of ShareGPT files to roles.
var shareGPT = map[string]string{
	"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "system": "system",
	"tool": "tool", "observation": "tool", "function_response": "tool", "function": "tool",
}

// readTurn reads {"role", "content"} or {"from", "value"}.
func readTurn(raw json.RawMessage) (Message, error) {
	o, err := orderedjson.Parse(raw)
	if err != nil {
		return Message{}, err
	}
	if o.Has("role") || !o.Has("from") {
		var m Message
		err := m.UnmarshalJSON(raw)
		return m, err
	}
	var from, value string
	if _, err := o.Decode("from", &from); err != nil {
		return Message{}, err
	}
	if ok, err := o.Decode("value", &value); err != nil {
		return Message{}, err
	} else if !ok {
		return Message{}, fmt.Errorf("no \"value\" among its fields %s", quoted(o.Keys()))
	}
	role, ok := shareGPT[from]
	if !ok {
		return Message{}, fmt.Errorf("unknown role %q, want human, gpt, system or tool", from)
	}
	return Message{Role: role, Content: value}, nil
}

// alpacaRow makes a user and an assistant turn; an input stands on its own line
// below the instruction.
func alpacaRow(o *orderedjson.Object) (Row, error) {
	var instruction, input, output, system string
	answer := "output"
	if !o.Has(answer) {
		answer = "response"
	}
	for key, to := range map[string]*string{"instruction": &instruction, "input": &input, answer: &output, "system": &system} {
		if _, err := o.Decode(key, to); err != nil {
			return Row{}, err
		}
	}
	if instruction == "" && input == "" {
		return Row{}, fmt.Errorf("instruction and input are empty")
	}
	row := Row{Layout: Alpaca}
	if system != "" {
		row.Messages = append(row.Messages, Message{Role: "system", Content: system})
	}
	question := instruction
	if input != "" && instruction != "" {
		question += "\n"
	}
	row.Messages = append(row.Messages, Message{Role: "user", Content: question + input}, Message{Role: "assistant", Content: output})
	return row, checkMessages(row.Messages)
}

func completionRow(o *orderedjson.Object) (Row, error) {
	row := Row{Layout: PromptCompletion}
	_, err := o.Decode("prompt", &row.Prompt)
	if err == nil {
		if _, err := o.Decode("completion", &row.Completion); err != nil {
			return Row{}, err
		}
		if row.Completion == "" {
			return Row{}, fmt.Errorf("completion is empty")
		}
		return row, nil
	}
	var prompt, completion []Message
	if _, err := o.Decode("prompt", &prompt); err != nil {
		return Row{}, fmt.Errorf("prompt is neither a string nor a list of messages: %w", err)
	}
	if _, err := o.Decode("completion", &completion); err != nil {
		return Row{}, fmt.Errorf("completion is no list of messages as prompt is: %w", err)
	}
	if len(completion) == 0 {
		return Row{}, fmt.Errorf("completion is empty")
	}
	row.Prompt = ""
	row.Messages = append(prompt, completion...)
	row.Learn = len(prompt)
	if row.Tools, err = toolList(o.Raw("tools")); err != nil {
		return Row{}, err
	}
	return row, checkMessages(row.Messages)
}
