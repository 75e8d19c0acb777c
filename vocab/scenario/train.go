package scenario

import (
	"fmt"
	"slices"

	"lep/tokenizer"
)

// New wraps a vocabulary that was trained for no model in particular, so that it is
// written like the others: every token is new. Added tokens that are in special and not
// in the table yet follow it.
func New(d *tokenizer.Definition, special []string) *Result {
	d = d.Clone()
	have := map[string]bool{}
	for _, a := range d.AddedTokens {
		have[a.Content] = true
	}
	for _, s := range special {
		if !have[s] {
			d.AddedTokens = append(d.AddedTokens, tokenizer.AddedToken{ID: size(d), Content: s, Special: true})
			have[s] = true
		}
	}
	r := &Result{Scenario: Training, Definition: d, OldIDs: make([]int32, size(d)), New: len(d.Model.Pieces)}
	for i := range r.OldIDs {
		r.OldIDs[i] = -1
	}
	return r
}

// Ranked returns a byte-level BPE in the form of tiktoken: every split of a token into two
// tokens is a merge, in the order of ids, and a word that is a token is taken at once. Ids must
// be 0, 1, 2, … in the order in which the tokens were learned. Where a token can be built
// in several ways some text is cut otherwise than by the learned merges alone.
func Ranked(d *tokenizer.Definition) (*tokenizer.Definition, error) {
	if err := needBPE("tiktoken", d); err != nil {
		return nil, err
	}
	d = d.Clone()
	d.Model.IgnoreMerges = true
	mergeByRank(d)
	_, err := d.Tiktoken()
	return d, err
}

// mergeByRank makes every split of a piece into two pieces a merge, in the order of ids.
func mergeByRank(d *tokenizer.Definition) {
	d.Model.Merges = nil
	t := newTable(d)
	for _, p := range d.Model.Pieces {
		splits := t.splits(p.Text)
		slices.SortFunc(splits, comparePairs)
		for _, s := range splits {
			d.Model.Merges = append(d.Model.Merges, tokenizer.Merge{Left: s.left, Right: s.right, Product: p.ID})
		}
	}
}

// IsRanked reports whether a definition is in the form of Ranked, so that what is made of
// it should be too.
func IsRanked(d *tokenizer.Definition) bool {
	if d.Model.Type != tokenizer.BPE || !d.Model.IgnoreMerges || d.SentencePiece != nil {
		return false
	}
	_, err := d.Tiktoken()
	return err == nil
}

// Truncate returns the vocabulary of a smaller size that the same training would have
// made: for byte-level BPE the first ids and the merges that lead to them; for
// SentencePiece BPE all but the last merged pieces. It is an error for Unigram, whose
// smaller vocabularies are not part of the larger ones.
func Truncate(d *tokenizer.Definition, n int) (*tokenizer.Definition, error) {
	if err := needBPE("truncate", d); err != nil {
		return nil, err
	}
	drop := int(size(d)) - n
	if drop < 0 {
		return nil, fmt.Errorf("truncate: size %d, the vocabulary has only %d tokens", n, size(d))
	}
	products := make(map[int32]bool, len(d.Model.Merges))
	for _, m := range d.Model.Merges {
		products[m.Product] = true
	}
	dropped := make(map[int32]bool, drop)
	for _, p := range slices.Backward(d.Model.Pieces) {
		if len(dropped) < drop && products[p.ID] {
			dropped[p.ID] = true
		}
	}
	if len(dropped) < drop {
		return nil, fmt.Errorf("truncate: size %d is smaller than the alphabet of %d", n, int(size(d))-len(products))
	}
	d = d.Clone()
	to := map[int32]int32{}
	next := int32(0)
	for _, p := range d.Model.Pieces {
		if !dropped[p.ID] {
			to[p.ID] = next
			next++
		}
	}
	for _, a := range d.AddedTokens {
		if _, ok := to[a.ID]; !ok {
			to[a.ID] = next
			next++
		}
	}
	err := d.Renumber(func(old int32) (int32, bool) { id, ok := to[old]; return id, ok })
	return d, err
}
