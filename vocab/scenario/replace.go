package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"lep/tokenizer"
)

// Replace puts another vocabulary in the place of the base's (the paper's scenarios BPE and
// Unigram). The base's added tokens that the other one lacks are appended in their old order
// with their flags, and its post-processor, which puts bos and the like around a text, is
// taken over with their new ids. OldIDs names the base's token of the same bytes and kind.
func Replace(base, with *tokenizer.Definition) (*Result, error) {
	d := with.Clone()
	have := map[string]int32{}
	next := size(d)
	for _, p := range d.Model.Pieces {
		if p.Kind == tokenizer.Control || p.Kind == tokenizer.Unknown {
			have[p.Text] = p.ID
		}
	}
	for _, a := range d.AddedTokens {
		have[a.Content] = a.ID
	}
	added := slices.Clone(base.AddedTokens)
	slices.SortFunc(added, func(a, b tokenizer.AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	to := map[int32]int32{}
	for _, a := range added {
		if id, ok := have[a.Content]; ok {
			to[a.ID] = id
			continue
		}
		to[a.ID] = next
		a.ID = next
		next++
		d.AddedTokens = append(d.AddedTokens, a)
	}
	if err := adoptPostProcessor(base, d, to); err != nil {
		return nil, err
	}
	r, err := finish(Replacement, base, d)
	if err != nil {
		return nil, err
	}
	r.OldIDs, err = sameBytes(base, d)
	if err != nil {
		return nil, err
	}
	r.Kept, r.New = 0, 0
	for _, p := range d.Model.Pieces {
		if r.OldIDs[p.ID] >= 0 {
			r.Kept++
		} else {
			r.New++
		}
	}
	r.Cut = len(base.Model.Pieces) - r.Kept
	return r, nil
}

// adoptPostProcessor gives d the base's post-processor with the ids of d.
func adoptPostProcessor(base, d *tokenizer.Definition, to map[int32]int32) error {
	if len(base.PostProcessor) == 0 || bytes.Equal(base.PostProcessor, []byte("null")) {
		return nil
	}
	carrier := &tokenizer.Definition{PostProcessor: base.PostProcessor}
	err := carrier.Renumber(func(old int32) (int32, bool) { id, ok := to[old]; return id, ok })
	if err != nil {
		return fmt.Errorf("base: %w", err)
	}
	d.PostProcessor = carrier.PostProcessor
	return nil
}

// sameBytes finds for each token of next the base's token with the same bytes and kind.
func sameBytes(base, next *tokenizer.Definition) ([]int32, error) {
	a, err := compile(base)
	if err != nil {
		return nil, err
	}
	b, err := compile(next)
	if err != nil {
		return nil, err
	}
	type key struct {
		bytes string
		kind  tokenizer.Kind
	}
	old := map[key]int32{}
	for id := int32(a.Size()) - 1; id >= 0; id-- {
		if raw, kind := a.Bytes(id); kind != tokenizer.Missing {
			old[key{string(raw), kind}] = id
		}
	}
	out := make([]int32, b.Size())
	for id := range out {
		raw, kind := b.Bytes(int32(id))
		if o, ok := old[key{string(raw), kind}]; ok && kind != tokenizer.Missing {
			out[id] = o
		} else {
			out[id] = -1
		}
	}
	return out, nil
}

// Config returns the base's tokenizer_config for the result. Where the class would rebuild
// the tokenizer by rules of its own and not read tokenizer.json (Llama's does: it orders
// merges by id and knows no Unigram), the class that reads the file as it stands takes its place.
func (r *Result) Config(base *tokenizer.Config) *tokenizer.Config {
	c := base.Clone()
	if class := c.Text("tokenizer_class"); class == "LlamaTokenizer" || class == "LlamaTokenizerFast" {
		_ = c.Set("tokenizer_class", "PreTrainedTokenizerFast") // a string always marshals
		for _, key := range []string{"add_prefix_space", "legacy", "sp_model_kwargs"} {
			c.Delete(key)
		}
	}
	return c
}

// After makes r, which was built on the vocabulary that first left of base, a result over
// base itself: the scenario is Optimization, old ids are base's.
func (r *Result) After(first *Result, base *tokenizer.Definition) {
	for i, mid := range r.OldIDs {
		if mid >= 0 {
			r.OldIDs[i] = first.OldIDs[mid]
		}
	}
	r.Scenario = Optimization
	r.Cut = len(base.Model.Pieces) - r.Kept
}

// File is lep_vocab.json ([tokenizer.OldIDsFile]), which every vocabulary folder that lep makes holds.
type File struct {
	Scenario Name     `json:"scenario"`
	Size     int      `json:"size"`
	BaseSize int      `json:"base_size"`
	Kept     int      `json:"kept"`
	Cut      int      `json:"cut"`
	New      int      `json:"new"`
	OldIDs   []*int32 `json:"old_ids"` // for each new id its old id, null if it is new

	Options     any           `json:"options,omitempty"`
	LeftOut     []Unreachable `json:"left_out,omitempty"`
	Unreachable []Unreachable `json:"unreachable,omitempty"`
	Proof       *Proof        `json:"proof,omitempty"`
}

// JSON returns the content of lep_vocab.json.
func (r *Result) JSON(base *tokenizer.Definition, options any, proof *Proof) ([]byte, error) {
	f := File{
		Scenario: r.Scenario, Size: len(r.OldIDs), BaseSize: int(size(base)), Kept: r.Kept, Cut: r.Cut, New: r.New,
		OldIDs: make([]*int32, len(r.OldIDs)), Options: options, LeftOut: r.LeftOut, Unreachable: r.Unreachable, Proof: proof,
	}
	for i := range r.OldIDs {
		if r.OldIDs[i] >= 0 {
			f.OldIDs[i] = &r.OldIDs[i]
		}
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return append(raw, '\n'), nil
}
