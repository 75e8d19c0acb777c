package vocab

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lep/internal/golden"
	"lep/tokenizer"
)

// byteAlphabet spells bytes as byte-level tables do.
func byteAlphabet(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 33 && c <= 126, c >= 161 && c <= 172, c >= 174:
			b.WriteRune(rune(c))
		case c <= 32:
			b.WriteRune(rune(256 + int(c)))
		case c <= 160: // 127 to 160
			b.WriteRune(rune(256 + 33 + int(c) - 127))
		default: // 173
			b.WriteRune(rune(256 + 67))
		}
	}
	return b.String()
}

// byteLevel makes a byte-level BPE of all bytes and words, each word built by merging
// its bytes from the left.
func byteLevel(t testing.TB, words []string, special ...string) *tokenizer.Tokenizer {
	t.Helper()
	d := &tokenizer.Definition{PreTokenizer: []byte(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`),
		Decoder: []byte(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`)}
	m := &d.Model
	m.Type, m.UnkID = tokenizer.BPE, -1
	ids := map[string]int32{}
	piece := func(s string) int32 {
		if id, ok := ids[s]; ok {
			return id
		}
		id := int32(len(m.Pieces))
		ids[s] = id
		m.Pieces = append(m.Pieces, tokenizer.Piece{ID: id, Text: byteAlphabet(s)})
		return id
	}
	for b := range 256 {
		piece(string([]byte{byte(b)}))
	}
	for _, w := range words {
		for n := 2; n <= len(w); n++ {
			if _, ok := ids[w[:n]]; !ok {
				left, right := piece(w[:n-1]), piece(w[n-1:n])
				m.Merges = append(m.Merges, tokenizer.Merge{Left: left, Right: right, Product: piece(w[:n])})
			}
		}
	}
	for i, s := range special {
		d.AddedTokens = append(d.AddedTokens, tokenizer.AddedToken{ID: int32(len(m.Pieces) + i), Content: s, Special: true})
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// unigram makes a SentencePiece-style Unigram with <unk>, byte pieces and pieces.
func unigram(t testing.TB, pieces []string, special ...string) *tokenizer.Tokenizer {
	t.Helper()
	d := &tokenizer.Definition{
		Normalizer: []byte(`{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`),
		Decoder:    []byte(`{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}`)}
	m := &d.Model
	m.Type, m.ByteFallback = tokenizer.Unigram, true
	add := func(s string, k tokenizer.Kind, score float64) {
		m.Pieces = append(m.Pieces, tokenizer.Piece{ID: int32(len(m.Pieces)), Text: s, Kind: k, Score: score})
	}
	add("<unk>", tokenizer.Unknown, 0)
	const hex = "0123456789ABCDEF"
	for b := range 256 {
		add("<0x"+string(hex[b>>4])+string(hex[b&15])+">", tokenizer.Byte, 0)
	}
	for i, s := range pieces {
		add(s, tokenizer.Text, -float64(i)-1)
	}
	for i, s := range special {
		d.AddedTokens = append(d.AddedTokens, tokenizer.AddedToken{ID: int32(len(m.Pieces) + i), Content: s, Special: true})
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestAlphabetsShareTokens: the failing of tools that compare strings is that no
// Cyrillic token is shared between two spellings.
func TestAlphabetsShareTokens(t *testing.T) {
	bl := byteLevel(t, []string{" мир", "мир", "abc"}, "<s>", "<a>")
	sp := unigram(t, []string{"▁мир", "мир", "xyz", "abc", "▁"}, "<s>", "<b>")
	var shared []string
	for _, p := range Shared(bl, sp) {
		a, _ := bl.Bytes(p.Old)
		b, _ := sp.Bytes(p.New)
		if !bytes.Equal(a, b) {
			t.Errorf("%q is paired with %q", a, b)
		}
		shared = append(shared, string(b))
	}
	slices.Sort(shared)
	if want := []string{" ", " мир", "<s>", "abc", "мир"}; !slices.Equal(shared, want) {
		t.Errorf("shared %q, want %q", shared, want)
	}
	c := Convert(sp, bl)
	for _, tt := range []struct {
		token string
		want  []string
		how   How
		why   string
	}{
		{byteAlphabet(" мир"), []string{"▁мир"}, Copied, "same bytes in another alphabet"},
		{byteAlphabet(" м"), []string{"▁", "<0xD0>", "<0xBC>"}, Composed, "the old model over the text, bytes that it does not know one by one"},
		{byteAlphabet("\xd0"), []string{"<0xD0>"}, Copied, "half a character goes through the byte pieces"},
		{"<s>", []string{"<s>"}, ByName, "special tokens by name"},
		{"<a>", nil, LeftOut, "a special token that the old table lacks"},
	} {
		id, ok := bl.ID(tt.token)
		if !ok {
			t.Fatalf("no token %q", tt.token)
		}
		var got []string
		for _, o := range c.IDs(int(id)) {
			got = append(got, sp.Token(o))
		}
		if !slices.Equal(got, tt.want) || c.How(int(id)) != tt.how {
			t.Errorf("%q: %q %v, want %q %v: %s", tt.token, got, c.How(int(id)), tt.want, tt.how, tt.why)
		}
	}
}

// TestConvertKeepsBytes: old subtokens together stand for the bytes of the new token, and
// a vocabulary converted to itself is the identity.
func TestConvertKeepsBytes(t *testing.T) {
	word := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab мирёж本")), 1, 6, -1), 1, 12)
	rapid.Check(t, func(r *rapid.T) {
		old, next := byteLevel(t, word.Draw(r, "old"), "<s>"), byteLevel(t, word.Draw(r, "new"), "<s>", "<new>")
		c := Convert(old, next)
		for id := range c.Len() {
			want, _ := next.Bytes(int32(id))
			var got []byte
			for _, o := range c.IDs(id) {
				b, _ := old.Bytes(o)
				got = append(got, b...)
			}
			if c.How(id) != LeftOut && !bytes.Equal(got, want) {
				r.Fatalf("token %d %q is made of %q", id, want, got)
			}
		}
		self := Convert(next, next)
		for id := range self.Len() {
			if ids := self.IDs(id); len(ids) != 1 || ids[0] != int32(id) {
				r.Fatalf("token %d of itself is %v", id, ids)
			}
		}
		if n := len(Shared(next, next)); n != next.Size() {
			r.Fatalf("%d of %d tokens are shared with themselves", n, next.Size())
		}
	})
}

func TestClasses(t *testing.T) {
	tok := unigram(t, []string{"▁мир", "мир", "▁the", "ing", "123", "▁7", "!?", "▁", "\n\n", "本", "▁שלום", "▁слово"}, "<s>")
	got := ClassesOf(tok)
	for text, want := range map[string]Class{"▁мир": Word, "мир": Subword, "▁the": Word, "ing": Subword, "123": Digits, "▁7": Digits, "!?": Punctuation,
		"▁": Space, "\n\n": Space, "本": Foreign, "▁שלום": Foreign, "<0xD0>": Bytes, "<s>": SpecialToken, "<unk>": SpecialToken} {
		id, ok := tok.ID(text)
		if !ok {
			t.Fatalf("no token %q", text)
		}
		if got[id] != want {
			t.Errorf("%q is %v, want %v", text, got[id], want)
		}
	}
	if len(Classes()) != int(numClasses) {
		t.Errorf("%d classes", len(Classes()))
	}
}

// TestUnknownAlone: a list of unknown tokens says nothing about a token.
func TestUnknownAlone(t *testing.T) {
	d := unigram(t, []string{"▁a", "a"}).Definition().Clone()
	d.Model.ByteFallback = false
	d.Model.Pieces = slices.DeleteFunc(d.Model.Pieces, func(p tokenizer.Piece) bool { return p.Kind == tokenizer.Byte })
	for i := range d.Model.Pieces {
		d.Model.Pieces[i].ID = int32(i)
	}
	old, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	next := unigram(t, []string{"본", "a본"})
	c := Convert(old, next)
	if id, _ := next.ID("본"); c.How(int(id)) != LeftOut {
		t.Errorf("an unknown character is %v, want left out", c.IDs(int(id)))
	}
	if id, _ := next.ID("a본"); c.How(int(id)) != Composed {
		t.Errorf("a known and an unknown character are %v", c.IDs(int(id)))
	}
}

// TestAnchorThatSwallows: the authors' rule loses a token that old merges join with
// the anchor; theirs stops with a shape error, ours names the token.
func TestAnchorThatSwallows(t *testing.T) {
	old := byteLevel(t, []string{"家庭"})
	next := unigram(t, []string{"庭"})
	_, err := ConvertReference(old, next, ReferenceOptions{Special: []string{"<unk>"}})
	if err == nil || !strings.Contains(err.Error(), `"庭"`) {
		t.Errorf("error %v, want one that names 庭", err)
	}
}

// BenchmarkConvert converts Mistral's vocabulary, for tokens a second.
func BenchmarkConvert(b *testing.B) {
	open := func(name string) *tokenizer.Tokenizer {
		d, err := tokenizer.ReadSentencePiece(golden.Read(b, golden.Shared(b, "reference", "lep", "inputs", name)))
		if err != nil {
			b.Fatal(err)
		}
		d.SentencePiece = nil
		t, err := tokenizer.New(d)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	old, next := open("mistral_7b_v0.1.spm.model.gz"), open("darulm_32000_bpe.spm.model.gz")
	b.ReportAllocs()
	for b.Loop() {
		Convert(old, next)
	}
	b.ReportMetric(float64(next.Size())*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
