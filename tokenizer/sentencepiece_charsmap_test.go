package tokenizer

import (
	"maps"
	"testing"

	"lep/tokenizer/charsmap"
)

func charsmapRules(t testing.TB, blob []byte) map[string]string {
	t.Helper()
	m, err := charsmap.Read(blob)
	if err != nil {
		t.Fatal(err)
	}
	return maps.Collect(m.All())
}

// The charsmaps that we build hold the very rules that SentencePiece compiled into its models.
func TestCharsmapRulesAreSentencePieces(t *testing.T) {
	for _, tt := range []struct{ rule, model string }{
		{"nmt_nfkc", "tiny-sp-bpe"}, {"nmt_nfkc_cf", "tiny-sp-bpe-cf"}, {"nfkc", "tiny-sp-unigram-nodummy"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if testing.Short() {
				t.Skip("builds 225,000 rules")
			}
			d := readSPModel(t, tt.model)
			if d.SentencePiece.NormalizerName != tt.rule {
				t.Fatalf("model is %s", d.SentencePiece.NormalizerName)
			}
			blob, err := SentencePieceCharsmap(tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			want, got := charsmapRules(t, d.SentencePiece.Charsmap), charsmapRules(t, blob)
			if len(want) < 200_000 || len(got) != len(want) {
				t.Errorf("%d rules, want %d", len(got), len(want))
			}
			for key, to := range want {
				if g, ok := got[key]; !ok || g != to {
					t.Fatalf("%+q: %+q (%v), want %+q", key, g, ok, to)
				}
			}
			if len(blob) != len(d.SentencePiece.Charsmap) {
				t.Errorf("%d bytes, SentencePiece's has %d", len(blob), len(d.SentencePiece.Charsmap))
			}
		})
	}
}

func FuzzCharsmapNormalizers(f *testing.F) {
	blob, err := charsmap.Compile(map[string]string{"a": "b", "ab": "c", "\u0438\u0306": "й", "\r\n": " "})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob, "abc и\u0306\r\n")
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0}, "x")
	f.Fuzz(func(t *testing.T, blob []byte, text string) {
		m, err := charsmap.Read(blob)
		if err != nil {
			return
		}
		n := newNormalized(text, 0, true)
		precompiledNormalizer{m}.normalize(n)
		if len(n.align) != len(n.text) {
			t.Fatalf("%d sources for %d bytes", len(n.align), len(n.text))
		}
		z := &spNormalizer{m: m, dummy: true, squeeze: true, space: spaceSymbol}
		var where []int32
		out := z.append(nil, text, &where)
		if len(out) > 0 && len(where) != len(out)+1 {
			t.Fatalf("%d places for %d bytes", len(where), len(out))
		}
		if plain := z.append(nil, text, nil); string(plain) != string(out) {
			t.Fatalf("%q with places, %q without", out, plain)
		}
	})
}
