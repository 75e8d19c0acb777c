package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/tokenizer"
)

// digit is the rule that cuts digits one by one.
const digit = `\p{N}`

// patternTekken is the pattern of Mistral's tekken tokenizers.
const patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// patternQwen35 is Qwen2's with marks among the letters.
const patternQwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// preTokenizers are llama.cpp's names for ways to cut a text. A name also says whether words that are
// whole tokens are taken without merging (ignore_merges).
var preTokenizers = []struct {
	name         string
	patterns     []string
	ignoreMerges bool
}{
	{"llama-bpe", []string{tokenizer.PatternLlama3}, true},
	{"dbrx", []string{tokenizer.PatternLlama3}, false},
	{"qwen2", []string{tokenizer.PatternQwen2}, false},
	{"qwen35", []string{patternQwen35}, false},
	{"gpt-4o", []string{tokenizer.PatternO200k}, false},
	{"tekken", []string{patternTekken}, true},
	{"gpt-2", []string{tokenizer.PatternGPT2}, false},
	{"smollm", []string{digit, tokenizer.PatternGPT2}, false},
}

// preTokenizer returns llama.cpp's name for the way a tokenizer cuts texts: chosen from the patterns
// themselves, and from whether whole words are merged where that makes a difference.
func preTokenizer(d *tokenizer.Definition) (string, error) {
	patterns, err := splitPatterns(d.PreTokenizer)
	if err != nil {
		return "", err
	}
	var near string
	for _, p := range preTokenizers {
		if !slices.Equal(p.patterns, patterns) {
			continue
		}
		if p.ignoreMerges == d.Model.IgnoreMerges {
			return p.name, nil
		}
		near = p.name
	}
	if near == "" {
		return "", hint.Errorf("llama.cpp knows only patterns that are compiled into it; keep the base model's pre_tokenizer",
			"pre_tokenizer: llama.cpp has no name for the patterns %q", patterns)
	}
	token, err := needsMerging(d)
	if err != nil {
		return "", err
	}
	if token != "" {
		return "", fmt.Errorf("pre_tokenizer: llama.cpp's %q and ignore_merges %v go together only where merges reach every token, but they do not reach %q", near, d.Model.IgnoreMerges, token)
	}
	return near, nil
}

// needsMerging returns a token that a word of its spelling becomes only with ignore_merges, "" if
// merges reach all.
func needsMerging(d *tokenizer.Definition) (string, error) {
	plain := d.Clone()
	plain.Model.IgnoreMerges = false
	t, err := tokenizer.New(plain)
	if err != nil {
		return "", err
	}
	for _, p := range plain.Model.Pieces {
		if ids := t.ModelEncode(nil, p.Text); len(ids) != 1 || ids[0] != p.ID {
			return p.Text, nil
		}
	}
	return "", nil
}

// stage is a pre-tokenizer as tokenizer.json spells it.
type stage struct {
	Type           string  `json:"type"`
	PreTokenizers  []stage `json:"pretokenizers"`
	Normalizers    []stage `json:"normalizers"`
	Behavior       string  `json:"behavior"`
	Invert         bool    `json:"invert"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Individual     bool    `json:"individual_digits"`
	Pattern        struct {
		Regex  *string
		String *string
	} `json:"pattern"`
}

// splitPatterns returns the patterns that the stages before a byte-level BPE cut by, in order.
func splitPatterns(raw json.RawMessage) ([]string, error) {
	s, err := readStages(raw, func(s stage) []stage { return s.PreTokenizers })
	if err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	var patterns []string
	for _, s := range s {
		switch {
		case s.Type == "ByteLevel" && (s.AddPrefixSpace == nil || *s.AddPrefixSpace):
			return nil, errors.New("pre_tokenizer: add_prefix_space puts a blank before each text, which llama.cpp does not do for byte-level BPE")
		case s.Type == "ByteLevel":
			if s.UseRegex == nil || *s.UseRegex {
				patterns = append(patterns, tokenizer.PatternGPT2)
			}
		case s.Type == "Digits" && s.Individual:
			patterns = append(patterns, digit)
		case s.Type == "Split" && s.Pattern.Regex != nil && (s.Behavior == "Isolated" && !s.Invert || s.Behavior == "Removed" && s.Invert):
			patterns = append(patterns, *s.Pattern.Regex)
		default:
			return nil, fmt.Errorf("pre_tokenizer: llama.cpp has no stage %s (behavior %q)", s.Type, s.Behavior)
		}
	}
	return patterns, nil
}

// readStages returns a component's stages: those of a sequence, or itself.
func readStages(raw json.RawMessage, parts func(stage) []stage) ([]stage, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var s stage
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Type != "Sequence" {
		return []stage{s}, nil
	}
	var out []stage
	for _, p := range parts(s) {
		if p.Type == "Sequence" {
			return nil, errors.New("a sequence inside a sequence")
		}
		out = append(out, p)
	}
	return out, nil
}

// normalizesNFC reports whether the normalizer is NFC; llama.cpp has no other for byte-level BPE.
func normalizesNFC(raw json.RawMessage) (bool, error) {
	stages, err := readStages(raw, func(s stage) []stage { return s.Normalizers })
	if err != nil {
		return false, fmt.Errorf("normalizer: %w", err)
	}
	var names []string
	for _, s := range stages {
		names = append(names, s.Type)
	}
	switch strings.Join(names, " ") {
	case "":
		return false, nil
	case "NFC":
		return true, nil
	}
	return false, fmt.Errorf("normalizer: %s, llama.cpp's byte-level BPE has only NFC", strings.Join(names, ", "))
}
