package scenario

import (
	"cmp"
	"fmt"
	"slices"

	"lep/tokenizer"
)

// Name says which of the paper's scenarios made a vocabulary.
type Name string

const (
	Extension    Name = "extend"
	Replacement  Name = "replace"
	Optimization Name = "optimize"
	Training     Name = "train" // a new vocabulary for no model in particular
)

// Result is a new vocabulary and where its tokens come from.
type Result struct {
	Scenario   Name
	Definition *tokenizer.Definition
	OldIDs     []int32 // for each new id the base's id of the same token, -1 for a new one

	Kept, Cut, New int           // pieces of the base kept and cut, pieces added
	LeftOut        []Unreachable // tokens of the other vocabulary that were not taken, with the reason
	Unreachable    []Unreachable // new tokens that no text of their own is cut into
}

// Unreachable is a token that encoding does not produce, and why.
type Unreachable struct {
	Token  string `json:"token"`
	Reason string `json:"reason"`
}

// table is a definition under construction: pieces found by their spelling.
type table struct {
	def *tokenizer.Definition
	ids map[string]int32
	end int32 // next free id of a piece
}

func newTable(d *tokenizer.Definition) *table {
	t := &table{def: d, ids: make(map[string]int32, len(d.Model.Pieces))}
	for _, p := range d.Model.Pieces {
		t.ids[p.Text] = p.ID
		t.end = max(t.end, p.ID+1)
	}
	return t
}

// add appends a piece unless one is spelled so, and returns its id.
func (t *table) add(text string, score float64) int32 {
	if id, ok := t.ids[text]; ok {
		return id
	}
	id := t.end
	t.end++
	t.ids[text] = id
	t.def.Model.Pieces = append(t.def.Model.Pieces, tokenizer.Piece{ID: id, Text: text, Score: score})
	return id
}

// seatAddedTokens moves the added tokens that lie outside the piece table behind it, in
// their old order and without gaps. Those that are pieces (SentencePiece's <s>) stay.
// It returns the definition's new id for each old one that moved.
func seatAddedTokens(d *tokenizer.Definition) (map[int32]int32, error) {
	inTable := make(map[int32]string, len(d.Model.Pieces))
	next := int32(0)
	for _, p := range d.Model.Pieces {
		inTable[p.ID] = p.Text
		next = max(next, p.ID+1)
	}
	added := slices.Clone(d.AddedTokens)
	slices.SortFunc(added, func(a, b tokenizer.AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	moved := map[int32]int32{}
	for _, a := range added {
		if text, ok := inTable[a.ID]; ok && text == a.Content {
			continue
		}
		moved[a.ID] = next
		next++
	}
	// Pieces keep their ids: only added tokens and the post-processor are renumbered.
	model := d.Model
	err := d.Renumber(func(old int32) (int32, bool) {
		if id, ok := moved[old]; ok {
			return id, true
		}
		return old, true
	})
	d.Model = model
	if id, ok := moved[d.Model.UnkID]; ok && inTable[d.Model.UnkID] == "" {
		d.Model.UnkID = id
	}
	return moved, err
}

// size is 1 + the highest id of a definition.
func size(d *tokenizer.Definition) int32 {
	n := int32(0)
	for _, p := range d.Model.Pieces {
		n = max(n, p.ID+1)
	}
	for _, a := range d.AddedTokens {
		n = max(n, a.ID+1)
	}
	return n
}

// oldIDs finds for each token of next the token of base with the same spelling: pieces by
// text and kind, added tokens by content.
func oldIDs(base, next *tokenizer.Definition) []int32 {
	type key struct {
		text  string
		added bool
	}
	old := map[key]int32{}
	for _, p := range base.Model.Pieces {
		old[key{p.Text, false}] = p.ID
	}
	for _, a := range base.AddedTokens {
		old[key{a.Content, true}] = a.ID
	}
	out := make([]int32, size(next))
	for i := range out {
		out[i] = -1
	}
	for _, p := range next.Model.Pieces {
		if id, ok := old[key{p.Text, false}]; ok {
			out[p.ID] = id
		}
	}
	for _, a := range next.AddedTokens {
		if id, ok := old[key{a.Content, true}]; ok {
			out[a.ID] = id
		}
	}
	return out
}

func needBPE(what string, d *tokenizer.Definition) error {
	if d.Model.Type != tokenizer.BPE {
		return fmt.Errorf("%s: a %s vocabulary has no merges: extension needs BPE", what, d.Model.Type)
	}
	return nil
}
