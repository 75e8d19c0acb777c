package scenario

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"lep/tokenizer"
	"lep/vocab"
)

// Word is a text that should become one token, with a weight. A leading space belongs to it.
type Word struct {
	Text      string `json:"text"`
	Frequency int64  `json:"frequency"`
}

// WordOptions chooses words from a vocabulary.
type WordOptions struct {
	// Only keeps texts that this regular expression (RE2 syntax) matches as a whole, such as
	// `[ \p{Cyrillic}]+`; empty keeps all.
	Only string `yaml:"only"`
	// MinLetters drops texts with fewer characters, spaces not counted.
	MinLetters int `yaml:"min_letters"`
	// TopK keeps the most frequent, before Only and MinLetters; 0 keeps all.
	TopK int `yaml:"top_k"`
}

// WordList turns a vocabulary into weighted words, the most frequent first (reference/lep
// 1.6). A Unigram piece weighs max(1, 1e6 exp(score)); a BPE piece max(1, 1e7/(rank+1)) with
// ranks in order of the merges, pieces that are only parts of merges first. Special and
// byte pieces and those that are no whole characters are no words.
func WordList(d *tokenizer.Definition, opts WordOptions) ([]Word, error) {
	only, err := regexp.Compile(`^(?:` + opts.Only + `)$`)
	if err != nil {
		return nil, fmt.Errorf("only: %w", err)
	}
	tok, err := compile(d)
	if err != nil {
		return nil, err
	}
	frequency := bpeFrequencies
	if d.Model.Type == tokenizer.Unigram {
		frequency = unigramFrequencies
	}
	var words []Word
	for _, p := range frequency(d) {
		b, kind := tok.Bytes(p.id)
		if kind == tokenizer.Text && utf8.Valid(b) {
			words = append(words, Word{string(b), p.frequency})
		}
	}
	slices.SortStableFunc(words, func(a, b Word) int { return cmp.Compare(b.Frequency, a.Frequency) })
	if opts.TopK > 0 && len(words) > opts.TopK {
		words = words[:opts.TopK]
	}
	return slices.DeleteFunc(words, func(w Word) bool {
		letters := utf8.RuneCountInString(strings.ReplaceAll(w.Text, " ", ""))
		return letters < opts.MinLetters || opts.Only != "" && !only.MatchString(w.Text)
	}), nil
}

type weighted struct {
	id        int32
	frequency int64
}

func unigramFrequencies(d *tokenizer.Definition) []weighted {
	var out []weighted
	for _, p := range d.Model.Pieces {
		if p.Score < 0 {
			out = append(out, weighted{p.ID, max(1, int64(1e6*math.Exp(p.Score)))})
		}
	}
	return out
}

// bpeFrequencies ranks the products of merges in order of their first merge, behind the
// pieces that are only parts: these have rank id - smallest such id.
func bpeFrequencies(d *tokenizer.Definition) []weighted {
	first := map[int32]int{}
	for i, m := range d.Model.Merges {
		if _, ok := first[m.Product]; !ok {
			first[m.Product] = i
		}
	}
	parts := map[int32]bool{}
	for _, m := range d.Model.Merges {
		for _, id := range []int32{m.Left, m.Right} {
			if _, ok := first[id]; !ok {
				parts[id] = true
			}
		}
	}
	var out []weighted
	lowest, rank := int32(-1), int64(-1)
	for _, p := range d.Model.Pieces { // ascending ids
		if parts[p.ID] {
			if lowest < 0 {
				lowest = p.ID
			}
			rank = int64(p.ID - lowest)
			out = append(out, weighted{p.ID, zipf(rank)})
		}
	}
	products := make([]int32, 0, len(first))
	for id := range first {
		products = append(products, id)
	}
	slices.SortFunc(products, func(a, b int32) int { return cmp.Compare(first[a], first[b]) })
	for _, id := range products {
		rank++
		out = append(out, weighted{id, zipf(rank)})
	}
	return out
}

func zipf(rank int64) int64 { return max(1, int64(1e7/float64(rank+1))) }

// admit cuts the words by the base and leaves out those that cannot become a token.
func admit(tok *tokenizer.Tokenizer, words []Word, keepDead bool) (entries []entry, leftOut []Unreachable) {
	index := map[string]int{}
	var ids []int32
	for _, w := range words {
		text, ok := tok.FromBytes([]byte(w.Text))
		if !ok {
			leftOut = append(leftOut, Unreachable{w.Text, "the base's alphabet cannot spell it"})
			continue
		}
		if i, ok := index[text]; ok {
			entries[i].frequency += w.Frequency
			continue
		}
		if _, ok := tok.ID(text); ok {
			continue // already a token
		}
		if reason := cutBefore(tok, w.Text, text); reason != "" && !keepDead {
			leftOut = append(leftOut, Unreachable{w.Text, reason})
			continue
		}
		e := entry{frequency: max(1, w.Frequency)}
		ids = tok.ModelEncode(ids[:0], text)
		for _, id := range ids {
			b, kind := tok.Bytes(id)
			if kind == tokenizer.Text {
				e.parts = append(e.parts, string(b))
			}
		}
		if strings.Join(e.parts, "") != w.Text {
			leftOut = append(leftOut, Unreachable{w.Text, "it holds characters that the base only knows as bytes"})
			continue
		}
		index[text] = len(entries)
		entries = append(entries, e)
	}
	return entries, leftOut
}

// cutBefore says why the model never sees a text in one piece, "" if it does. A
// SentencePiece-style table has no pre-tokenizer: there the text stands inside a line.
func cutBefore(tok *tokenizer.Tokenizer, text, spelled string) string {
	if !tok.ByteLevel() {
		return ""
	}
	parts := tok.PreTokenize(text)
	switch {
	case len(parts) > 1:
		return fmt.Sprintf("the pre-tokenizer cuts it into %d parts", len(parts))
	case len(parts) == 1 && parts[0] != spelled:
		return "the normalizer changes it"
	case len(parts) == 0:
		return "the pre-tokenizer removes it"
	}
	return ""
}

// FindUnreachable encodes the own text of every new token of a result and lists those that
// come out otherwise.
func (r *Result) FindUnreachable() ([]Unreachable, error) { return unreachable(r.Definition, r.OldIDs) }

// unreachable tries every new piece and lists those that encoding cannot produce.
func unreachable(d *tokenizer.Definition, oldIDs []int32) ([]Unreachable, error) {
	tok, err := compile(d)
	if err != nil {
		return nil, err
	}
	var out []Unreachable
	for _, p := range d.Model.Pieces {
		if oldIDs[p.ID] >= 0 {
			continue
		}
		if ok, reason := vocab.Reach(tok, p.ID); !ok {
			b, _ := tok.Bytes(p.ID)
			out = append(out, Unreachable{strings.ToValidUTF8(string(b), "\uFFFD"), reason})
		}
	}
	return out, nil
}
