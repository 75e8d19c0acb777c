package vocab_test

import (
	"fmt"

	"lep/tokenizer"
	"lep/vocab"
)

// table makes a small SentencePiece-style vocabulary.
func table(pieces ...string) *tokenizer.Tokenizer {
	d := &tokenizer.Definition{Normalizer: []byte(`{"type":"Replace","pattern":{"String":" "},"content":"▁"}`),
		Decoder: []byte(`{"type":"Replace","pattern":{"String":"▁"},"content":" "}`)}
	d.Model.Type = tokenizer.Unigram
	for i, p := range append([]string{"<unk>"}, pieces...) {
		d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: int32(i), Text: p, Score: -float64(i)})
	}
	t, err := tokenizer.New(d)
	if err != nil {
		panic(err)
	}
	return t
}

func ExampleConvert() {
	old := table("▁при", "вет", "▁", "мир")
	next := table("▁привет", "мир", "▁мир")
	conv := vocab.Convert(old, next)
	for _, piece := range []string{"▁привет", "мир", "▁мир"} {
		id, _ := next.ID(piece)
		var parts []string
		for _, o := range conv.IDs(int(id)) {
			parts = append(parts, old.Token(o))
		}
		fmt.Println(piece, conv.How(int(id)), parts)
	}
	// Output:
	// ▁привет composed [▁при вет]
	// мир copied [мир]
	// ▁мир composed [▁ мир]
}
