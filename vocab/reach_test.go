package vocab

import (
	"slices"
	"strings"
	"testing"

	"lep/tokenizer"
)

// bytePieces is a table of the 256 bytes and some pieces, with merges given as "a b".
func bytePieces(t *testing.T, pieces []string, merges ...string) *tokenizer.Tokenizer {
	t.Helper()
	d := &tokenizer.Definition{Model: tokenizer.Model{Type: tokenizer.BPE, UnkID: -1}}
	d.PreTokenizer = []byte(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`)
	d.Decoder = d.PreTokenizer
	ids := map[string]int32{}
	add := func(s string) {
		ids[s] = int32(len(d.Model.Pieces))
		d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: ids[s], Text: s})
	}
	for r := rune(0x21); len(d.Model.Pieces) < 256; r++ {
		if r <= '~' || r >= 0xA1 && r != 0xAD {
			add(string(r))
		}
	}
	for _, p := range pieces {
		add(p)
	}
	for _, m := range merges {
		left, right, _ := strings.Cut(m, " ")
		d.Model.Merges = append(d.Model.Merges, tokenizer.Merge{Left: ids[left], Right: ids[right], Product: ids[left+right]})
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestReach(t *testing.T) {
	tok := bytePieces(t, []string{"ab", "abc", "bc", "Ġab", "aĠb", "Ð°Ñ", "xyz"}, "a b", "b c", "ab c", "Ġ ab", "a Ġ", "Ð °", "Ð° Ñ")
	var dead []string
	for id := range int32(tok.Size()) {
		ok, reason := Reach(tok, id)
		if ok != (reason == "") {
			t.Errorf("%q: reached %v, reason %q", tok.Token(id), ok, reason)
		}
		if !ok {
			dead = append(dead, tok.Token(id))
		}
	}
	if want := []string{"aĠb", "xyz"}; !slices.Equal(dead, want) {
		t.Errorf("unreachable %q, want %q", dead, want)
	}
}

func TestReachSentencePiece(t *testing.T) {
	d := &tokenizer.Definition{SentencePiece: tokenizer.DefaultSentencePiece()}
	d.Model = tokenizer.Model{Type: tokenizer.Unigram, UnkID: 0}
	for i, p := range []tokenizer.Piece{
		{Text: "<unk>", Kind: tokenizer.Unknown}, {Text: "<s>", Kind: tokenizer.Control}, {Text: "</s>", Kind: tokenizer.Control},
		{Text: "▁мир", Score: -3}, {Text: "мир", Score: -4}, {Text: "м", Score: -1}, {Text: "и", Score: -1}, {Text: "р", Score: -1},
		{Text: "ми", Score: -3}, {Text: "▁", Score: -2},
	} {
		p.ID = int32(i)
		d.Model.Pieces = append(d.Model.Pieces, p)
	}
	raw, err := d.SentencePieceModel()
	if err != nil {
		t.Fatal(err)
	}
	if d, err = tokenizer.ReadSentencePiece(raw); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	for piece, want := range map[string]bool{"▁мир": true, "мир": false, "ми": false, "м": true, "▁": true, "<s>": true} {
		id, _ := tok.ID(piece)
		if ok, reason := Reach(tok, id); ok != want {
			t.Errorf("%q reached: %v (%s), want %v", piece, ok, reason, want)
		}
	}
}
