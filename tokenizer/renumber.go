package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"lep/internal/orderedjson"
)

// Renumber gives every piece and added token the id that to returns for its old
// one, and drops those for which it returns false, together with the merges that need them.
// The ids inside the post-processor follow; a post-processor that needs a dropped token is an
// error.
func (d *Definition) Renumber(to func(old int32) (int32, bool)) error {
	m := &d.Model
	pieces := make([]Piece, 0, len(m.Pieces))
	for _, p := range m.Pieces {
		if id, ok := to(p.ID); ok {
			p.ID = id
			pieces = append(pieces, p)
		}
	}
	slices.SortFunc(pieces, func(a, b Piece) int { return cmp.Compare(a.ID, b.ID) })
	m.Pieces = pieces

	merges := make([]Merge, 0, len(m.Merges))
	for _, x := range m.Merges {
		left, ok1 := to(x.Left)
		right, ok2 := to(x.Right)
		product, ok3 := to(x.Product)
		if ok1 && ok2 && ok3 {
			merges = append(merges, Merge{left, right, product})
		}
	}
	m.Merges = merges

	if m.UnkID >= 0 {
		id, ok := to(m.UnkID)
		if !ok {
			id = -1
		}
		m.UnkID = id
	}
	added := make([]AddedToken, 0, len(d.AddedTokens))
	for _, a := range d.AddedTokens {
		if id, ok := to(a.ID); ok {
			a.ID = id
			added = append(added, a)
		}
	}
	slices.SortStableFunc(added, func(a, b AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	d.AddedTokens = added
	if d.SentencePiece != nil {
		native := *d.SentencePiece
		native.pieceRest = make(map[int32][]byte, len(native.pieceRest))
		for old, rest := range d.SentencePiece.pieceRest {
			if id, ok := to(old); ok {
				native.pieceRest[id] = rest
			}
		}
		d.SentencePiece = &native
	}

	raw, err := renumberPostProcessor(d.PostProcessor, to)
	if err != nil {
		return err
	}
	d.PostProcessor = raw
	return nil
}

// MergesFromScores replaces the merges by those that SentencePiece makes of the pieces: all
// pairs whose joined text is a piece, by falling score.
func (d *Definition) MergesFromScores() { d.Model.Merges = mergesByScore(d.Model.Pieces) }

// renumberPostProcessor maps the ids of TemplateProcessing, RobertaProcessing and BertProcessing.
func renumberPostProcessor(raw json.RawMessage, to func(int32) (int32, bool)) (json.RawMessage, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return raw, nil
	}
	o, err := orderedjson.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	switch o.Text("type") {
	case "Sequence":
		var list []json.RawMessage
		if _, err := o.Decode("processors", &list); err != nil {
			return nil, fmt.Errorf("post_processor: %w", err)
		}
		for i, p := range list {
			if list[i], err = renumberPostProcessor(p, to); err != nil {
				return nil, err
			}
		}
		err = o.Set("processors", list)
	case "TemplateProcessing":
		err = renumberTemplate(o, to)
	case "RobertaProcessing", "BertProcessing":
		for _, key := range []string{"sep", "cls"} {
			if err == nil {
				err = renumberPair(o, key, to)
			}
		}
	default:
		return raw, nil
	}
	if err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	return o.MarshalJSON()
}

func renumberTemplate(o *orderedjson.Object, to func(int32) (int32, bool)) error {
	special := orderedjson.New()
	if ok, err := o.Decode("special_tokens", special); !ok {
		return err
	}
	for _, name := range slices.Clone(special.Keys()) {
		token := orderedjson.New()
		if _, err := special.Decode(name, token); err != nil {
			return err
		}
		var ids []int32
		if _, err := token.Decode("ids", &ids); err != nil {
			return err
		}
		for i, old := range ids {
			id, ok := to(old)
			if !ok {
				return fmt.Errorf("needs %q, which was dropped", name)
			}
			ids[i] = id
		}
		if err := token.Set("ids", ids); err != nil {
			return err
		}
		if err := special.Set(name, token); err != nil {
			return err
		}
	}
	return o.Set("special_tokens", special)
}

func renumberPair(o *orderedjson.Object, key string, to func(int32) (int32, bool)) error {
	var pair []json.RawMessage
	if ok, err := o.Decode(key, &pair); !ok || len(pair) != 2 {
		return err
	}
	var old int32
	if err := json.Unmarshal(pair[1], &old); err != nil {
		return err
	}
	id, ok := to(old)
	if !ok {
		return fmt.Errorf("needs %s, which was dropped", pair[0])
	}
	pair[1] = json.RawMessage(fmt.Sprint(id))
	return o.Set(key, pair)
}
