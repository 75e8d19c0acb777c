package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/internal/hint"
	"lep/tokenizer"
)

// flagsOf lists the flags whose help begins with a prefix.
func flagsOf(cmd *cobra.Command, prefix string) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Usage, prefix) {
			names = append(names, f.Name)
		}
	})
	return names
}

// takeFromModel fills what the flags leave open from the tokenizer of --like.
func (t *trainFlags) takeFromModel(changed func(string) bool) error {
	d := t.model.def
	if t.style != styleSentencePiece {
		if !changed("pattern") {
			pattern := splitPattern(d.PreTokenizer)
			if pattern == "" {
				return hint.Errorf("choose one: --pattern llama3", "--like %s: its pre-tokenizer has no pattern that byte-level BPE could cut by", t.like)
			}
			t.bpe.Pattern = pattern
		}
		if !changed("normalization") && len(d.Normalizer) > 0 && string(d.Normalizer) != "null" {
			t.bpe.Normalizer = d.Normalizer
		}
		return nil
	}
	if !changed("split-digits") {
		t.sp.SplitDigits = !slices.ContainsFunc(d.Model.Pieces, func(p tokenizer.Piece) bool { return longNumber(p.Text) })
	}
	if sp := d.SentencePiece; sp != nil {
		return t.takeFromSentencePiece(sp, d.Model.ByteFallback, changed)
	}
	if !changed("normalization") && strings.Contains(string(d.Normalizer), `"Precompiled"`) {
		return hint.Errorf("choose it: --normalization nmt_nfkc", "--like %s: its normalization is known by a table only, not by a name", t.like)
	}
	return nil
}

func (t *trainFlags) takeFromSentencePiece(sp *tokenizer.SentencePiece, byteFallback bool, changed func(string) bool) error {
	if !changed("normalization") && sp.NormalizerName != "" {
		t.sp.NormalizationRuleName = sp.NormalizerName
	}
	for _, o := range []struct {
		flag  string
		value bool
		dst   *bool
	}{
		{"byte-fallback", byteFallback, &t.sp.ByteFallback},
		{"add-dummy-prefix", sp.AddDummyPrefix, &t.sp.AddDummyPrefix},
		{"remove-extra-whitespaces", sp.RemoveExtraWhitespaces, &t.sp.RemoveExtraWhitespaces},
		{"treat-whitespace-as-suffix", sp.TreatWhitespaceAsSuffix, &t.sp.TreatWhitespaceAsSuffix},
	} {
		if !changed(o.flag) {
			*o.dst = o.value
		}
	}
	return nil
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
func (t *trainFlags) addedBehind() int {
	if t.model == nil {
		return 0
	}
	var own []string
	if t.style == styleSentencePiece {
		sp := tokenizer.DefaultSentencePiece()
		for _, s := range []struct {
			id    int
			piece string
		}{{t.sp.UnkID, sp.UnkPiece}, {t.sp.BOSID, sp.BOSPiece}, {t.sp.EOSID, sp.EOSPiece}, {t.sp.PADID, sp.PADPiece}} {
			if s.id >= 0 {
				own = append(own, s.piece)
			}
		}
		own = slices.Concat(own, t.sp.ControlSymbols, t.sp.UserDefinedSymbols)
	}
	n := 0
	for _, added := range t.model.def.AddedTokens {
		if !slices.Contains(own, added.Content) {
			n++
		}
	}
	return n
}
