package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"lep/internal/atomic"
	"lep/internal/orderedjson"
)

// OldIDsFile lies beside the tokenizer of a vocabulary that was made of another: a JSON object whose
// old_ids lists for each id its id in the other one, null if it is new.
const OldIDsFile = "lep_vocab.json"

// WriteFolder writes the tokenizer files of a model folder into dir, which exists:
// tokenizer.json, tokenizer_config.json, special_tokens_map.json, the chat template
// (in the config and as chat_template.jinja), added_tokens.json if the input had one, and tokenizer.model
// for a definition that came from one. The roles and templates of c replace what its objects say.
//
// Files of another tokenizer that would win over tokenizer.json are removed. Notes
// say in words what was removed or could not be written.
func WriteFolder(dir string, d *Definition, c *Config) (notes []string, err error) {
	if c == nil {
		c = newConfig()
	}
	c = c.Clone()
	if notes, err = c.complete(d); err != nil {
		return nil, err
	}
	model, err := d.JSON()
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	config, err := c.Indent()
	if err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	special, err := c.SpecialTokensMap.Indent()
	if err != nil {
		return nil, fmt.Errorf("special_tokens_map.json: %w", err)
	}
	files := []struct {
		name string
		data []byte
	}{{"tokenizer.json", model}, {"tokenizer_config.json", config}, {"special_tokens_map.json", special}}
	add := func(name string, data []byte) {
		files = append(files, struct {
			name string
			data []byte
		}{name, data})
	}
	if c.ChatTemplate != "" {
		add("chat_template.jinja", []byte(c.ChatTemplate))
	}
	if c.AddedTokensFile {
		data, err := addedTokensJSON(d)
		if err != nil {
			return nil, err
		}
		add("added_tokens.json", data)
	}
	if d.SentencePiece != nil {
		native, err := d.SentencePieceModel()
		if err != nil {
			notes = append(notes, fmt.Sprintf("tokenizer.model is not written: %v", err))
		} else {
			add("tokenizer.model", native)
		}
	}
	for _, f := range files {
		if err := atomic.WriteFile(filepath.Join(dir, f.name), f.data, true); err != nil {
			return nil, err
		}
	}
	for _, stale := range []string{"tokenizer.model", "vocab.json", "merges.txt", "tekken.json", "added_tokens.json", "chat_template.jinja"} {
		written := slices.ContainsFunc(files, func(f struct {
			name string
			data []byte
		}) bool {
			return f.name == stale
		})
		if written {
			continue
		}
		switch err := os.Remove(filepath.Join(dir, stale)); {
		case err == nil:
			notes = append(notes, fmt.Sprintf("%s is removed: it belongs to another tokenizer than tokenizer.json", stale))
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return notes, nil
}

// complete makes the config agree with the definition: roles, templates, a class
// that every version of transformers knows, and the table of added tokens.
func (c *Config) complete(d *Definition) (notes []string, err error) {
	if class := c.Text("tokenizer_class"); class == "" || class == "TokenizersBackend" {
		if err := c.Set("tokenizer_class", "PreTrainedTokenizerFast"); err != nil {
			return nil, err
		}
		if class != "" {
			notes = append(notes, fmt.Sprintf("tokenizer_class %s is written as PreTrainedTokenizerFast, which older readers know", class))
		}
	}
	if c.SpecialTokensMap == nil {
		c.SpecialTokensMap = orderedjson.New()
	}
	for _, role := range c.roles() {
		for _, o := range []*orderedjson.Object{c.Object, c.SpecialTokensMap} {
			if err := setRole(o, role.key, *role.token); err != nil {
				return nil, err
			}
		}
	}
	if err := c.setTemplates(); err != nil {
		return nil, err
	}
	return notes, c.setAddedTokens(d)
}

// setRole writes a role and keeps the form, text or object, of the value that
// stands there.
func setRole(o *orderedjson.Object, key, token string) error {
	old, err := roleText(o.Raw(key))
	switch {
	case err != nil || old == token:
		return err
	case token == "":
		o.Delete(key)
		return nil
	}
	var object orderedjson.Object
	if json.Unmarshal(o.Raw(key), &object) != nil {
		return o.Set(key, token)
	}
	if err := object.Set("content", token); err != nil {
		return err
	}
	return o.Set(key, &object)
}

func (c *Config) setTemplates() error {
	switch {
	case c.ChatTemplate == "" && len(c.Templates) == 0:
		c.Delete("chat_template")
		return nil
	case len(c.Templates) == 0:
		return c.Set("chat_template", c.ChatTemplate)
	}
	list := slices.Clone(c.Templates)
	if c.ChatTemplate != "" {
		list = slices.Insert(list, 0, ChatTemplate{"default", c.ChatTemplate})
	}
	return c.Set("chat_template", list)
}

// setAddedTokens rewrites added_tokens_decoder, which maps ids to added tokens.
func (c *Config) setAddedTokens(d *Definition) error {
	if len(d.AddedTokens) == 0 {
		c.Delete("added_tokens_decoder")
		return nil
	}
	added := slices.Clone(d.AddedTokens)
	slices.SortFunc(added, func(a, b AddedToken) int { return int(a.ID - b.ID) })
	table := orderedjson.New()
	for _, a := range added {
		entry := orderedjson.New()
		w := objectWriter{o: entry}
		w.set("content", a.Content)
		w.set("lstrip", a.LStrip)
		w.set("normalized", a.Normalized)
		w.set("rstrip", a.RStrip)
		w.set("single_word", a.SingleWord)
		w.set("special", a.Special)
		if w.err != nil {
			return w.err
		}
		if err := table.Set(strconv.Itoa(int(a.ID)), entry); err != nil {
			return err
		}
	}
	return c.Set("added_tokens_decoder", table)
}

// addedTokensJSON writes {"content": id} of the tokens that the model's table lacks.
func addedTokensJSON(d *Definition) ([]byte, error) {
	ids, err := pieceIDs(&d.Model)
	if err != nil {
		return nil, err
	}
	o := orderedjson.New()
	for _, a := range d.AddedTokens {
		if _, ok := ids[a.Content]; ok {
			continue
		}
		if err := o.Set(a.Content, a.ID); err != nil {
			return nil, err
		}
	}
	return o.Indent()
}
