package build

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"lep/internal/hint"
	"lep/tokenizer"
)

// given reports whether a finer setting was chosen by the caller.
func (t *Trainer) given(key string) bool { return t.opts.Given != nil && t.opts.Given(key) }

// takeFromModel fills what the settings leave open from the model's tokenizer.
func (t *Trainer) takeFromModel() error {
	d, o := t.model.Definition, &t.opts
	if o.Style != SentencePiece {
		if !t.given("pattern") {
			pattern := splitPattern(d.PreTokenizer)
			if pattern == "" {
				return hint.Errorf("choose a pattern: llama3", "like %s: its pre-tokenizer has no pattern that byte-level BPE could cut by", o.Like)
			}
			o.BPE.Pattern = pattern
		}
		if o.Normalization == "" && len(d.Normalizer) > 0 && string(d.Normalizer) != "null" {
			o.BPE.Normalizer = d.Normalizer
		}
		return nil
	}
	if !t.given("split_digits") {
		o.SP.SplitDigits = !slices.ContainsFunc(d.Model.Pieces, func(p tokenizer.Piece) bool { return longNumber(p.Text) })
	}
	if sp := d.SentencePiece; sp != nil {
		t.takeFromSentencePiece(sp, d.Model.ByteFallback)
		return nil
	}
	if o.Normalization == "" && strings.Contains(string(d.Normalizer), `"Precompiled"`) {
		return hint.Errorf("choose a normalization: nmt_nfkc", "like %s: its normalization is known by a table only, not by a name", o.Like)
	}
	return nil
}

func (t *Trainer) takeFromSentencePiece(sp *tokenizer.SentencePiece, byteFallback bool) {
	o := &t.opts
	if o.Normalization == "" && sp.NormalizerName != "" {
		o.SP.NormalizationRuleName = sp.NormalizerName
	}
	for _, s := range []struct {
		key   string
		value bool
		dst   *bool
	}{
		{"byte_fallback", byteFallback, &o.SP.ByteFallback},
		{"add_dummy_prefix", sp.AddDummyPrefix, &o.SP.AddDummyPrefix},
		{"remove_extra_whitespaces", sp.RemoveExtraWhitespaces, &o.SP.RemoveExtraWhitespaces},
		{"treat_whitespace_as_suffix", sp.TreatWhitespaceAsSuffix, &o.SP.TreatWhitespaceAsSuffix},
	} {
		if !t.given(s.key) {
			*s.dst = s.value
		}
	}
}

// longNumber reports whether a piece holds two digits in a row.
func longNumber(piece string) bool {
	before := false
	for _, r := range piece {
		if unicode.IsDigit(r) && before && !strings.HasPrefix(piece, "<") {
			return true
		}
		before = unicode.IsDigit(r)
	}
	return false
}

// splitPattern returns the regular expression by which a pre-tokenizer cuts texts, "gpt2"
// for the one that is built into ByteLevel, "" if there is none.
func splitPattern(raw json.RawMessage) string {
	var p struct {
		Type          string
		UseRegex      *bool             `json:"use_regex"`
		PreTokenizers []json.RawMessage `json:"pretokenizers"`
		Pattern       struct{ Regex string }
		Behavior      string
		Invert        bool
	}
	if json.Unmarshal(raw, &p) != nil {
		return ""
	}
	switch p.Type {
	case "ByteLevel":
		if p.UseRegex == nil || *p.UseRegex {
			return "gpt2"
		}
	case "Split":
		if p.Behavior == "Isolated" || p.Behavior == "Removed" && p.Invert {
			return p.Pattern.Regex
		}
	case "Sequence":
		var found []string
		for _, child := range p.PreTokenizers {
			if s := splitPattern(child); s != "" {
				found = append(found, s)
			}
		}
		if len(found) == 1 {
			return found[0]
		}
	}
	return ""
}

// addedBehind counts the model's added tokens that will follow the trained table.
func (t *Trainer) addedBehind() int {
	if t.model == nil {
		return 0
	}
	var own []string
	if t.opts.Style == SentencePiece {
		sp := tokenizer.DefaultSentencePiece()
		for _, s := range []struct {
			id    int
			piece string
		}{{t.opts.SP.UnkID, sp.UnkPiece}, {t.opts.SP.BOSID, sp.BOSPiece}, {t.opts.SP.EOSID, sp.EOSPiece}, {t.opts.SP.PADID, sp.PADPiece}} {
			if s.id >= 0 {
				own = append(own, s.piece)
			}
		}
		own = slices.Concat(own, t.opts.SP.ControlSymbols, t.opts.SP.UserDefinedSymbols)
	}
	n := 0
	for _, added := range t.model.Definition.AddedTokens {
		if !slices.Contains(own, added.Content) {
			n++
		}
	}
	return n
}
