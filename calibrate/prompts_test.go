package calibrate

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"lep/corpus"
)

func TestReadPrompt(t *testing.T) {
	for _, tt := range []struct{ name, row, want, fail string }{
		{"prompt", `{"prompt":"a"}`, "a", ""},
		{"text", `{"text":"a"}`, "a", ""},
		{"prompt before text", `{"text":"b","prompt":"a"}`, "a", ""},
		{"messages without their answers", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"x"},{"role":"user","content":"b"}]}`, "s: a | b", ""},
		{"prompt as messages", `{"prompt":[{"role":"user","content":"a"}],"completion":[]}`, "a", ""},
		{"ShareGPT", `{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"x"}]}`, "a", ""},
		{"Alpaca", `{"instruction":"a","input":"b","output":"x"}`, "a\nb", ""},
		{"Alpaca without input", `{"instruction":"a","input":""}`, "a", ""},
		{"nothing", `{"question":"a"}`, "", "no prompt in the row"},
		{"no string", `{"prompt":3}`, "", `"prompt" is no string`},
		{"empty", `{"prompt":" \n"}`, "", "the prompt is empty"},
		{"no user", `{"messages":[{"role":"assistant","content":"x"}]}`, "", "no message of a user"},
		{"tools", `{"messages":[{"role":"user","content":"a"},{"role":"tool","content":"x"}]}`, "", `message 2: role "tool" cannot be answered anew`},
		{"late system", `{"messages":[{"role":"user","content":"a"},{"role":"system","content":"x"}]}`, "", "message 2: a system message behind others"},
		{"unknown speaker", `{"conversations":[{"from":"dog","value":"a"}]}`, "", `unknown role "dog"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := DefaultOptions()
			q, err := readPrompt(corpus.Doc{Text: tt.row, Source: "dir/p.jsonl.gz", Line: 3}, &o)
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) {
					t.Fatalf("error %v, want %q", err, tt.fail)
				}
				return
			}
			got := strings.Join(q.users, " | ")
			if q.system != "" {
				got = q.system + ": " + got
			}
			if err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestReadPromptsNamesTheLine(t *testing.T) {
	o := DefaultOptions()
	path := file(t, "p.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\"a  \"}\n{\"no\":1}\n{\"prompt\":\"b\"}\n")
	o.Prompts = []string{path}
	if _, err := readPrompts(context.Background(), &o); err == nil || !strings.Contains(err.Error(), "p.jsonl:3: no prompt in the row") {
		t.Errorf("error %v, want the line", err)
	}
	o.Text.MaxBadRows = -1
	p, err := readPrompts(context.Background(), &o)
	if err != nil || len(p.list) != 2 || p.duplicates != 1 || p.bad.Count != 1 {
		t.Fatalf("%+v, %v: want 2 prompts, 1 duplicate but for white space, 1 bad row", p, err)
	}
	o.Limit = 1
	if p, err := readPrompts(context.Background(), &o); err != nil || len(p.list) != 1 {
		t.Errorf("limit 1: %+v, %v", p, err)
	}
	o.Prompts = []string{file(t, "p.txt", "one\n\ntwo\r\n")}
	o.Limit, o.System = 0, "s"
	if p, err := readPrompts(context.Background(), &o); err != nil || len(p.list) != 2 || p.list[1].users[0] != "two" || p.list[1].system != "s" || p.list[1].line != 3 {
		t.Errorf("lines: %+v, %v", p, err)
	}
}

func FuzzReadPrompt(f *testing.F) {
	for _, s := range []string{`{"prompt":"a"}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`, `{"conversations":[{"from":"human","value":"a"}]}`,
		`{"instruction":"a","input":null}`, `{"prompt":[]}`, `{"prompt":null,"text":"b"}`, `[]`, `{"messages":{}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, row string) {
		o := DefaultOptions()
		q, err := readPrompt(corpus.Doc{Text: row, Source: "p.jsonl"}, &o)
		if err != nil {
			return
		}
		if len(q.users) == 0 || strings.TrimSpace(q.users[0]) == "" {
			t.Errorf("%q: an empty prompt without an error", row)
		}
		if n := len(q.messages([]string{"x"})); n < 2 {
			t.Errorf("%q: %d messages", row, n)
		}
		_ = fmt.Sprint(words(q.users[0]), Identify(q.users[0]), repetition(words(q.users[0])))
	})
}
