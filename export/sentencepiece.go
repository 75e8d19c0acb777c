package export

import (
	"encoding/json"
	"errors"
	"fmt"

	"lep/internal/hint"
	"lep/tokenizer"
)

// kinds are the token types of SentencePiece's kinds of pieces.
var kinds = map[tokenizer.Kind]int32{
	tokenizer.Text: typeNormal, tokenizer.Byte: typeByte, tokenizer.Unknown: typeUnknown, tokenizer.Control: typeControl,
	tokenizer.UserDefined: typeUserDefined, tokenizer.Unused: typeUnused,
}

// sentencePiece makes the vocabulary of a SentencePiece BPE: llama.cpp joins the neighbours whose
// joined piece has the highest score, and knows no merges.
func (e *exporter) sentencePiece(d *tokenizer.Definition) (*vocabulary, error) {
	native, err := nativeForm(d)
	if err != nil {
		return nil, hint.Errorf("llama.cpp needs a tokenizer that SentencePiece could have written", "BPE over characters: %w", err)
	}
	v := pieces(native)
	v.model, v.pre = "llama", "default"
	v.added(d, e)
	e.noteNormalization(native)
	return v, nil
}

// unigram makes the vocabulary of a Unigram model.
func (e *exporter) unigram(d *tokenizer.Definition) (*vocabulary, error) {
	if !e.opts.AllowUnigram {
		return nil, hint.Errorf("use a BPE vocabulary for llama.cpp, or --allow-unigram if characters outside the vocabulary may become <unk>",
			"Unigram: llama.cpp reads it without byte fallback, so that every character outside the vocabulary becomes <unk>")
	}
	native, err := nativeForm(d)
	if err != nil {
		e.notef("the normalizer and the pre-tokenizer are left out, llama.cpp cannot be told them: %v", err)
		native = d
	}
	v := pieces(native)
	v.model, v.pre = "t5", "default"
	v.added(d, e)
	if sp := native.SentencePiece; sp != nil {
		if len(sp.Charsmap) > 0 {
			e.set("tokenizer.ggml.precompiled_charsmap", sp.Charsmap)
		}
		e.set("tokenizer.ggml.remove_extra_whitespaces", sp.RemoveExtraWhitespaces)
	} else {
		no := false
		v.prefix = &no
	}
	return v, nil
}

// pieces places a model's table.
func pieces(d *tokenizer.Definition) *vocabulary {
	v := &vocabulary{}
	for _, p := range d.Model.Pieces {
		kind := kinds[p.Kind]
		if p.ID == d.Model.UnkID {
			kind = typeUnknown
		}
		v.place(p.ID, p.Text, kind)
		for len(v.scores) < len(v.tokens) {
			v.scores = append(v.scores, 0)
		}
		v.scores[p.ID] = float32(p.Score)
	}
	if sp := d.SentencePiece; sp != nil {
		v.prefix = &sp.AddDummyPrefix
	}
	return v
}

// nativeForm returns what SentencePiece would read: the definition's own native part, or what its
// Hugging Face form says in SentencePiece's words.
func nativeForm(d *tokenizer.Definition) (*tokenizer.Definition, error) {
	if d.SentencePiece != nil {
		return d, nil
	}
	plain, err := llamaLayout(d)
	if err != nil {
		return nil, err
	}
	data, err := plain.SentencePieceModel()
	if err != nil {
		return nil, err
	}
	return tokenizer.ReadSentencePiece(data)
}

// llamaLayout rewrites the two newer spellings of the Llama layout, in which a normalizer marks blanks
// and no pre-tokenizer follows: Metaspace that does not split, and Gemma's split at blanks, of which
// there are none left.
func llamaLayout(d *tokenizer.Definition) (*tokenizer.Definition, error) {
	var pre struct {
		Type          string `json:"type"`
		Replacement   string `json:"replacement"`
		PrependScheme string `json:"prepend_scheme"`
		Split         *bool  `json:"split"`
		Pattern       struct{ String *string }
	}
	if len(d.PreTokenizer) == 0 || string(d.PreTokenizer) == "null" {
		return d, nil
	}
	if err := json.Unmarshal(d.PreTokenizer, &pre); err != nil {
		return nil, err
	}
	c := d.Clone()
	switch {
	case pre.Type == "Split" && pre.Pattern.String != nil && *pre.Pattern.String == " ":
		c.PreTokenizer = nil // the normalizer has replaced all blanks; SentencePieceModel checks that
		return c, nil
	case pre.Type == "Metaspace" && pre.Replacement == "▁" && pre.Split != nil && !*pre.Split:
		if len(d.Normalizer) > 0 && string(d.Normalizer) != "null" {
			return nil, errors.New("there is a normalizer before Metaspace")
		}
		replace := `{"type":"Replace","pattern":{"String":" "},"content":"▁"}`
		if pre.PrependScheme != "never" {
			replace = `{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},` + replace + `]}`
		}
		c.PreTokenizer, c.Normalizer = nil, json.RawMessage(replace)
		return c, nil
	}
	return nil, fmt.Errorf("pre_tokenizer %s", pre.Type)
}

// noteNormalization says what llama.cpp leaves out of SentencePiece's normalization for BPE.
func (e *exporter) noteNormalization(d *tokenizer.Definition) {
	sp := d.SentencePiece
	if sp == nil {
		return
	}
	if len(sp.Charsmap) > 0 {
		e.notef("llama.cpp leaves out the normalization %q: full-width and compatibility characters get other tokens", sp.NormalizerName)
	}
	if sp.RemoveExtraWhitespaces {
		e.notef("llama.cpp keeps blanks that the tokenizer removes (at the ends of a text and in runs)")
	}
}
