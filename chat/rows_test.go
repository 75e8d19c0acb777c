package chat

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lep/internal/hint"

	"github.com/google/go-cmp/cmp"
)

// turns writes messages as "role:content|role:content".
func turns(messages []Message) string {
	var parts []string
	for _, m := range messages {
		parts = append(parts, m.Role+":"+m.Content)
	}
	return strings.Join(parts, "|")
}

func TestReadRow(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		layout     Layout
		want       string // turns, or prompt>completion
		learn      int
		why        string
	}{
		{"openai", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, OpenAI, "user:a|assistant:b", 0, ""},
		{"byte order mark", "\xef\xbb\xbf" + `{"messages":[{"role":"user","content":"a"}]}`, OpenAI, "user:a", 0, "Windows editors write one"},
		{"parts", `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}]}`, OpenAI, "user:ab", 0, ""},
		{"null content", `{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]}`, OpenAI, "assistant:", 0, "a call has no words"},
		{"messages win", `{"prompt":"x","messages":[{"role":"user","content":"a"}]}`, OpenAI, "user:a", 0, "some sets repeat the first turn as prompt"},
		{"sharegpt", `{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"system":"s"}`, ShareGPT, "system:s|user:a|assistant:b", 0, ""},
		{"sharegpt with roles", `{"conversations":[{"role":"user","content":"a"}]}`, ShareGPT, "user:a", 0, "converted sets keep the key"},
		{"alpaca", `{"instruction":"i","input":"","output":"o"}`, Alpaca, "user:i|assistant:o", 0, ""},
		{"alpaca with input", `{"instruction":"i","input":"x","output":"o","system":"s"}`, Alpaca, "system:s|user:i\nx|assistant:o", 0, ""},
		{"alpaca response", `{"instruction":"i","context":"c","response":"o"}`, Alpaca, "user:i|assistant:o", 0, ""},
		{"prompt", `{"prompt":"p","completion":"c"}`, PromptCompletion, "p>c", 0, ""},
		{"prompt of messages", `{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}`, PromptCompletion, "user:a|assistant:b", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			row, err := ReadRow([]byte(tt.line), "f:1")
			if err != nil {
				t.Fatal(err)
			}
			got := turns(row.Messages)
			if row.Messages == nil {
				got = row.Prompt + ">" + row.Completion
			}
			if row.Layout != tt.layout || got != tt.want || row.Learn != tt.learn {
				t.Errorf("got %s %q from %d, want %s %q from %d; %s", row.Layout, got, row.Learn, tt.layout, tt.want, tt.learn, tt.why)
			}
		})
	}
}

func TestReadRowTokenized(t *testing.T) {
	row, err := ReadRow([]byte(`{"input_ids":[1,2,3],"labels":[-100,2,3]}`), "f:1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Row{Layout: Tokenized, InputIDs: []int32{1, 2, 3}, Labels: []int32{-100, 2, 3}}, row); d != "" {
		t.Error(d)
	}
	row, err = ReadRow([]byte(`{"input_ids":[1,2]}`), "f:1")
	if err != nil || !cmp.Equal(row.Labels, []int32{1, 2}) {
		t.Errorf("labels %v, %v; without labels every id is one", row.Labels, err)
	}
	row.Labels[0] = 9
	if row.InputIDs[0] != 1 {
		t.Error("labels alias the ids")
	}
}

func TestReadRowTools(t *testing.T) {
	for line, want := range map[string]string{
		`{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}`:                                     `[{"type":"function"}]`,
		`{"messages":[{"role":"user","content":"a"}],"tools":"[{\"type\": \"f\"}]"}`:                                     `[{"type": "f"}]`,
		`{"messages":[{"role":"user","content":"a"}],"tools":null}`:                                                      ``,
		`{"conversations":[{"from":"human","value":"a"}],"tools":"[]"}`:                                                  ``,
		`{"conversations":[{"from":"human","value":"a"}],"tools":[]}`:                                                    ``,
		`{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}],"tools":["x","y"]}`: `["x","y"]`,
	} {
		row, err := ReadRow([]byte(line), "f:1")
		if err != nil || string(row.Tools) != want {
			t.Errorf("%s: tools %s, %v; want %s", line, row.Tools, err, want)
		}
	}
}

func TestReadRowRefuses(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`{"messages":`, "data.jsonl:7: not JSON: unexpected end of JSON input"},
		{`{"a":1}`, `data.jsonl:7: no known layout among the fields "a"`},
		{`[1]`, "data.jsonl:7: line 1: not a JSON object"},
		{"{\"prompt\":\"\xff\",\"completion\":\"a\"}", "data.jsonl:7: invalid UTF-8 at byte 11"},
		{`{"messages":[]}`, "data.jsonl:7: no messages"},
		{`{"messages":"x"}`, `data.jsonl:7: "messages" is no list of messages`},
		{`{"messages":[{"content":"x"}]}`, `data.jsonl:7: message 1: no "role" among its fields "content"`},
		{`{"messages":[{"role":"user","content":"x"},{"role":"bot","content":"x"}]}`, `data.jsonl:7: message 2: unknown role "bot", want one of "system", "developer", "user", "assistant", "tool", "function", "ipython"`},
		{`{"messages":[{"role":"user","content":5}]}`, "data.jsonl:7: message 1: content is neither a string nor a list of parts"},
		{`{"messages":[{"role":"assistant","content":""}]}`, `data.jsonl:7: message 1: role "assistant" has neither content nor tool calls`},
		{`{"conversations":[{"from":"alien","value":"x"}]}`, `data.jsonl:7: message 1: unknown role "alien", want human, gpt, system or tool`},
		{`{"conversations":[{"from":"human"}]}`, `data.jsonl:7: message 1: no "value" among its fields "from"`},
		{`{"instruction":"","output":"x"}`, "data.jsonl:7: instruction and input are empty"},
		{`{"instruction":"x","output":""}`, `data.jsonl:7: message 2: role "assistant" has neither content nor tool calls`},
		{`{"prompt":"x","completion":""}`, "data.jsonl:7: completion is empty"},
		{`{"prompt":[],"completion":[]}`, "data.jsonl:7: completion is empty"},
		{`{"input_ids":[]}`, "data.jsonl:7: input_ids is empty"},
		{`{"input_ids":[1],"labels":[1,2]}`, "data.jsonl:7: 2 labels for 1 input_ids"},
		{`{"input_ids":[-1]}`, "data.jsonl:7: input_ids[0] is -1, want 0 to 2147483647"},
		{`{"input_ids":[1],"labels":[-5]}`, "data.jsonl:7: labels[0] is -5, want an id or -100"},
		{`{"input_ids":[1.5]}`, `data.jsonl:7: key "input_ids": json: cannot unmarshal number 1.5 into Go value of type int32`},
		{`{"messages":[{"role":"user","content":"a"}],"tools":{"a":1}}`, "data.jsonl:7: tools is no JSON list"},
	} {
		_, err := ReadRow([]byte(tt.line), "data.jsonl:7")
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s\ngot  %v\nwant %s", tt.line, err, tt.want)
		}
	}
	_, err := ReadRow([]byte(`{}`), "x")
	if hint.Of(err) == "" {
		t.Errorf("%v has no hint", err)
	}
}

// TestMessageJSON: what a template sees of a message is what stood in the file.
func TestMessageJSON(t *testing.T) {
	in := `{"content":[{"type":"text","text":"a"}],"name":"x","role":"user","n":1e3}`
	var m Message
	if err := json.Unmarshal([]byte(in), &m); err != nil {
		t.Fatal(err)
	}
	if got := marshal(t, m); got != in {
		t.Errorf("got %s, want %s", got, in)
	}
	m.Content = "b"
	if got, want := marshal(t, m), `{"content":"b","name":"x","role":"user","n":1e3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	made := Message{Role: "assistant", Content: "<b>"}
	if err := made.SetField("tool_calls", []int{1}); err != nil {
		t.Fatal(err)
	}
	made.Role = "tool"
	if got, want := marshal(t, made), `{"role":"tool","content":"<b>","tool_calls":[1]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	copied := made
	if err := copied.SetField("name", "n"); err != nil || made.Field("name") != nil {
		t.Errorf("SetField changed the message it was copied from, %v", err)
	}
	if err := made.SetField("role", "x"); err == nil {
		t.Error("SetField took role")
	}
	var bad *json.SyntaxError
	if err := json.Unmarshal([]byte(`{"role":`), &m); !errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
}

// TestMessageSeenAsWritten: a template sees what MarshalJSON writes.
func TestMessageSeenAsWritten(t *testing.T) {
	var read, empty, parts Message
	for raw, m := range map[string]*Message{
		`{"content":"a","role":"user","x":[1,{"b":2.0,"a":null}]}`: &read, `{"role":"assistant"}`: &empty,
		`{"role":"user","content":[{"type":"text","text":"a"}]}`: &parts,
	} {
		if err := json.Unmarshal([]byte(raw), m); err != nil {
			t.Fatal(err)
		}
	}
	changed, filled, flat := read, empty, parts
	changed.Role, filled.Content, flat.Content = "tool", "b", "b"
	show := mustParse(t, "{{ messages[0] | tojson(separators=(',', ':')) }}")
	for _, m := range []Message{read, empty, parts, changed, filled, flat, {Role: "user"}, message(t, "tool", "c", "k", 1)} {
		r, err := show.Render(Options{Messages: []Message{m}})
		if want := marshal(t, m); err != nil || r.Text != want {
			t.Errorf("the template sees %s, %v; want %s", r.Text, err, want)
		}
	}
}

func marshal(t *testing.T, m Message) string {
	t.Helper()
	raw, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func FuzzReadRow(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}]}],"tools":"[1]"}`,
		`{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}`,
		`{"instruction":"i","input":"x","output":"o"}`, `{"prompt":"p","completion":"c"}`,
		`{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}`, `{"input_ids":[1,2],"labels":[-100,2]}`,
	} {
		f.Add([]byte(seed))
	}
	template, err := Parse("{% for m in messages %}{{ m.role }}: {{ m | tojson }}\n{% endfor %}{{ tools | tojson }}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := ReadRow(line, "f:1")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:1: ") {
				t.Errorf("error %q has no place", err)
			}
			return
		}
		if len(row.InputIDs) != len(row.Labels) || row.Learn > len(row.Messages) {
			t.Errorf("row %+v", row)
		}
		if row.Messages == nil {
			return
		}
		if _, err := template.Render(Options{Messages: row.Messages, Tools: row.Tools}); err != nil {
			t.Errorf("a row that was read does not render: %v", err)
		}
	})
}
