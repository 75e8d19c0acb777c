package tokenizer

import (
	"encoding/json"
	"slices"

	"lep/internal/orderedjson"
)

// Layout names a way to write a SentencePiece model as tokenizer.json.
type Layout string

const (
	// LegacyLayout is that of Llama 1 and 2 and Mistral 7B: normalizer Prepend and
	// Replace, no pre-tokenizer. It drops the charsmap and all rules about white
	// space, so a model with a charsmap or with remove_extra_whitespaces encodes
	// some text otherwise.
	LegacyLayout Layout = "legacy"
	// ModernLayout is that of T5 and XLM-R: normalizer Precompiled, Strip and Replace,
	// pre-tokenizer Metaspace. It is close to a model with a charsmap that removes
	// extra white space.
	ModernLayout Layout = "modern"
)

// HF returns a copy in which the Hugging Face form in the given layout stands in
// the place of the native part of a SentencePiece model. A definition without a native part
// is returned as it is.
func (d *Definition) HF(layout Layout) (*Definition, error) {
	c := d.Clone()
	if c.SentencePiece == nil {
		return c, nil
	}
	if err := c.setLayout(layout); err != nil {
		return nil, err
	}
	c.SentencePiece = nil
	return c, nil
}

// setLayout sets the components and the added tokens from the native part.
func (d *Definition) setLayout(layout Layout) (err error) {
	set := func(dst *json.RawMessage, v any) {
		if err == nil {
			*dst, err = orderedjson.Marshal(v)
		}
	}
	sp := d.SentencePiece
	type replace struct {
		Type    string            `json:"type"`
		Pattern map[string]string `json:"pattern"`
		Content string            `json:"content"`
	}
	type sequence struct {
		Type        string `json:"type"`
		Normalizers []any  `json:"normalizers,omitempty"`
		Decoders    []any  `json:"decoders,omitempty"`
	}
	type named struct {
		Type string `json:"type"`
	}
	type strip struct {
		Type    string `json:"type"`
		Content string `json:"content"`
		Start   int    `json:"start"`
		Stop    int    `json:"stop"`
	}
	type metaspace struct {
		Type          string `json:"type"`
		Replacement   string `json:"replacement"`
		PrependScheme string `json:"prepend_scheme"`
		Split         bool   `json:"split"`
	}
	toSpace := replace{"Replace", map[string]string{"String": "▁"}, " "}
	decoders := []any{toSpace}
	if d.Model.ByteFallback {
		decoders = append(decoders, named{"ByteFallback"})
	}
	decoders = append(decoders, named{"Fuse"})
	if sp.AddDummyPrefix {
		decoders = append(decoders, strip{"Strip", " ", 1, 0})
	}
	set(&d.Decoder, sequence{Type: "Sequence", Decoders: decoders})
	d.PreTokenizer = nil
	var normalizers []any
	if layout == ModernLayout {
		if len(sp.Charsmap) > 0 {
			normalizers = append(normalizers, struct {
				Type     string `json:"type"`
				Charsmap []byte `json:"precompiled_charsmap"`
			}{"Precompiled", sp.Charsmap})
		}
		if sp.RemoveExtraWhitespaces {
			normalizers = append(normalizers, struct {
				Type  string `json:"type"`
				Left  bool   `json:"strip_left"`
				Right bool   `json:"strip_right"`
			}{"Strip", false, true}, replace{"Replace", map[string]string{"Regex": " {2,}"}, "▁"})
		}
		scheme := "never"
		if sp.AddDummyPrefix {
			scheme = "always"
		}
		set(&d.PreTokenizer, metaspace{"Metaspace", "▁", scheme, true})
		if !d.Model.ByteFallback {
			set(&d.Decoder, metaspace{"Metaspace", "▁", scheme, true})
		}
	} else {
		if sp.AddDummyPrefix {
			normalizers = append(normalizers, struct {
				Type    string `json:"type"`
				Prepend string `json:"prepend"`
			}{"Prepend", "▁"})
		}
		normalizers = append(normalizers, replace{"Replace", map[string]string{"String": " "}, "▁"})
	}
	d.Normalizer = nil
	if len(normalizers) > 0 {
		set(&d.Normalizer, sequence{Type: "Sequence", Normalizers: normalizers})
	}
	d.PostProcessor = nil
	if bos := sp.bosID(&d.Model); bos >= 0 {
		set(&d.PostProcessor, bosTemplate(sp.BOSPiece, bos))
	}
	d.AddedTokens = nil
	for _, p := range d.Model.Pieces {
		switch p.Kind {
		case Unknown, Control:
			d.AddedTokens = append(d.AddedTokens, AddedToken{ID: p.ID, Content: p.Text, Special: true})
		case UserDefined:
			d.AddedTokens = append(d.AddedTokens, AddedToken{ID: p.ID, Content: p.Text})
		}
	}
	return err
}

// bosTemplate is a TemplateProcessing that puts one token in front.
func bosTemplate(bos string, id int32) any {
	token := func(typ int) any {
		return struct {
			SpecialToken struct {
				ID     string `json:"id"`
				TypeID int    `json:"type_id"`
			}
		}{struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		}{bos, typ}}
	}
	text := func(name string, typ int) any {
		return struct {
			Sequence struct {
				ID     string `json:"id"`
				TypeID int    `json:"type_id"`
			}
		}{struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		}{name, typ}}
	}
	return struct {
		Type          string         `json:"type"`
		Single        []any          `json:"single"`
		Pair          []any          `json:"pair"`
		SpecialTokens map[string]any `json:"special_tokens"`
	}{
		"TemplateProcessing",
		[]any{token(0), text("A", 0)},
		[]any{token(0), text("A", 0), token(1), text("B", 1)},
		map[string]any{bos: struct {
			ID     string   `json:"id"`
			IDs    []int32  `json:"ids"`
			Tokens []string `json:"tokens"`
		}{bos, []int32{id}, []string{bos}}},
	}
}

// mergesByScore lists the merges of a SentencePiece BPE: every pair of normal pieces
// whose concatenation is a normal piece, by falling score of the product, then
// by the product's place, then by the ids of the pair. That is the order in
// the published tokenizer.json files.
func mergesByScore(pieces []Piece) []Merge {
	ids := make(map[string]int32, len(pieces))
	for _, p := range pieces {
		if p.Kind == Text || p.Kind == UserDefined || p.Kind == Unused {
			ids[p.Text] = p.ID
		}
	}
	products := make([]Piece, 0, len(ids))
	for _, p := range pieces {
		if _, ok := ids[p.Text]; ok {
			products = append(products, p)
		}
	}
	slices.SortStableFunc(products, func(a, b Piece) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	var merges []Merge
	for _, p := range products {
		from := len(merges)
		for i := range p.Text {
			if i == 0 {
				continue
			}
			left, ok := ids[p.Text[:i]]
			if !ok {
				continue
			}
			if right, ok := ids[p.Text[i:]]; ok {
				merges = append(merges, Merge{left, right, p.ID})
			}
		}
		slices.SortFunc(merges[from:], func(a, b Merge) int {
			if a.Left != b.Left {
				return int(a.Left) - int(b.Left)
			}
			return int(a.Right) - int(b.Right)
		})
	}
	return merges
}
