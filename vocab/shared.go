package vocab

import (
	"cmp"
	"slices"

	"lep/tokenizer"
)

// Pair is a token that two tables have in common.
type Pair struct{ Old, New int32 }

// Shared pairs the tokens of both tables in order of their old ids: text pieces by
// their bytes (a leading space counts), byte-fallback pieces with byte-fallback
// pieces, special tokens by name. Where a table has a token twice the lowest id counts.
func Shared(old, next *tokenizer.Tokenizer) []Pair {
	type key struct {
		special, byteFallback bool
		bytes                 string
	}
	keyOf := func(t *tokenizer.Tokenizer, id int32) (key, bool) {
		b, kind := t.Bytes(id)
		switch kind {
		case tokenizer.Missing, tokenizer.Unused:
			return key{}, false
		case tokenizer.Special, tokenizer.Control, tokenizer.Unknown:
			return key{special: true, bytes: t.Token(id)}, true
		case tokenizer.Byte:
			return key{byteFallback: true, bytes: string(b)}, true
		}
		return key{bytes: string(b)}, true
	}
	ids := make(map[key]int32, old.Size())
	for id := range int32(old.Size()) {
		if k, ok := keyOf(old, id); ok {
			if _, twice := ids[k]; !twice {
				ids[k] = id
			}
		}
	}
	var pairs []Pair
	for id := range int32(next.Size()) {
		k, ok := keyOf(next, id)
		if !ok {
			continue
		}
		if o, ok := ids[k]; ok {
			pairs = append(pairs, Pair{Old: o, New: id})
			delete(ids, k)
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return cmp.Compare(a.Old, b.Old) })
	return pairs
}

// SharedReference pairs tokens as the authors' code does: every token of both
// tables is decoded alone, and equal strings are shared. Decoding strips the leading
// space of "▁при" and makes U+FFFD of every partial character, so that many old ids
// stand behind one string; the authors' code keeps any one of them, by the order of a
// hash table. Here it is the highest old id, which is what a dictionary filled in
// the order of ids keeps.
func SharedReference(old, next *tokenizer.Tokenizer) []Pair {
	decoded := func(t *tokenizer.Tokenizer) map[string]int32 {
		m := make(map[string]int32, t.Size())
		for id := range int32(t.Size()) {
			if t.Token(id) != "" {
				m[t.Decode([]int32{id})] = id
			}
		}
		return m
	}
	a, b := decoded(old), decoded(next)
	var pairs []Pair
	for text, id := range a {
		if n, ok := b[text]; ok {
			pairs = append(pairs, Pair{Old: id, New: n})
		}
	}
	slices.SortFunc(pairs, func(x, y Pair) int { return cmp.Compare(x.Old, y.Old) })
	return pairs
}
