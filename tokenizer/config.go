package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/orderedjson"
)

// Config is what stands beside tokenizer.json in a model folder:
// tokenizer_config.json (the embedded object, editable, unknown keys kept),
// special_tokens_map.json and the chat template files. It is never nil, but may be empty.
type Config struct {
	*orderedjson.Object // tokenizer_config.json

	// SpecialTokensMap is special_tokens_map.json, nil if there was none.
	SpecialTokensMap *orderedjson.Object

	// Roles by the spelling of their tokens, "" for none: tokenizer_config.json, else
	// special_tokens_map.json.
	BOS, EOS, UNK, PAD string

	// ChatTemplate is the default chat template: chat_template.jinja if the folder has
	// it, else what tokenizer_config.json says, as text or as the one called "default" of a list.
	ChatTemplate string
	// Templates are the templates with other names, "tool_use", in order.
	Templates []ChatTemplate

	// AddedTokensFile says that the folder has an added_tokens.json, which old
	// readers need.
	AddedTokensFile bool
}

// ChatTemplate is a named chat template (Jinja).
type ChatTemplate struct {
	Name     string `json:"name"`
	Template string `json:"template"`
}

func newConfig() *Config { return &Config{Object: orderedjson.New()} }

// maxSmallFile bounds configs and templates; maxTokenizerFile tokenizers.
const (
	maxSmallFile     = 64 << 20
	maxTokenizerFile = 1 << 30
)

// ReadConfig reads the configs of a model folder; files that are absent are no error.
func ReadConfig(dir string) (*Config, error) {
	c := newConfig()
	if o, err := readObject(filepath.Join(dir, "tokenizer_config.json")); err != nil {
		return nil, err
	} else if o != nil {
		c.Object = o
	}
	var err error
	if c.SpecialTokensMap, err = readObject(filepath.Join(dir, "special_tokens_map.json")); err != nil {
		return nil, err
	}
	if err := c.readRoles(); err != nil {
		return nil, err
	}
	if err := c.readTemplates(dir); err != nil {
		return nil, err
	}
	_, statErr := os.Stat(filepath.Join(dir, "added_tokens.json"))
	c.AddedTokensFile = statErr == nil
	return c, nil
}

// readObject reads a JSON file; nil if there is none.
func readObject(path string) (*orderedjson.Object, error) {
	data, err := readFile(path, maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := orderedjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", path, info.Size(), most)
	}
	return os.ReadFile(path)
}

// roles lists the keys of the four roles and where each is kept.
func (c *Config) roles() []struct {
	key   string
	token *string
} {
	return []struct {
		key   string
		token *string
	}{{"bos_token", &c.BOS}, {"eos_token", &c.EOS}, {"unk_token", &c.UNK}, {"pad_token", &c.PAD}}
}

func (c *Config) readRoles() error {
	for _, role := range c.roles() {
		files := []struct {
			name string
			o    *orderedjson.Object
		}{{"tokenizer_config.json", c.Object}, {"special_tokens_map.json", c.SpecialTokensMap}}
		for _, file := range files {
			if file.o == nil || *role.token != "" {
				continue
			}
			text, err := roleText(file.o.Raw(role.key))
			if err != nil {
				return fmt.Errorf("%s: key %q: %w", file.name, role.key, err)
			}
			*role.token = text
		}
	}
	return nil
}

// roleText reads "<s>" or {"content": "<s>", …}.
func roleText(raw json.RawMessage) (string, error) {
	if raw == nil || string(raw) == "null" {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return text, nil
	}
	var token struct{ Content *string }
	if err := json.Unmarshal(raw, &token); err != nil || token.Content == nil {
		return "", fmt.Errorf("%.60s is neither a token nor an object with its content", raw)
	}
	return *token.Content, nil
}

func (c *Config) readTemplates(dir string) error {
	raw := c.Raw("chat_template")
	switch {
	case raw == nil || string(raw) == "null":
	case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")):
		var list []ChatTemplate
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("tokenizer_config.json: key \"chat_template\": %w", err)
		}
		for _, t := range list {
			c.setTemplate(t)
		}
	default:
		if err := json.Unmarshal(raw, &c.ChatTemplate); err != nil {
			return fmt.Errorf("tokenizer_config.json: key \"chat_template\": %w", err)
		}
	}
	data, err := readFile(filepath.Join(dir, "chat_template.jinja"), maxSmallFile)
	if err == nil {
		c.ChatTemplate = string(data)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	more, err := filepath.Glob(filepath.Join(escapeGlob(dir), "additional_chat_templates", "*.jinja"))
	if err != nil {
		return err
	}
	for _, path := range more {
		data, err := readFile(path, maxSmallFile)
		if err != nil {
			return err
		}
		c.setTemplate(ChatTemplate{strings.TrimSuffix(filepath.Base(path), ".jinja"), string(data)})
	}
	return nil
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// setTemplate adds a named template or replaces the one of that name.
func (c *Config) setTemplate(t ChatTemplate) {
	if t.Name == "default" {
		c.ChatTemplate = t.Template
		return
	}
	if i := slices.IndexFunc(c.Templates, func(o ChatTemplate) bool { return o.Name == t.Name }); i >= 0 {
		c.Templates[i] = t
		return
	}
	c.Templates = append(c.Templates, t)
}

// Clone returns a copy that can be edited apart.
func (c *Config) Clone() *Config {
	d := *c
	d.Object = c.Object.Clone()
	if c.SpecialTokensMap != nil {
		d.SpecialTokensMap = c.SpecialTokensMap.Clone()
	}
	d.Templates = slices.Clone(c.Templates)
	return &d
}

// cleansUp reports whether decoded text loses the spaces in front of punctuation:
// as in transformers 5, only on request and never for BPE, whose spaces are the text's own.
func (c *Config) cleansUp(typ ModelType) bool {
	var on bool
	ok, err := c.Decode("clean_up_tokenization_spaces", &on)
	return ok && err == nil && on && typ != BPE
}

var cleanUp = strings.NewReplacer(" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m", " 's", "'s", " 've", "'ve", " 're", "'re")
