package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"lep/chat/jinja"
	"lep/internal/golden"
	"lep/tokenizer"

	"github.com/google/go-cmp/cmp"
)

// goldenCase is a conversation as transformers rendered and tokenized it.
type goldenCase struct {
	Name                string
	Messages            []Message
	AddGenerationPrompt bool `json:"add_generation_prompt"`
	Text, Error         string
	InputIDs            []int32  `json:"input_ids"`
	AssistantMask       []int    `json:"assistant_mask"`
	Labels              []int32  `json:"labels"`
	Decoded             []string `json:"assistant_decoded"`
}

// goldenFolder is one of the reference tokenizers with its templates.
type goldenFolder struct {
	name, dir     string
	plain, marked *Template
	special       map[string]string
	cases         []goldenCase
}

func goldenFolders(t *testing.T) []goldenFolder {
	t.Helper()
	var out []goldenFolder
	for _, name := range []string{"chatml", "llama3", "mistral-inst"} {
		dir := golden.Shared(t, "reference", "models", "chat", name)
		f := goldenFolder{name: name, dir: dir, special: map[string]string{}}
		var config map[string]any
		readJSON(t, filepath.Join(dir, "tokenizer_config.json"), &config)
		for _, role := range []string{"bos_token", "eos_token", "pad_token", "unk_token"} {
			switch v := config[role].(type) {
			case string:
				f.special[role] = v
			case map[string]any:
				f.special[role] = v["content"].(string)
			}
		}
		f.plain = mustParse(t, config["chat_template"].(string))
		marked, err := os.ReadFile(filepath.Join(dir, "chat_template.generation.jinja"))
		if err != nil {
			t.Fatal(err)
		}
		f.marked = mustParse(t, string(marked))
		var g struct{ Cases []goldenCase }
		readJSON(t, filepath.Join(dir, "golden.json"), &g)
		if len(g.Cases) == 0 {
			t.Fatalf("%s: no cases", name)
		}
		f.cases = g.Cases
		out = append(out, f)
	}
	return out
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(golden.Read(t, path), v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func mustParse(t *testing.T, source string) *Template {
	t.Helper()
	p, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRenderGolden(t *testing.T) {
	for _, f := range goldenFolders(t) {
		for _, c := range f.cases {
			t.Run(f.name+"/"+c.Name, func(t *testing.T) {
				o := Options{Messages: c.Messages, AddGenerationPrompt: c.AddGenerationPrompt, Special: f.special}
				for _, template := range []*Template{f.plain, f.marked} {
					got, err := template.Render(o)
					if c.Error != "" {
						var raised *jinja.Error
						if !errors.As(err, &raised) || raised.Message != c.Error || !raised.Raised {
							t.Fatalf("error %v, want %q", err, c.Error)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if got.Text != c.Text {
						t.Errorf("got  %q\nwant %q", got.Text, c.Text)
					}
				}
			})
		}
	}
}

// TestEncodeGolden compares ids, mask and labels, by the template that marks the
// assistant's words and by the plain one, where lep finds them itself.
func TestEncodeGolden(t *testing.T) {
	for _, f := range goldenFolders(t) {
		tok, err := tokenizer.Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.cases {
			if c.Error != "" {
				continue
			}
			for name, template := range map[string]*Template{"plain": f.plain, "marked": f.marked} {
				t.Run(f.name+"/"+c.Name+"/"+name, func(t *testing.T) {
					got, err := template.Encode(tok, Options{Messages: c.Messages, AddGenerationPrompt: c.AddGenerationPrompt}, 0)
					if err != nil {
						t.Fatal(err)
					}
					mask := make([]int, len(got.Mask))
					for i, m := range got.Mask {
						if m {
							mask[i] = 1
						}
					}
					for _, d := range []string{cmp.Diff(c.InputIDs, got.IDs), cmp.Diff(c.AssistantMask, mask), cmp.Diff(c.Labels, got.Labels)} {
						if d != "" {
							t.Error("(-want +got)\n" + d)
						}
					}
				})
			}
		}
	}
}
