package trainer

import (
	"fmt"

	"lep/tokenizer"
)

// nativePart is what a model will say of its normalization.
func (o SentencePieceOptions) nativePart() (*tokenizer.SentencePiece, error) {
	sp := tokenizer.DefaultSentencePiece()
	sp.NormalizerName = o.NormalizationRuleName
	var err error
	if sp.Charsmap, err = tokenizer.SentencePieceCharsmap(o.NormalizationRuleName); err != nil {
		return nil, err
	}
	sp.AddDummyPrefix, sp.RemoveExtraWhitespaces = o.AddDummyPrefix, o.RemoveExtraWhitespaces
	sp.TreatWhitespaceAsSuffix = o.TreatWhitespaceAsSuffix
	return sp, nil
}

// speller normalizes text as the finished model will. It encodes with a model that
// has no pieces but bytes, and so spells out in bytes what its normalizer makes of
// a text.
type speller struct {
	tok *tokenizer.Tokenizer
	ids []int32
}

func newSpeller(sp *tokenizer.SentencePiece) (speller, error) {
	def := &tokenizer.Definition{SentencePiece: sp, Model: tokenizer.Model{Type: tokenizer.BPE, ByteFallback: true, UnkID: 256}}
	for b := range 256 {
		def.Model.Pieces = append(def.Model.Pieces, tokenizer.Piece{ID: int32(b), Text: fmt.Sprintf("<0x%02X>", b), Kind: tokenizer.Byte})
	}
	def.Model.Pieces = append(def.Model.Pieces, tokenizer.Piece{ID: 256, Text: sp.UnkPiece, Kind: tokenizer.Unknown})
	tok, err := tokenizer.New(def)
	return speller{tok: tok}, err
}

// append appends the normalized text to dst. A speller may be copied; each copy
// serves one goroutine.
func (s *speller) append(dst []byte, text string) []byte {
	s.ids = s.tok.AppendEncode(s.ids[:0], text)
	for _, id := range s.ids {
		dst = append(dst, byte(id))
	}
	return dst
}
