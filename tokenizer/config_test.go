package tokenizer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/hint"
	"lep/tokenizer"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"tokenizer.json":                           small,
		"tokenizer_config.json":                    `{"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": null, "chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}], "model_max_length": 1e30}`,
		"special_tokens_map.json":                  `{"eos_token": "</s>", "bos_token": "<other>"}`,
		"additional_chat_templates/tool_use.jinja": "T",
	})
	tok, err := tokenizer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := tok.Config()
	if c.BOS != "<s>" || c.EOS != "</s>" || c.UNK != "" || c.PAD != "" {
		t.Errorf("roles %q %q %q %q", c.BOS, c.EOS, c.UNK, c.PAD)
	}
	want := []tokenizer.ChatTemplate{{Name: "rag", Template: "R"}, {Name: "tool_use", Template: "T"}}
	if c.ChatTemplate != "D" || !slices.Equal(c.Templates, want) {
		t.Errorf("templates %q %v", c.ChatTemplate, c.Templates)
	}
	write(t, dir, map[string]string{"chat_template.jinja": "J"})
	if c, err = tokenizer.ReadConfig(dir); err != nil || c.ChatTemplate != "J" {
		t.Errorf("chat_template.jinja: %q, %v", c.ChatTemplate, err)
	}
}

// TestWriteFolder: what is written reads back, keeps unknown keys and the form of values,
// and leaves no tokenizer behind that would win over it.
func TestWriteFolder(t *testing.T) {
	d, err := tokenizer.ReadJSON([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	in, out := t.TempDir(), t.TempDir()
	write(t, in, map[string]string{
		"tokenizer_config.json": `{"tokenizer_class": "TokenizersBackend", "bos_token": {"content": "<s>", "lstrip": false}, "model_max_length": 1e30, "added_tokens_decoder": {"9": {}}}`,
		"added_tokens.json":     `{}`,
	})
	write(t, out, map[string]string{"tokenizer.model": "stale", "merges.txt": "stale"})
	c, err := tokenizer.ReadConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	c.BOS, c.EOS, c.ChatTemplate = "<unk>", "<s>", "{{ x }}"
	notes, err := tokenizer.WriteFolder(out, d, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 3 || !strings.Contains(strings.Join(notes, "\n"), "tokenizer.model is removed") {
		t.Errorf("notes %q", notes)
	}
	var names []string
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"added_tokens.json", "chat_template.jinja", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	config, err := os.ReadFile(filepath.Join(out, "tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"tokenizer_class": "PreTrainedTokenizerFast"`, `"model_max_length": 1e30`, `"content": "<unk>",` + "\n    \"lstrip\": false", `"eos_token": "<s>"`, `"7": {`, `"chat_template": "{{ x }}"`} {
		if !strings.Contains(string(config), want) {
			t.Errorf("tokenizer_config.json lacks %s:\n%s", want, config)
		}
	}
	if strings.Contains(string(config), `"9"`) {
		t.Error("tokenizer_config.json still has an added token that the definition lacks")
	}
	tok, err := tokenizer.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if tok.Config().EOS != "<s>" || tok.Config().ChatTemplate != "{{ x }}" {
		t.Errorf("read back: %+v", tok.Config())
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"empty/README.md": "", "nothing": "", "bad/tokenizer.json": "{", "list/tokenizer.json": "[]",
		"config/tokenizer.json": small, "config/tokenizer_config.json": `{"bos_token": 5}`,
		"template/tokenizer.json": small, "template/tokenizer_config.json": `{"chat_template": {"a": 1}}`,
	})
	for _, tt := range []struct{ path, want, hint string }{
		{"absent", "no such file", ""},
		{"empty", "no tokenizer in the folder", "give a folder with tokenizer.json"},
		{"nothing", "the file is empty", ""},
		{"bad", "bad/tokenizer.json: line 1: the file ends", ""},
		{"config", `tokenizer_config.json: key "bos_token": 5 is neither a token`, ""},
		{"template", `tokenizer_config.json: key "chat_template"`, ""},
	} {
		_, err := tokenizer.Open(filepath.Join(dir, tt.path))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%s: got %v (hint %q), want %s (hint %q)", tt.path, err, hint.Of(err), tt.want, tt.hint)
		}
	}
	if _, err := tokenizer.Open(filepath.Join(dir, "list")); err == nil {
		t.Error("a JSON list is opened as a tokenizer")
	}
}
