package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"lep/checkpoint"
	"lep/corpus"
	"lep/internal/orderedjson"
	"lep/model"
	"lep/tokenizer"
)

// writeStop makes a model that was tuned on conversations end its answers in every program: the token that closes an
// assistant's turn goes in front of eos_token_id in generation_config.json and config, and becomes the tokenizer's eos_token as
// in published chat models, where a base model only names the token that closes a text. Nothing changes where it is there
// already, or where turns end with plain text.
func (r *run) writeStop(dir string, config *orderedjson.Object) error {
	if r.opts.Task != SFT || r.enc == nil {
		return nil
	}
	id, ok := r.enc.turnEnd()
	if !ok {
		return nil
	}
	eos := slices.Clone(r.cfg.EOSTokenID)
	generation := orderedjson.New()
	if o := r.files.GenerationConfig(); o != nil {
		generation = o.Clone()
		var own model.TokenIDs
		if found, err := generation.Decode("eos_token_id", &own); err != nil {
			return fmt.Errorf("%s: %w", checkpoint.GenerationConfigFile, err)
		} else if found {
			eos = slices.Clone(own)
		}
	}
	if slices.Contains(eos, id) {
		return nil
	}
	eos = slices.Insert(eos, 0, id)
	for _, o := range []*orderedjson.Object{generation, config} {
		if err := o.Set("eos_token_id", eos); err != nil {
			return err
		}
	}
	r.log.Info(fmt.Sprintf("eos_token_id: %d, which ends an assistant's turn, is added", id))
	if err := writeIndented(filepath.Join(dir, checkpoint.GenerationConfigFile), generation); err != nil {
		return err
	}
	for _, file := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		if err := setEOSToken(filepath.Join(dir, file), r.tok.Token(id)); err != nil {
			return err
		}
	}
	return nil
}

// setEOSToken changes eos_token in a file of the tokenizer that has one.
func setEOSToken(path, token string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := orderedjson.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !o.Has("eos_token") {
		return nil
	}
	if err := o.Set("eos_token", token); err != nil {
		return err
	}
	return writeIndented(path, o)
}

// turnEnd returns the special token that the template puts behind an assistant's words, if it does.
func (e *encoder) turnEnd() (int32, bool) {
	if e.template == nil {
		return 0, false
	}
	row, err := json.Marshal(map[string]any{"messages": []map[string]string{{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}}})
	if err != nil {
		return 0, false
	}
	s, err := e.row(corpus.Doc{Text: string(row)})
	if err != nil { // a template that wants other conversations than this
		return 0, false
	}
	for i := len(s.labels) - 1; i >= 0; i-- {
		if id := s.labels[i]; id != corpus.NoLabel && e.isSpecial(id) {
			return id, true
		}
	}
	return 0, false
}

// isSpecial tells whether an id stands for no text.
func (e *encoder) isSpecial(id int32) bool {
	switch e.tok.Kind(id) {
	case tokenizer.Control:
		return true
	case tokenizer.Special: // an added token, which may stand for text too
		return e.tok.DecodeSkip([]int32{id}) == ""
	}
	return false
}
