package chat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/chat/jinja"
	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tokenizer"

	"github.com/google/go-cmp/cmp"
)

// style reads one of the evaluator's test templates, none of which but channels
// marks the assistant's words.
func style(t *testing.T, name string) *Template {
	t.Helper()
	return mustParse(t, readStyle(t, name))
}

func readStyle(t testing.TB, name string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("jinja", "testdata", "styles", name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// anyTag takes every <…> of the test templates for a special token.
func anyTag(text string) int {
	if !strings.HasPrefix(text, "<") {
		return 0
	}
	return strings.IndexByte(text, '>') + 1
}

func message(t *testing.T, role, content string, fields ...any) Message {
	t.Helper()
	m := Message{Role: role, Content: content}
	for i := 0; i < len(fields); i += 2 {
		if err := m.SetField(fields[i].(string), fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestAnswers(t *testing.T) {
	call := []any{map[string]any{"type": "function", "id": "abcdefgh1", "function": map[string]any{"name": "f", "arguments": map[string]any{"x": 1}}}}
	two := []Message{{Role: "user", Content: "u1"}, {Role: "assistant", Content: "a1"}, {Role: "user", Content: "u2"}, {Role: "assistant", Content: "a2\n"}}
	tools := []Message{{Role: "user", Content: "u1"}, message(t, "assistant", "", "tool_calls", call), message(t, "tool", "42", "tool_call_id", "abcdefgh1"), {Role: "assistant", Content: "a2"}}
	thought := []Message{{Role: "user", Content: "u1"}, {Role: "assistant", Content: "<think>\nt1\n</think>\n\na1"}, {Role: "user", Content: "u2"}, {Role: "assistant", Content: "<think>\nt2\n</think>\n\na2"}}
	for _, tt := range []struct {
		style    string
		messages []Message
		learn    int
		want     []string
		why      string
	}{
		{"chatml_tools", two, 0, []string{"a1<|im_end|>", "a2\n<|im_end|>"}, "the newline behind the end token is not the model's"},
		{"chatml_tools", two, 2, []string{"a2\n<|im_end|>"}, "the first answer belongs to the prompt"},
		{"chatml_tools", tools, 0, []string{"<call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</call><|im_end|>", "a2<|im_end|>"}, "calls are the model's words"},
		{"headers", two, 0, []string{"a1<|turn|>", "a2<|turn|>"}, "trimmed contents"},
		{"inst", two, 0, []string{" a1</s>", " a2</s>"}, "no generation prompt: the answer begins behind [/INST]"},
		{"turns", two, 0, []string{"a1</turn>", "a2</turn>"}, ""},
		{"short", two, 0, []string{"a1<|end|>", "a2\n<|end|>"}, "eos at the end of the whole text only"},
		{"stateful", two, 0, []string{"a1</s>", "a2\n</s>"}, "a generation prompt that opens reasoning"},
		{"thinking", two, 0, []string{"a1<|im_end|>", "<think>\n\n</think>\n\na2\n<|im_end|>"}, "earlier turns lose the empty reasoning"},
		{"thinking", thought, 0, []string{"a1<|im_end|>", "<think>\nt2\n</think>\n\na2<|im_end|>"}, "earlier turns lose their reasoning"},
		{"channels", two, 0, []string{"a2\n<|return|>"}, "the template's own generation block counts"},
	} {
		t.Run(tt.style, func(t *testing.T) {
			special := map[string]string{"bos_token": "<s>", "eos_token": "</s>"}
			r, err := style(t, tt.style).Answers(Options{Messages: tt.messages, Special: special}, tt.learn, anyTag)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range r.Generated {
				got = append(got, r.Text[g.Start:g.End])
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s%s\n%q", d, tt.why, r.Text)
			}
		})
	}
}

func TestAnswersRefuses(t *testing.T) {
	hides := mustParse(t, "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}")
	macro := mustParse(t, "{% macro a(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}{% for m in messages %}{{ a(m) }}{% endfor %}")
	messages := []Message{{Role: "user", Content: "u"}, {Role: "assistant", Content: "a"}}
	for _, tt := range []struct {
		template   *Template
		want, help string
	}{
		{hides, "message 2: cannot tell where the template writes the assistant's words", "give a template that marks"},
		{macro, "chat template line 1: a generation block inside a macro, call or set block", ""},
	} {
		_, err := tt.template.Answers(Options{Messages: messages}, 0, nil)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.HasPrefix(hint.Of(err), tt.help) {
			t.Errorf("error %v (%s), want %s", err, hint.Of(err), tt.want)
		}
	}
}

func TestContinueFinalMessage(t *testing.T) {
	plain := mustParse(t, "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</s>{% endfor %}")
	kept := mustParse(t, "{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}</s>{% endgeneration %}{% endfor %}")
	messages := []Message{{Role: "user", Content: "a b"}, {Role: "assistant", Content: " a "}}
	for want, template := range map[string]*Template{"<user>a b</s><assistant>a": plain, "<user>a b</s><assistant> a ": kept} {
		r, err := template.Render(Options{Messages: messages, ContinueFinalMessage: true})
		if err != nil || r.Text != want {
			t.Errorf("got %q, %v; want %q", r.Text, err, want)
		}
		for _, g := range r.Generated {
			if g.End > len(r.Text) {
				t.Errorf("span %v behind the text's end %d", g, len(r.Text))
			}
		}
	}
	for _, o := range []Options{
		{ContinueFinalMessage: true},
		{ContinueFinalMessage: true, Messages: messages, AddGenerationPrompt: true},
		{ContinueFinalMessage: true, Messages: []Message{{Role: "user", Content: " "}}},
	} {
		if _, err := plain.Render(o); err == nil {
			t.Errorf("%+v renders", o)
		}
	}
}

func TestEncodeRows(t *testing.T) {
	tok, err := tokenizer.Open(golden.Shared(t, "reference", "models", "chat", "llama3"))
	if err != nil {
		t.Fatal(err)
	}
	template := mustParse(t, tok.Config().ChatTemplate)
	for _, tt := range []struct {
		line, text, learned string
	}{
		{`{"prompt":"What is","completion":" the capital?"}`, "What is the capital?", " the capital?<|eot_id|>"},
		{`{"prompt":"","completion":"Yes"}`, "Yes", "Yes<|eot_id|>"},
		{`{"instruction":"Hi","output":"Ho "}`, "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>", "Ho<|eot_id|>"},
		{`{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b 😀"},{"from":"human","value":"c"}]}`, "", "b 😀<|eot_id|>"},
		{`{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"d"}]}`, "", "d<|eot_id|>"},
		{`{"input_ids":[510,64,65],"labels":[-100,64,65]}`, "", "ab"},
	} {
		row, err := ReadRow([]byte(tt.line), "f:1")
		if err != nil {
			t.Fatal(err)
		}
		e, err := row.Encode(tok, template, Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if tt.text != "" && e.Text != tt.text {
			t.Errorf("%s: text %q, want %q", tt.line, e.Text, tt.text)
		}
		var learned []int32
		for i, l := range e.Labels {
			if (l != NoLabel) != e.Mask[i] || l != NoLabel && l != e.IDs[i] {
				t.Errorf("%s: label %d at %d, mask %v, id %d", tt.line, l, i, e.Mask[i], e.IDs[i])
			}
			if l != NoLabel {
				learned = append(learned, l)
			}
		}
		if got := tok.Decode(learned); got != tt.learned || e.Learned() != len(learned) {
			t.Errorf("%s: learns %q (%d of %d), want %q", tt.line, got, e.Learned(), len(learned), tt.learned)
		}
	}
	for line, want := range map[string]string{
		`{"messages":[{"role":"user","content":"a"}]}`: "nothing to learn: no token has a label",
		`{"input_ids":[5],"labels":[5]}`:               "nothing to learn: no token has a label",
	} {
		row, err := ReadRow([]byte(line), "f:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := row.Encode(tok, template, Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
		if row.Messages != nil {
			if _, err := row.Encode(tok, nil, Options{}); err == nil || !strings.Contains(err.Error(), "needs a chat template") {
				t.Errorf("%s: without a template: %v", line, err)
			}
		}
	}
}

func TestMaskTokens(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offsets [][2]int
		spans   []Span
		want    string
	}{
		{"whole tokens", [][2]int{{0, 2}, {2, 4}, {4, 6}}, []Span{{Start: 2, End: 4}}, "010"},
		{"cut tokens", [][2]int{{0, 3}, {3, 6}, {6, 9}}, []Span{{Start: 2, End: 7}}, "111"},
		{"bytes of one character", [][2]int{{0, 1}, {1, 2}, {1, 2}, {1, 2}, {2, 3}}, []Span{{Start: 1, End: 2}}, "01110"},
		{"two spans in one token", [][2]int{{0, 5}, {5, 6}}, []Span{{Start: 0, End: 1}, {Start: 3, End: 5}}, "10"},
		{"a trimmed blank", [][2]int{{0, 1}, {3, 4}, {4, 4}, {5, 6}}, []Span{{Start: 2, End: 5}}, "0110"},
		{"beyond the end", [][2]int{{0, 1}}, []Span{{Start: 4, End: 9}}, "0"},
		{"no tokens", nil, []Span{{Start: 0, End: 1}}, ""},
	} {
		got := ""
		for _, m := range maskTokens(tt.offsets, tt.spans) {
			got += map[bool]string{true: "1", false: "0"}[m]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseNamesTheLine(t *testing.T) {
	_, err := Parse("a\n{{ b")
	if err == nil || !strings.HasPrefix(err.Error(), "chat template line 2: ") {
		t.Errorf("error %v", err)
	}
	if _, err := Parse(""); err == nil || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
	p := mustParse(t, "{{ n }}")
	if _, err := p.Render(Options{Limits: jinja.Limits{Work: 1}}); err == nil || !strings.Contains(err.Error(), "steps") {
		t.Errorf("limits do not reach the evaluator: %v", err)
	}
}
