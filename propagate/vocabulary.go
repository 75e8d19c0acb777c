package propagate

import (
	"encoding/json"
	"fmt"
	"slices"

	"lep/embedding"
	"lep/internal/orderedjson"
	"lep/tokenizer"
	"lep/vocab"
)

// vocabulary is the result's tokenizer, and where its rows come from.
type vocabulary struct {
	tok        *tokenizer.Tokenizer
	config     *tokenizer.Config
	added      []string         // the target's added tokens that the donor lacked
	special    map[string]int32 // the target's added tokens and their new ids
	shared     map[int32]int32  // target id → new id, by bytes, and by name for special tokens
	fromTarget []int32          // for each new id the target's row, or -1
	notes      []string
}

func (v *vocabulary) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// newVocabulary joins the donor's pieces with the target's special tokens: ids of the
// donor stay, added tokens that it lacks follow in the order of their target ids and
// with their flags, and the post-processor puts the target's tokens around a text.
func newVocabulary(donor, target *tokenizer.Tokenizer, keepShared bool) (*vocabulary, error) {
	joined, added, err := embedding.WithSpecial(target, donor)
	if err != nil {
		return nil, err
	}
	v := &vocabulary{added: added}
	d := joined.Definition().Clone()
	renumber := func(old int32) (int32, bool) { return joined.ID(target.Token(old)) }
	if d.PostProcessor, err = postProcessor(d.PostProcessor, target.Definition().PostProcessor, renumber); err != nil {
		return nil, err
	}
	if d.PostProcessor != nil && string(d.PostProcessor) == "null" {
		d.PostProcessor = nil
	}
	if v.tok, err = tokenizer.New(d); err != nil {
		return nil, err
	}
	v.index(target)
	for _, a := range target.Definition().AddedTokens {
		v.fromTarget[v.special[a.Content]] = a.ID
	}
	if keepShared {
		for old, id := range v.shared {
			v.fromTarget[id] = old
		}
	}
	if v.config, err = joinConfig(donor, target, v); err != nil {
		return nil, err
	}
	return v, nil
}

// index fills what follows from the two tokenizers.
func (v *vocabulary) index(target *tokenizer.Tokenizer) {
	v.fromTarget = make([]int32, v.tok.Size())
	for i := range v.fromTarget {
		v.fromTarget[i] = -1
	}
	v.special, v.shared = map[string]int32{}, map[int32]int32{}
	for _, a := range target.Definition().AddedTokens {
		if id, ok := v.tok.ID(a.Content); ok {
			v.special[a.Content] = id
		}
	}
	for _, p := range vocab.Shared(target, v.tok) {
		v.shared[p.Old] = p.New
	}
}

// oldIDs returns for each token its id in the target, nil for one that the vocabulary gained.
func (v *vocabulary) oldIDs() []*int32 {
	old := make([]*int32, v.tok.Size())
	for from, id := range v.shared {
		old[id] = &from
	}
	return old
}

// referenceVocabulary joins as the authors' code does: appended tokens lose their
// flags unless they have a role, and every added token that the target encodes to
// one id takes that id's row. (Their order of appended tokens is that of a hash
// table; here it is that of the target's ids.)
func referenceVocabulary(donor, target *tokenizer.Tokenizer) (*vocabulary, error) {
	joined, added, err := embedding.WithSpecial(target, donor)
	if err != nil {
		return nil, err
	}
	v := &vocabulary{added: added}
	d := joined.Definition().Clone()
	roles := roles(target)
	donors := donor.Definition().AddedTokens
	for i, a := range d.AddedTokens {
		if k := slices.IndexFunc(donors, func(b tokenizer.AddedToken) bool { return b.Content == a.Content }); k >= 0 {
			d.AddedTokens[i] = donors[k]
		} else if slices.Contains(added, a.Content) {
			role := slices.Contains(roles, a.Content)
			d.AddedTokens[i] = tokenizer.AddedToken{ID: a.ID, Content: a.Content, Special: role, Normalized: !role}
		}
	}
	if v.tok, err = tokenizer.New(d); err != nil {
		return nil, err
	}
	v.index(target)
	for _, a := range v.tok.Definition().AddedTokens {
		if ids := target.Encode(a.Content); len(ids) == 1 {
			v.fromTarget[a.ID] = ids[0]
		}
	}
	for _, name := range added {
		if id := v.special[name]; v.fromTarget[id] < 0 {
			return nil, fmt.Errorf("compat reference: %q encodes to several tokens of the target: the authors' code leaves its row random", name)
		}
	}
	v.config, err = joinConfig(donor, target, v)
	return v, err
}

// wraps reports whether a post-processor puts special tokens around a text.
func wraps(kind string) bool {
	return kind == "TemplateProcessing" || kind == "BertProcessing" || kind == "RobertaProcessing"
}

// postProcessor returns the donor's post-processor with the target's special tokens in
// place of the donor's: templates are taken from the target, renumbered, and what
// only corrects offsets stays the donor's.
func postProcessor(donor, target json.RawMessage, renumber func(int32) (int32, bool)) (json.RawMessage, error) {
	own, err := processors(donor)
	if err != nil {
		return nil, fmt.Errorf("donor: %w", err)
	}
	renumbered := tokenizer.Definition{PostProcessor: target, Model: tokenizer.Model{UnkID: -1}}
	if err := renumbered.Renumber(renumber); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	theirs, err := processors(renumbered.PostProcessor)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	var list []json.RawMessage
	for _, p := range own {
		if !wraps(p.kind) {
			list = append(list, p.raw)
		}
	}
	for _, p := range theirs {
		if wraps(p.kind) {
			list = append(list, p.raw)
		}
	}
	switch {
	case same(list, own):
		return donor, nil
	case len(list) == 0:
		return nil, nil
	case len(list) == 1:
		return list[0], nil
	}
	return orderedjson.Marshal(map[string]any{"type": "Sequence", "processors": list})
}

type processor struct {
	kind string
	raw  json.RawMessage
}

func processors(raw json.RawMessage) ([]processor, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var p struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if p.Type != "Sequence" {
		return []processor{{p.Type, raw}}, nil
	}
	var all []processor
	for _, one := range p.Processors {
		inner, err := processors(one)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

// same compares processors by value, not by spelling.
func same(list []json.RawMessage, own []processor) bool {
	if len(list) != len(own) {
		return false
	}
	for i, raw := range list {
		var a, b any
		if json.Unmarshal(raw, &a) != nil || json.Unmarshal(own[i].raw, &b) != nil {
			return false
		}
		x, errX := json.Marshal(a)
		y, errY := json.Marshal(b)
		if errX != nil || errY != nil || string(x) != string(y) {
			return false
		}
	}
	return true
}
