package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Mistral's tekken.json: ranks of a byte-level BPE behind a block of special
// tokens, whose names older versions do not hold.
type tekkenFile struct {
	Config struct {
		Pattern          string `json:"pattern"`
		DefaultVocabSize int    `json:"default_vocab_size"`
		NumSpecial       int    `json:"default_num_special_tokens"`
	} `json:"config"`
	Vocab []struct {
		Rank  int    `json:"rank"`
		Bytes []byte `json:"token_bytes"`
	} `json:"vocab"`
	SpecialTokens []struct {
		Rank    int    `json:"rank"`
		Text    string `json:"token_str"`
		Control bool   `json:"is_control"`
	} `json:"special_tokens"`
}

// tekkenSpecials are the names of the first special tokens where the file has none.
var tekkenSpecials = []string{"<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
	"[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
	"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"}

// isTekken reports whether a JSON file is a tekken.json and not a tokenizer.json.
func isTekken(data []byte) bool {
	head := data[:min(len(data), 4096)]
	return bytes.Contains(head, []byte(`"default_num_special_tokens"`)) || bytes.Contains(head, []byte(`"default_vocab_size"`))
}

// readTekken reads a tekken.json. Special tokens have the first ids, the ranks follow;
// ranks beyond default_vocab_size are left out, as Mistral's own reader does.
func readTekken(data []byte) (*Definition, error) {
	var f tekkenFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tekken: %w", err)
	}
	d, err := f.definition()
	if err != nil {
		return nil, fmt.Errorf("tekken: %w", err)
	}
	return d, nil
}

func (f *tekkenFile) definition() (*Definition, error) {
	special, size := f.Config.NumSpecial, f.Config.DefaultVocabSize
	if special < 0 || size <= special || size > maxTokens {
		return nil, fmt.Errorf("default_vocab_size %d with %d special tokens", size, special)
	}
	if len(f.SpecialTokens) > special {
		return nil, fmt.Errorf("%d special tokens, config says %d", len(f.SpecialTokens), special)
	}
	tokens := make([]string, 0, min(len(f.Vocab), size-special))
	for i, v := range f.Vocab {
		switch {
		case v.Rank != i:
			return nil, fmt.Errorf("vocab entry %d has rank %d", i, v.Rank)
		case len(v.Bytes) == 0 || len(v.Bytes) > maxTokenBytes:
			return nil, fmt.Errorf("vocab entry %d has %d bytes, want 1 to %d", i, len(v.Bytes), maxTokenBytes)
		}
		if len(tokens) < size-special {
			tokens = append(tokens, string(v.Bytes))
		}
	}
	names := make([]string, special)
	for i := range names {
		names[i] = fmt.Sprintf("<SPECIAL_%d>", i)
		if i < len(tekkenSpecials) && f.SpecialTokens == nil {
			names[i] = tekkenSpecials[i]
		}
	}
	taken := make([]bool, special)
	for _, s := range f.SpecialTokens {
		if s.Rank < 0 || s.Rank >= special || taken[s.Rank] || s.Text == "" {
			return nil, fmt.Errorf("special token %q has rank %d", s.Text, s.Rank)
		}
		names[s.Rank], taken[s.Rank] = s.Text, true
	}
	seen := make(map[string]bool, len(tokens))
	for i, t := range tokens {
		if seen[t] {
			return nil, fmt.Errorf("vocab entry %d: token %q stands twice", i, t)
		}
		seen[t] = true
	}
	return newByteLevel(tokens, int32(special), f.Config.Pattern, specialTokens(0, names...))
}
