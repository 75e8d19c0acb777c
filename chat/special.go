package chat

import "lep/tokenizer"

// Special returns the special tokens of a tokenizer by the names that templates know, for
// Options.Special. Roles that the tokenizer lacks are absent.
func Special(c *tokenizer.Config) map[string]string {
	out := map[string]string{}
	for name, token := range map[string]string{"bos_token": c.BOS, "eos_token": c.EOS, "unk_token": c.UNK, "pad_token": c.PAD} {
		if token != "" {
			out[name] = token
		}
	}
	return out
}
