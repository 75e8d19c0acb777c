package scenario

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"lep/tokenizer"
)

// learnPlainly counts all pairs anew before every merge.
func learnPlainly(entries []entry) []learnedMerge {
	words := make([][]string, len(entries))
	for i, e := range entries {
		words[i] = slices.Clone(e.parts)
	}
	var out []learnedMerge
	for {
		counts := map[learnedMerge]int64{}
		for i, w := range words {
			for k := 1; k < len(w); k++ {
				counts[learnedMerge{w[k-1], w[k]}] += entries[i].frequency
			}
		}
		if len(counts) == 0 {
			return out
		}
		var best learnedMerge
		for m := range counts {
			if best == (learnedMerge{}) || comparePlainly(counts, m, best) < 0 {
				best = m
			}
		}
		out = append(out, best)
		for i, w := range words {
			var next []string
			for k := 0; k < len(w); k++ {
				if k+1 < len(w) && w[k] == best.left && w[k+1] == best.right {
					next = append(next, best.left+best.right)
					k++
					continue
				}
				next = append(next, w[k])
			}
			words[i] = next
		}
	}
}

func comparePlainly(counts map[learnedMerge]int64, a, b learnedMerge) int {
	x, y := a.left+a.right, b.left+b.right
	return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(utf8.RuneCountInString(decode(x)), utf8.RuneCountInString(decode(y))),
		cmp.Compare(len(x), len(y)), strings.Compare(decode(x), decode(y)), strings.Compare(x, y), cmp.Compare(len(a.left), len(b.left)))
}

func TestLearnAgainstPlain(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		seen := map[string]bool{}
		var entries []entry
		for range 40 {
			text := ""
			for range 2 + rng.IntN(6) {
				text += string([]rune("abвгд")[rng.IntN(5)])
			}
			if seen[text] {
				continue
			}
			seen[text] = true
			e := entry{frequency: 1 + rng.Int64N(4)}
			for rest := text; rest != ""; { // cut anywhere, within characters too
				n := 1 + rng.IntN(min(3, len(rest)))
				e.parts = append(e.parts, rest[:n])
				rest = rest[n:]
			}
			entries = append(entries, e)
		}
		if got, want := learn(entries), learnPlainly(entries); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d merges, want %d; %v, want %v", seed, len(got), len(want), got, want)
		}
	}
}

func TestLearnedMergesAreAPrefix(t *testing.T) {
	// Fitting relies on it that fewer words need no more products.
	words := sentences(4, cyrillic, 50)
	var entries []entry
	seen := map[string]bool{}
	for _, w := range strings.Fields(strings.Join(words, " ")) {
		if seen[w] {
			continue
		}
		seen[w] = true
		e := entry{frequency: int64(len(entries)%5 + 1)}
		for _, r := range w {
			e.parts = append(e.parts, string(r))
		}
		entries = append(entries, e)
	}
	for _, room := range []int{0, 1, 5, 20, 10_000} {
		n := fitting(entries, room, func(string) bool { return false })
		products := map[string]bool{}
		for _, m := range learn(entries[:n]) {
			products[m.left+m.right] = true
		}
		if len(products) > room {
			t.Errorf("room for %d: %d words need %d products", room, n, len(products))
		}
	}
}

// FuzzExtendWords: any words may be asked for; what comes out encodes and decodes.
func FuzzExtendWords(f *testing.F) {
	base := trainBytes(f, sentences(2, latin, 60), 300)
	pieces := trainPieces(f, tokenizer.BPE, sentences(2, latin, 60), 300)
	f.Add("мир", " мама", "abc", int64(3))
	f.Add("", " ", "\xff\xd0", int64(-1))
	f.Add("a\u0301б", "😀", "\n\n", int64(1)<<62)
	f.Fuzz(func(t *testing.T, a, b, c string, n int64) {
		if len(a)+len(b)+len(c) > 200 {
			t.Skip("longer than any word")
		}
		for _, d := range []*tokenizer.Definition{base, pieces} {
			r, err := ExtendWords(d, []Word{{a, n}, {b, 1}, {c, n / 2}}, DefaultExtendOptions())
			if err != nil {
				t.Fatal(err)
			}
			tok := mustCompile(t, r.Definition)
			for _, text := range []string{a, b, c, a + b + c} {
				if utf8.ValidString(text) && tok.Decode(tok.Encode(text)) != text {
					t.Fatalf("%q decodes as %q", text, tok.Decode(tok.Encode(text)))
				}
			}
		}
	})
}

func ExampleExtendWords() {
	base, err := tokenizer.ReadTiktoken(byteRanks(), tokenizer.PatternLlama3, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := ExtendWords(base, []Word{{" мир", 5}, {" мира", 2}}, DefaultExtendOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	tok, err := tokenizer.New(r.Definition)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.New, "new,", len(tok.Encode(" мир мира")), "tokens, before 16")
	// Output: 8 new, 2 tokens, before 16
}

// byteRanks is a rank file of the 256 bytes alone.
func byteRanks() []byte {
	var b strings.Builder
	for i := range 256 {
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte{byte(i)}), i)
	}
	return []byte(b.String())
}
