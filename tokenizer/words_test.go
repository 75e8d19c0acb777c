package tokenizer

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"

	"lep/internal/golden"
	"lep/tokenizer/regex"
)

// letters is a byte-level definition with a few Russian and English merges.
func letters(t testing.TB, pre string) *Definition {
	t.Helper()
	d := &Definition{PreTokenizer: json.RawMessage(pre), Decoder: json.RawMessage(`{"type":"ByteLevel"}`)}
	m := &d.Model
	m.Type, m.UnkID = BPE, -1
	ids := map[string]int32{}
	add := func(text string) int32 {
		if id, ok := ids[text]; ok {
			return id
		}
		ids[text] = int32(len(m.Pieces))
		m.Pieces = append(m.Pieces, Piece{ID: ids[text], Text: text})
		return ids[text]
	}
	for b := range 256 {
		add(string(byteLetter(byte(b))))
	}
	for _, word := range []string{" мир", "мир", " the", "the", "    ", "\n\n", "ing", " при", "вет", "123"} {
		text := string(appendLetters(nil, word))
		left := ""
		for _, r := range text {
			if left == "" {
				left = string(r)
				continue
			}
			merge := Merge{Left: ids[left], Right: ids[string(r)]}
			left += string(r)
			merge.Product = add(left)
			if !slices.Contains(m.Merges, merge) {
				m.Merges = append(m.Merges, merge)
			}
		}
	}
	return d
}

// marked is a definition in the layout of old Llama tokenizers.
func marked(t testing.TB, byteFallback bool) *Definition {
	t.Helper()
	d := &Definition{
		Normalizer: json.RawMessage(`{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`),
		Decoder:    json.RawMessage(`{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}`),
	}
	m := &d.Model
	m.Type, m.UnkID, m.FuseUnk, m.ByteFallback = BPE, 0, true, byteFallback
	for _, text := range []string{"<unk>", "▁", "a", "b", "м", "и", "р", "▁▁", "▁▁▁▁", "▁a", "ab", "ми", "▁ми", "мир", "\n", "\na"} {
		m.Pieces = append(m.Pieces, Piece{ID: int32(len(m.Pieces)), Text: text})
	}
	m.Pieces[0].Kind = Unknown
	if byteFallback {
		for b := range 256 {
			m.Pieces = append(m.Pieces, Piece{ID: int32(len(m.Pieces)), Text: bytePiece(byte(b)), Kind: Byte})
		}
	}
	m.Merges = []Merge{{1, 1, 7}, {1, 2, 9}, {2, 3, 10}, {4, 5, 11}, {1, 11, 12}, {11, 6, 13}, {7, 7, 8}, {14, 2, 15}}
	return d
}

// scoredMarks is a Unigram definition with Metaspace.
func scoredMarks(t testing.TB) *Definition {
	t.Helper()
	d := marked(t, false)
	d.Normalizer = nil
	d.PreTokenizer = json.RawMessage(`{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}`)
	d.Model.Type, d.Model.Merges = Unigram, nil
	for i := range d.Model.Pieces {
		d.Model.Pieces[i].Score = -1 - float64(i%5)/3
	}
	d.AddedTokens = []AddedToken{{ID: 40, Content: "<sep>", LStrip: true}, {ID: 41, Content: "ab\n", Normalized: true, SingleWord: true}}
	return d
}

const byteLevelGPT2 = `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`

func splitBy(t testing.TB, pattern string) string {
	t.Helper()
	b, err := json.Marshal(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":` + string(b) + `},"behavior":"Isolated"},` +
		`{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
}

// variants are tokenizers that have a short way, each of another kind.
func variants(t testing.TB) map[string]*Tokenizer {
	t.Helper()
	toks := map[string]*Tokenizer{}
	for name, d := range map[string]*Definition{
		"gpt2": letters(t, byteLevelGPT2), "llama3": letters(t, splitBy(t, PatternLlama3)), "o200k": letters(t, splitBy(t, PatternO200k)),
		"unk": marked(t, false), "bytes": marked(t, true), "unigram": scoredMarks(t),
	} {
		tok, err := New(d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if tok.words == nil {
			t.Fatalf("%s: no short way", name)
		}
		toks[name] = tok
	}
	return toks
}

var hardTexts = []string{
	"", " ", "  ", "a", " a", "a ", "▁", "▁a", " ▁ a", "   мир  ми\n\n  a", "\na\n a", "мир\xffмир \xd0", "don't DON'T 'ſ l'Ll",
	"abc12345 678", "\t\r\n x \u00a0 y\u3000", "A\u0301bc ДОМДом домДОМ ǅa ʰa 中文Ab", "q▁▁▁▁▁q", "<sep> ab\n <sep>", "\u0301\u0302abc 'sd",
	strings.Repeat("мир", 40), strings.Repeat(" ", 70) + "a", strings.Repeat("q", 60),
}

// TestShortWays: words cut on the fly and taken from the cache give what the stages
// of the definition give one after the other.
func TestShortWays(t *testing.T) {
	for name, tok := range variants(t) {
		for range 2 { // the second time from the cache
			for _, text := range hardTexts {
				checkShortWay(t, name, tok, text)
			}
		}
	}
}

func checkShortWay(t *testing.T, name string, tok *Tokenizer, text string) {
	t.Helper()
	long := tok.EncodeOptions(text, EncodeOptions{Offsets: true})
	if short := tok.Encode(text); !slices.Equal(short, long.IDs) {
		t.Errorf("%s: Encode(%q) = %v, stage by stage %v", name, text, short, long.IDs)
	}
	last := 0
	for i, o := range long.Offsets {
		if o[0] > o[1] || o[0] < last && o[1] > o[0] && name != "bytes" && !tok.byteLevel {
			t.Errorf("%s: %q: offsets %v of token %d", name, text, o, i)
		}
		last = o[0]
	}
	if tok.byteLevel && tok.normalizer == nil {
		if got := string(tok.DecodeBytes(long.IDs)); got != text {
			t.Errorf("%s: %q comes back as %q", name, text, got)
		}
	}
}

func FuzzShortWays(f *testing.F) {
	for _, text := range hardTexts {
		f.Add(text)
	}
	toks := variants(f)
	f.Fuzz(func(t *testing.T, text string) {
		for name, tok := range toks {
			checkShortWay(t, name, tok, text)
		}
	})
}

// TestHeapAndScan: the two merge loops agree, and the trie search agrees with a map.
func TestHeapAndScan(t *testing.T) {
	tok, err := New(letters(t, byteLevelGPT2))
	if err != nil {
		t.Fatal(err)
	}
	b := tok.model.(*bpe)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		word := ""
		for range 1 + rnd.IntN(smallWord) {
			word += string(" мирthe\n123"[rnd.IntN(14)])
		}
		word = word[:min(len(word), smallWord)]
		var small, large mergeState
		b.beginLetters(&small, word)
		b.mergeSmall(&small)
		b.beginLetters(&large, word)
		b.mergeLarge(&large)
		if !slices.Equal(small.out, large.out) {
			t.Fatalf("%q: small %v, large %v", word, small.out, large.out)
		}
	}
}

// TestScanners holds every hand-written pattern against the package's own engine and
// against regexp2, which is independent of both, where its tables are the same.
func TestScanners(t *testing.T) {
	texts := slices.Clone(hardTexts)
	rnd := rand.New(rand.NewPCG(3, 4))
	alphabet := []rune("aBcДдЯ ſǅʰ中\u0301\u0308 \t\n\r'sStTrReEvVlLdDmM12٣½-/!.…▁\u00a0\u3000\u200d😀")
	for range 4000 {
		var b strings.Builder
		for range rnd.IntN(24) {
			b.WriteRune(alphabet[rnd.IntN(len(alphabet))])
		}
		texts = append(texts, b.String())
	}
	for expr, scan := range scanners {
		own, err := regex.Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		other := regexp2.MustCompile(expr)
		for _, text := range texts {
			got, want := matches(scan, text), matches(own, text)
			if !slices.Equal(got, want) {
				t.Fatalf("%q by %.60s…\n scanner %v\n pattern %v", text, expr, got, want)
			}
			if !utf8.ValidString(text) || strings.Contains(text, "ſ") {
				continue // regexp2 wants UTF-8, and its case folding is simpler
			}
			spans, err := other.FindAllStringIndex(text, -1)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range spans {
				if len(spans) != len(got) || s[0] != got[i].start || s[1] != got[i].end {
					t.Fatalf("%q by %.60s…\n scanner %v\n regexp2 %v", text, expr, got, spans)
				}
			}
		}
	}
}

// TestWorstCases: inputs on which a quadratic encoder would not end. The time of
// eight times the length stays under sixteen times the time (n log n and noise).
func TestWorstCases(t *testing.T) {
	for name, tok := range variants(t) {
		for _, unit := range []string{"a", " ", "мир", "\n", "\xff", "<", "'"} {
			text := strings.Repeat(unit, 1<<20/len(unit))
			ids := tok.Encode(text)
			if tok.byteLevel && string(tok.DecodeBytes(ids)) != text {
				t.Errorf("%s: 1 MB of %q does not come back", name, unit)
			}
		}
	}
}

// TestBoundaryOfCuts: a vocabulary with a piece over a word border must not be cut there.
func TestBoundaryOfCuts(t *testing.T) {
	d := marked(t, false)
	d.Model.Pieces = append(d.Model.Pieces, Piece{ID: 16, Text: "a▁"})
	d.Model.Merges = append(d.Model.Merges, Merge{2, 1, 16})
	tok, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	if tok.words != nil {
		t.Error("words are cut in front of ▁, though a▁ is a piece")
	}
	checkShortWay(t, "over a border", tok, "ba b a")
}

// TestReferenceTokenizers opens every tokenizer of the reference data.
func TestReferenceTokenizers(t *testing.T) {
	for _, dir := range []string{"models/checkpoints/stories260K", "models/chat/mistral-inst", "models/chat/llama3", "models/chat/chatml", "pocket/tokenizer-bpe",
		"pocket/pocket-instruct", "pocket/tokenizer-optimization", "pocket/pocket-base", "pocket/tokenizer-extension", "pocket/tokenizer-unigram", "pocket/tokenizer-base"} {
		tok, err := Open(golden.Shared(t, append([]string{"reference"}, strings.Split(dir, "/")...)...))
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		for _, text := range hardTexts {
			checkShortWay(t, dir, tok, text)
		}
	}
}

// TestEncodeAll: threads share a tokenizer and the result does not depend on them.
func TestEncodeAll(t *testing.T) {
	for name, tok := range variants(t) {
		var texts []string
		for range 20 {
			texts = append(texts, hardTexts...)
		}
		got := tok.EncodeAll(t.Context(), texts, 8)
		for i, text := range texts {
			if want := tok.Encode(text); !slices.Equal(got[i], want) {
				t.Fatalf("%s: text %d %q: %v, want %v", name, i, text, got[i], want)
			}
		}
	}
	tok := variants(t)["gpt2"]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := tok.EncodeAll(ctx, []string{"a"}, 2); got[0] != nil {
		t.Errorf("a cancelled context: got %v", got)
	}
}

// TestNoAllocation: a text whose words are known costs no memory but that of its ids.
func TestNoAllocation(t *testing.T) {
	for name, tok := range variants(t) {
		if name == "unigram" {
			continue // has a token that is searched in the normalized text
		}
		text := strings.Repeat("мир ab the  при ", 20)
		ids := tok.AppendEncode(nil, text)
		if n := testing.AllocsPerRun(100, func() { ids = tok.AppendEncode(ids[:0], text) }); n > 1 {
			t.Errorf("%s: %g allocations a text", name, n)
		}
	}
}
