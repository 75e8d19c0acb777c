package chat

import "lep/tokenizer"

// Special returns the special tokens of a tokenizer by the names that templates know, for
// Options.Special. Roles that the tokenizer lacks are absent.
func Special(c *tokenizer.Config) map[string]string {
	special := map[string]string{}
	for name, token := range map[string]string{"bos_token": c.BOS, "eos_token": c.EOS, "unk_token": c.UNK, "pad_token": c.PAD} {
		if token != "" {
			special[name] = token
		}
	}
	for _, name := range []string{"sep_token", "cls_token", "mask_token"} {
		var token struct{ Content string } // older configs spell a token as an object
		if text := c.Text(name); text != "" {
			special[name] = text
		} else if ok, err := c.Decode(name, &token); ok && err == nil && token.Content != "" {
			special[name] = token.Content
		}
	}
	return special
}
