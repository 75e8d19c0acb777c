package scenario

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lep/internal/hint"
	"lep/tokenizer"
	"lep/tokenizer/trainer"
	"lep/vocab"
)

func stream(list []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// sentences makes texts of random words with the frequencies of a language: few words often.
func sentences(seed uint64, letters string, n int) []string {
	rng := rand.New(rand.NewPCG(seed, 1))
	alphabet := []rune(letters)
	var words []string
	for range 60 {
		var w []rune
		for range 2 + rng.IntN(7) {
			w = append(w, alphabet[rng.IntN(len(alphabet))])
		}
		words = append(words, string(w))
	}
	var out []string
	for range n {
		var s []string
		for range 3 + rng.IntN(8) {
			s = append(s, words[rng.IntN(1+rng.IntN(len(words)))])
		}
		out = append(out, strings.Join(s, " ")+".")
	}
	return out
}

const (
	latin    = "abcdeilnorst"
	cyrillic = "абвеилнорсту"
)

func trainBytes(t testing.TB, texts []string, size int, special ...string) *tokenizer.Definition {
	t.Helper()
	opts := trainer.DefaultBPEOptions()
	opts.Size, opts.Special, opts.AllowSmaller = size, special, true
	r, err := trainer.TrainBPE(context.Background(), stream(texts), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r.Definition
}

func trainPieces(t testing.TB, model tokenizer.ModelType, texts []string, size int) *tokenizer.Definition {
	t.Helper()
	opts := trainer.DefaultSentencePieceOptions(model)
	opts.VocabSize, opts.AllowSmaller, opts.ByteFallback = size, true, true
	opts.NormalizationRuleName, opts.RemoveExtraWhitespaces = "identity", false
	r, err := trainer.TrainSentencePiece(context.Background(), stream(texts), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r.Definition
}

func mustCompile(t testing.TB, d *tokenizer.Definition) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func ranked(t testing.TB, d *tokenizer.Definition) *tokenizer.Definition {
	t.Helper()
	r, err := Ranked(d)
	if err != nil {
		t.Fatal(err)
	}
	return New(r, []string{"<|end|>"}).Definition
}

// mixtures are texts in both languages with what else a text may hold.
func mixtures(seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 2))
	parts := slices.Concat(sentences(seed, latin, 40), sentences(seed, cyrillic, 40),
		[]string{"😀 👩‍👩‍👧", "  two  spaces ", "1234 и 5", "e\u0301\u200b", "if (a) { b[1]; }\n\tx", "漢字", "ё", ""})
	var out []string
	for range 150 {
		a, b := parts[rng.IntN(len(parts))], parts[rng.IntN(len(parts))]
		out = append(out, a, a+" "+b, a+b)
	}
	return out
}

func TestExtendProperties(t *testing.T) {
	for seed := range uint64(4) {
		en, ru := sentences(seed, latin, 200), sentences(seed, cyrillic, 200)
		add := trainBytes(t, ru, 420)
		for _, tt := range []struct {
			name   string
			base   *tokenizer.Definition
			add    *tokenizer.Definition
			merges MergeRule
			strict bool // text without new tokens is cut as before
			native func(*tokenizer.Definition) ([]byte, error)
		}{
			{"learned", trainBytes(t, en, 400, "<|end|>"), add, LearnedMerges, true, nil},
			{"byte-level", trainBytes(t, en, 400), add, AutoMerges, true, nil},
			{"tiktoken", ranked(t, trainBytes(t, en, 400)), add, AutoMerges, false, (*tokenizer.Definition).Tiktoken},
			{"tiktoken learned", ranked(t, trainBytes(t, en, 400)), add, LearnedMerges, true, nil},
			{"sentencepiece", trainPieces(t, tokenizer.BPE, en, 400), trainPieces(t, tokenizer.BPE, ru, 420), AutoMerges, false, (*tokenizer.Definition).SentencePieceModel},
			{"unigram added", trainPieces(t, tokenizer.BPE, en, 400), trainPieces(t, tokenizer.Unigram, ru, 400), AutoMerges, false, (*tokenizer.Definition).SentencePieceModel},
		} {
			t.Run(fmt.Sprintf("%s %d", tt.name, seed), func(t *testing.T) {
				before, err := tt.base.JSON()
				if err != nil {
					t.Fatal(err)
				}
				r, err := Extend(tt.base, tt.add, ExtendOptions{Merges: tt.merges})
				if err != nil {
					t.Fatal(err)
				}
				if after, _ := tt.base.JSON(); !bytes.Equal(before, after) {
					t.Error("the base was changed")
				}
				checkResult(t, tt.base, r)
				checkReach(t, r)
				checkTexts(t, tt.base, r, mixtures(seed), tt.strict)
				if tt.native != nil {
					if _, err := tt.native(r.Definition); err != nil {
						t.Errorf("the base's own format: %v", err)
					}
				}
			})
		}
	}
}

// checkResult holds counts and old ids against the definitions.
func checkResult(t *testing.T, base *tokenizer.Definition, r *Result) {
	t.Helper()
	tok, old := mustCompile(t, r.Definition), mustCompile(t, base)
	if len(r.OldIDs) != tok.Size() {
		t.Fatalf("%d old ids for %d tokens", len(r.OldIDs), tok.Size())
	}
	if r.Kept+r.New != len(r.Definition.Model.Pieces) || r.Kept+r.Cut != len(base.Model.Pieces) {
		t.Errorf("kept %d, new %d, cut %d; %d pieces of %d", r.Kept, r.New, r.Cut, len(r.Definition.Model.Pieces), len(base.Model.Pieces))
	}
	for id, o := range r.OldIDs {
		if o < 0 {
			continue
		}
		a, kindA := tok.Bytes(int32(id))
		b, kindB := old.Bytes(o)
		if !bytes.Equal(a, b) || kindA != kindB {
			t.Fatalf("id %d is %q, its old id %d is %q", id, a, o, b)
		}
	}
	for _, a := range base.AddedTokens {
		if id, ok := tok.ID(a.Content); !ok || !slices.ContainsFunc(r.Definition.AddedTokens, func(x tokenizer.AddedToken) bool {
			return x.ID == id && x.Content == a.Content && x.Special == a.Special
		}) {
			t.Errorf("special token %q is lost", a.Content)
		}
	}
}

// checkReach: every new token is produced by its own text or listed with a reason.
func checkReach(t *testing.T, r *Result) {
	t.Helper()
	tok := mustCompile(t, r.Definition)
	listed := map[string]string{}
	for _, u := range r.Unreachable {
		listed[u.Token] = u.Reason
	}
	for id, o := range r.OldIDs {
		if o >= 0 {
			continue
		}
		b, _ := tok.Bytes(int32(id))
		if ok, reason := vocab.Reach(tok, int32(id)); !ok && listed[strings.ToValidUTF8(string(b), "\uFFFD")] != reason {
			t.Errorf("token %q is not reached (%s) and not listed so", b, reason)
		}
	}
}

// checkTexts: decode∘encode is the identity, the file gives the same ids, and texts without new
// tokens are cut as before.
func checkTexts(t *testing.T, base *tokenizer.Definition, r *Result, texts []string, strict bool) {
	t.Helper()
	raw, err := r.Definition.JSON()
	if err != nil {
		t.Fatal(err)
	}
	read, err := tokenizer.ReadJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	file, tok, old := mustCompile(t, read), mustCompile(t, r.Definition), mustCompile(t, base)
	for _, text := range texts {
		ids := tok.Encode(text)
		if got := file.Encode(text); !slices.Equal(got, ids) {
			t.Fatalf("%q: the file gives %v, the definition %v", text, got, ids)
		}
		if got := tok.Decode(ids); got != text {
			t.Fatalf("%q decodes as %q", text, got)
		}
		back := make([]int32, 0, len(ids))
		for _, id := range ids {
			back = append(back, r.OldIDs[id])
		}
		if strict && !slices.Contains(back, -1) && !slices.Equal(back, old.Encode(text)) {
			t.Fatalf("%q holds no new token and is cut as %v, before as %v", text, back, old.Encode(text))
		}
	}
	p, err := Prove(base, r, stream(texts))
	if err != nil {
		t.Fatal(err)
	}
	if p.Broken != 0 || strict && p.Recut != 0 || p.NewTokens > p.OldTokens {
		t.Errorf("proof: %+v", p)
	}
}

func TestExtendDoesNotDependOnTheOrderOfTexts(t *testing.T) {
	en, ru := sentences(9, latin, 100), sentences(9, cyrillic, 100)
	var results [][]byte
	for range 2 {
		r, err := Extend(trainBytes(t, en, 380), trainBytes(t, ru, 380), DefaultExtendOptions())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := r.Definition.JSON()
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, raw)
		slices.Reverse(en)
		slices.Reverse(ru)
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Error("shards in another order give another vocabulary")
	}
}

func TestExtendSize(t *testing.T) {
	base, add := trainBytes(t, sentences(3, latin, 100), 380, "<|end|>"), trainBytes(t, sentences(3, cyrillic, 100), 420)
	all, err := Extend(base, add, DefaultExtendOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{381, 400, 430, len(all.OldIDs)} {
		r, err := Extend(base, add, ExtendOptions{Merges: AutoMerges, Size: n})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.OldIDs) > n || n == len(all.OldIDs) && len(r.OldIDs) != n {
			t.Errorf("size %d: %d tokens", n, len(r.OldIDs))
		}
	}
}

func TestCutProperties(t *testing.T) {
	for seed := range uint64(3) {
		texts := slices.Concat(sentences(seed, latin, 150), sentences(seed, cyrillic, 150))
		for name, base := range map[string]*tokenizer.Definition{
			"byte-level": trainBytes(t, texts, 450, "<|end|>"), "tiktoken": ranked(t, trainBytes(t, texts, 450)),
			"sentencepiece": trainPieces(t, tokenizer.BPE, texts, 450),
		} {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				used := sentences(seed, latin, 60)
				r, report, err := Cut(base, stream(used), DefaultCutOptions())
				if err != nil {
					t.Fatal(err)
				}
				checkResult(t, base, r)
				if r.Cut == 0 || r.New != 0 || report.Kept != r.Kept {
					t.Errorf("cut %d, new %d, report %d kept, result %d", r.Cut, r.New, report.Kept, r.Kept)
				}
				p, err := Prove(base, r, stream(used))
				if err != nil {
					t.Fatal(err)
				}
				if p.Recut != 0 || p.OldTokens != p.NewTokens || p.Broken != 0 {
					t.Errorf("with no limit the corpus is cut otherwise: %+v", p)
				}
				all, next := mustCompile(t, base), mustCompile(t, r.Definition)
				for _, text := range mixtures(seed) { // bytes are protected: all can still be spelled
					if got := next.Decode(next.Encode(text)); got != text {
						t.Fatalf("%q decodes as %q", text, got)
					}
				}
				opts := DefaultCutOptions()
				opts.Keep, opts.KeepTokens = report.Protected+10, []string{all.Decode([]int32{int32(all.Size()) / 2})}
				limited, small, err := Cut(base, stream(used), opts)
				if err != nil {
					t.Skipf("token %q cannot be named: %v", opts.KeepTokens, err)
				}
				if small.Kept > opts.Keep || small.Skipped == 0 {
					t.Errorf("limit %d: %d kept, %d skipped", opts.Keep, small.Kept, small.Skipped)
				}
				checkResult(t, base, limited)
			})
		}
	}
}

func TestReplaceKeepsSpecialTokens(t *testing.T) {
	en, ru := sentences(5, latin, 100), sentences(5, cyrillic, 100)
	base := ranked(t, trainBytes(t, en, 400))
	base.PostProcessor = []byte(`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|end|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],` +
		`"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<|end|>":{"id":"<|end|>","ids":[400],"tokens":["<|end|>"]}}}`)
	for name, with := range map[string]*tokenizer.Definition{
		"bpe": trainBytes(t, ru, 380), "unigram": trainPieces(t, tokenizer.Unigram, ru, 380), "pieces": trainPieces(t, tokenizer.BPE, ru, 380),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Replace(base, with)
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, base, r)
			tok := mustCompile(t, r.Definition)
			end, ok := tok.ID("<|end|>")
			if !ok || int(end) != tok.Size()-1 {
				t.Fatalf("the special token has id %d of %d", end, tok.Size())
			}
			if ids := tok.EncodeSpecial("ab"); ids[0] != end {
				t.Errorf("a text begins with %d, want the special token's new id %d", ids[0], end)
			}
		})
	}
}

func TestTruncateIsTrainingToThatSize(t *testing.T) {
	texts := slices.Concat(sentences(6, latin, 200), sentences(6, cyrillic, 200))
	for _, tt := range []struct {
		name  string
		train func(size int) *tokenizer.Definition
	}{
		{"byte-level", func(n int) *tokenizer.Definition { return trainBytes(t, texts, n) }},
		{"byte-level with special tokens", func(n int) *tokenizer.Definition { return trainBytes(t, texts, n, "<a>", "<b>") }},
		{"sentencepiece", func(n int) *tokenizer.Definition { return trainPieces(t, tokenizer.BPE, texts, n) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			large := tt.train(520)
			for _, n := range []int{300, 350, 519, 520} {
				got, err := Truncate(large, n)
				if err != nil {
					t.Fatal(err)
				}
				a, b := mustCompile(t, got), mustCompile(t, tt.train(n))
				if a.Size() != b.Size() {
					t.Fatalf("size %d: %d tokens, trained %d", n, a.Size(), b.Size())
				}
				for _, text := range mixtures(6) {
					if x, y := a.Encode(text), b.Encode(text); !slices.Equal(x, y) {
						t.Fatalf("size %d: %q is %v, trained %v", n, text, x, y)
					}
				}
			}
			for _, n := range []int{200, 5000} {
				if _, err := Truncate(large, n); err == nil {
					t.Errorf("size %d was accepted", n)
				}
			}
		})
	}
	if _, err := Truncate(trainPieces(t, tokenizer.Unigram, texts, 350), 300); err == nil {
		t.Error("a Unigram vocabulary was cut off")
	}
}

func TestRankedReadsBack(t *testing.T) {
	d := trainBytes(t, sentences(7, latin, 100), 380)
	r, err := Ranked(d)
	if err != nil {
		t.Fatal(err)
	}
	if !IsRanked(r) || IsRanked(d) {
		t.Errorf("IsRanked: %v for the ranked form, %v for the merges", IsRanked(r), IsRanked(d))
	}
	raw, err := r.Tiktoken()
	if err != nil {
		t.Fatal(err)
	}
	back, err := tokenizer.ReadTiktoken(raw, tokenizer.PatternLlama3, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustCompile(t, r), mustCompile(t, back)
	for _, text := range mixtures(7) {
		if !slices.Equal(a.Encode(text), b.Encode(text)) {
			t.Fatalf("%q: %v and %v", text, a.Encode(text), b.Encode(text))
		}
	}
	if _, err := Ranked(trainPieces(t, tokenizer.Unigram, sentences(7, latin, 100), 300)); err == nil {
		t.Error("a Unigram vocabulary was ranked")
	}
	if _, err := Ranked(trainBytes(t, sentences(7, latin, 100), 380, "<|end|>")); err == nil {
		t.Error("ranks that do not begin at 0 were accepted")
	}
}

func TestBadInput(t *testing.T) {
	base, add := trainBytes(t, sentences(8, latin, 60), 300), trainBytes(t, sentences(8, cyrillic, 60), 300)
	unigram := trainPieces(t, tokenizer.Unigram, sentences(8, cyrillic, 60), 300)
	texts := stream(sentences(8, latin, 5))
	extend := func(b, a *tokenizer.Definition, o ExtendOptions) error { _, err := Extend(b, a, o); return err }
	cut := func(b *tokenizer.Definition, c iter.Seq2[string, error], o CutOptions) error {
		_, _, err := Cut(b, c, o)
		return err
	}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"unigram base", extend(unigram, add, DefaultExtendOptions()), "base: a Unigram vocabulary has no merges"},
		{"unigram by reference", extend(base, unigram, ExtendOptions{Reference: true}), "added vocabulary: a Unigram vocabulary"},
		{"pieces and bytes by reference", extend(trainPieces(t, tokenizer.BPE, sentences(8, latin, 60), 300), add, ExtendOptions{Reference: true}), "no rule for that"},
		{"merges", extend(base, add, ExtendOptions{Merges: "some"}), `merges "some": want auto, learned or all`},
		{"no merges", extend(base, add, ExtendOptions{}), `merges "": want`},
		{"size", extend(base, add, ExtendOptions{Merges: AutoMerges, Size: 300}), "size 300: the base has 300 tokens already"},
		{"only", extend(base, add, ExtendOptions{Merges: AutoMerges, Words: WordOptions{Only: "["}}), "only: error parsing regexp"},
		{"rule", cut(base, texts, CutOptions{Rule: "often"}), `cut "often": want usage or rank`},
		{"no corpus", cut(base, nil, DefaultCutOptions()), "needs a corpus"},
		{"no text", cut(base, stream([]string{"", "\n"}), DefaultCutOptions()), "the corpus holds no text"},
		{"keep", cut(base, texts, CutOptions{Rule: ByUsage, KeepTokens: []string{"nosuch"}}), `keep "nosuch": is no token of the base`},
		{"rank below bytes", cut(base, nil, CutOptions{Rule: ByRank, Keep: 100}), "keep_items 100: below the 256 byte"},
		{"usage of unigram", cut(unigram, texts, DefaultCutOptions()), "base: a Unigram vocabulary has no merges"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("error %v, want %q", tt.err, tt.want)
			}
		})
	}
	if err := cut(base, nil, CutOptions{Rule: ByRank}); hint.Of(err) == "" {
		t.Error("a cut by rank without a number gives no advice")
	}
}

func TestDecodeReplacesAsPythonDoes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"мир", "мир"}, {"\xd0", "�"}, {"a\xd0b", "a�b"}, {"\xf0\x9f\x98", "�"}, {"\xf0\x9f\x98a", "�a"}, {"\xff\xfe", "��"},
		{"\xe2\x28\xa1", "�(�"}, {"\xc0\xaf", "��"}, {"\xed\xa0\x80", "���"}, {"\xf4\x90\x80\x80", "����"}, {"\xbc\xd0\xb8", "�и"},
	} {
		if got := decode(tt.in); got != tt.want {
			t.Errorf("decode(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
