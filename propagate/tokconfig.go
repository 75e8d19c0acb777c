package propagate

import (
	"encoding/json"
	"slices"

	"lep/internal/orderedjson"
	"lep/tokenizer"
)

const additionalKey = "additional_special_tokens"

// roles returns the tokens that a tokenizer's configs give a role (bos, eos, unk, pad).
func roles(t *tokenizer.Tokenizer) []string { return rolesOf(t.Config()) }

func rolesOf(c *tokenizer.Config) []string {
	return slices.DeleteFunc([]string{c.BOS, c.EOS, c.UNK, c.PAD}, func(s string) bool { return s == "" })
}

// specialMap returns the values of a tokenizer's special map: roles and additional
// special tokens. It is not every added token.
func specialMap(t *tokenizer.Tokenizer) []string { return append(roles(t), additional(t.Config())...) }

// additional returns additional_special_tokens, given as strings or as objects.
func additional(c *tokenizer.Config) []string {
	for _, o := range []*orderedjson.Object{c.Object, c.SpecialTokensMap} {
		var list []json.RawMessage
		if o == nil {
			continue
		}
		if ok, err := o.Decode(additionalKey, &list); !ok || err != nil {
			continue
		}
		var out []string
		for _, raw := range list {
			var text string
			var token struct{ Content string }
			if json.Unmarshal(raw, &text) == nil {
				out = append(out, text)
			} else if json.Unmarshal(raw, &token) == nil {
				out = append(out, token.Content)
			}
		}
		return out
	}
	return nil
}

// joinConfig makes the tokenizer_config of a result: the class and the settings of the
// pieces are the donor's; roles, chat template and length are the target's.
func joinConfig(donor, target *tokenizer.Tokenizer, v *vocabulary) (*tokenizer.Config, error) {
	c, from := donor.Config().Clone(), target.Config()
	c.BOS, c.EOS, c.PAD = from.BOS, from.EOS, from.PAD
	if from.UNK != "" {
		if _, ok := v.tok.ID(from.UNK); ok {
			c.UNK = from.UNK
		}
	}
	c.ChatTemplate, c.Templates = from.ChatTemplate, from.Templates
	c.AddedTokensFile = c.AddedTokensFile || from.AddedTokensFile
	list := additional(from)
	for _, name := range additional(donor.Config()) {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for _, o := range []*orderedjson.Object{c.Object, c.SpecialTokensMap} {
		if o == nil {
			continue
		}
		o.Delete(additionalKey)
		if len(list) > 0 {
			if err := o.Set(additionalKey, list); err != nil {
				return nil, err
			}
		}
	}
	if raw := from.Raw("model_max_length"); raw != nil {
		if err := c.Set("model_max_length", raw); err != nil {
			return nil, err
		}
	}
	// With it set, transformers rebuilds the tokenizer from tokenizer.model, which knows
	// nothing of the new tokens.
	if raw := c.Raw("add_prefix_space"); raw != nil && string(raw) != "null" && !donor.ByteLevel() {
		c.Delete("add_prefix_space")
		v.note("add_prefix_space is removed from tokenizer_config.json: with it, transformers would rebuild the tokenizer from a tokenizer.model")
	}
	return c, setAddBOS(c, target)
}

// setAddBOS gives add_bos_token and add_eos_token, by which Llama-like classes
// rebuild the post-processor, what the target does.
func setAddBOS(c *tokenizer.Config, target *tokenizer.Tokenizer) error {
	from := target.Config()
	ids := target.EncodeSpecial("a")
	for _, end := range []struct {
		key, token string
		at         int
	}{{"add_bos_token", from.BOS, 0}, {"add_eos_token", from.EOS, len(ids) - 1}} {
		switch {
		case from.Has(end.key):
			if err := c.Set(end.key, from.Raw(end.key)); err != nil {
				return err
			}
		case c.Has(end.key):
			does := len(ids) > 0 && end.token != "" && target.Token(ids[end.at]) == end.token
			if err := c.Set(end.key, does); err != nil {
				return err
			}
		}
	}
	return nil
}
