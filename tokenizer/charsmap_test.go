package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func charsmapRules(t testing.TB, blob []byte) map[string]string {
	t.Helper()
	m, err := readCharsmap(blob)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{}
	m.trie.each(func(key string, at uint32) { rules[key] = m.text(at) })
	return rules
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

func TestSentencePieceCharsmapNames(t *testing.T) {
	if blob, err := SentencePieceCharsmap("identity"); blob != nil || err != nil {
		t.Errorf("identity: %d bytes, %v", len(blob), err)
	}
	if _, err := SentencePieceCharsmap("nfd"); err == nil || !strings.Contains(err.Error(), `unknown normalization rule "nfd"`) {
		t.Errorf("error %v", err)
	}
}

// compileRules makes a charsmap of rules in "from to" pairs.
func compileRules(t testing.TB, pairs ...string) []byte {
	t.Helper()
	rules := charRules{}
	for i := 0; i < len(pairs); i += 2 {
		rules[pairs[i]] = pairs[i+1]
	}
	blob, err := rules.compile()
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestCharsmapLongestAndShortest(t *testing.T) {
	m, err := readCharsmap(compileRules(t, "a", "1", "ab", "X", "abcd", "Y", "я", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in, long  string
		size      int
		shortText string
		shortOK   bool
	}{
		{"abcx", "X", 2, "1", true},
		{"abcd", "Y", 4, "1", true},
		{"a", "1", 1, "1", true},
		{"яя", "", 2, "", true},
		{"b", "", 0, "", false},
		{"", "", 0, "", false},
		{"\x00", "", 0, "", false},
		{"\xff", "", 0, "", false},
	} {
		if to, size := m.longest(tt.in); to != tt.long || size != tt.size {
			t.Errorf("longest(%q) = %q, %d, want %q, %d", tt.in, to, size, tt.long, tt.size)
		}
		if to, ok := m.shortest(tt.in); to != tt.shortText || ok != tt.shortOK {
			t.Errorf("shortest(%q) = %q, %v, want %q, %v", tt.in, to, ok, tt.shortText, tt.shortOK)
		}
	}
}

func TestReadCharsmapRefuses(t *testing.T) {
	good := compileRules(t, "a", "b", "я", "ю")
	edit := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[4+4*at:], v)
		return b
	}
	for _, tt := range []struct {
		name string
		blob []byte
		want string
	}{
		{"empty", nil, "0 bytes"},
		{"short", good[:3], "3 bytes"},
		{"cut in the trie", good[:100], "trie of"},
		{"no end", good[:len(good)-1], "the last replacement has no end"},
		{"no texts", good[:4+binary.LittleEndian.Uint32(good)], "value"},
		{"root beyond the end", edit(0, 0x1FFFFF<<10), "leads to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := readCharsmap(tt.blob); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// A trie finds what a map finds, whether subtrees are shared or not.
func TestDartsTrieFindsItsKeys(t *testing.T) {
	for _, share := range []bool{false, true} {
		t.Run(fmt.Sprint("share=", share), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			keys := map[string]uint32{}
			for len(keys) < 20_000 {
				b := make([]byte, 1+r.IntN(8))
				for i := range b {
					b[i] = byte(1 + r.IntN(255)*r.IntN(2)/(1+r.IntN(9)))
				}
				keys[string(b)] = uint32(r.IntN(500))
			}
			var entries []trieEntry
			for k, v := range keys {
				entries = append(entries, trieEntry{k, v})
			}
			trie, err := buildDartsTrie(entries, share)
			if err != nil {
				t.Fatal(err)
			}
			if err := trie.check(500, 8); err != nil {
				t.Fatal(err)
			}
			n := 0
			trie.each(func(key string, value uint32) {
				n++
				if want, ok := keys[key]; !ok || want != value {
					t.Fatalf("key %q has value %d, want %d (%v)", key, value, want, ok)
				}
			})
			if n != len(keys) {
				t.Errorf("%d keys, want %d", n, len(keys))
			}
			for k := range keys {
				s := k + "\x05\x00more"
				best := 0
				for i := 1; i <= len(s); i++ {
					if _, ok := keys[s[:i]]; ok {
						best = i
					}
				}
				if value, size := trie.longest(s); size != best || value != keys[s[:best]] {
					t.Fatalf("longest(%q) = %d, %d, want %d, %d", s, value, size, keys[s[:best]], best)
				}
			}
		})
	}
	if _, err := buildDartsTrie([]trieEntry{{"a", 1}, {"a", 2}}, false); err == nil {
		t.Error("a key that stands twice: no error")
	}
	if _, err := buildDartsTrie([]trieEntry{{"a\x00", 1}}, false); err == nil {
		t.Error("a key with NUL: no error")
	}
}

func FuzzReadCharsmap(f *testing.F) {
	f.Add(compileRules(f, "a", "b", "ab", "c", "\u0438\u0306", "й", "\r\n", " "), "abc и\u0306\r\n")
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0}, "x")
	f.Fuzz(func(t *testing.T, blob []byte, text string) {
		m, err := readCharsmap(blob)
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
