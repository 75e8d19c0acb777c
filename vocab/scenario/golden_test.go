package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/tokenizer"
)

type facts struct {
	BasePieces   int    `json:"base_pieces"`
	NewPieces    int    `json:"new_pieces"`
	ModelPieces  int    `json:"model_pieces"`
	Total        int    `json:"total_with_added"`
	PiecesSHA    string `json:"new_pieces_sha256_joined_by_lf"`
	Merges       int    `json:"merges"`
	MergesSHA    string `json:"merges_sha256_joined_by_lf"`
	IgnoreMerges bool   `json:"ignore_merges"`
	BOS          [2]any `json:"bos"`
	AddedLast    [2]any `json:"added_last"`
}

func shared(t *testing.T, parts ...string) string {
	return golden.Shared(t, append([]string{"reference"}, parts...)...)
}

func real(t *testing.T, name string) *tokenizer.Definition {
	t.Helper()
	d, err := tokenizer.ReadJSON(golden.Read(t, shared(t, "tokenizers", "models", name, "tokenizer.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func spm(t *testing.T, name string) *tokenizer.Definition {
	t.Helper()
	d, err := tokenizer.ReadSentencePiece(golden.Read(t, shared(t, "lep", "inputs", name+".spm.model.gz")))
	if err != nil {
		t.Fatal(err)
	}
	d.SentencePiece = nil // the hub form, as the reference uses it
	return d
}

func corpus(t *testing.T) iter.Seq2[string, error] {
	text := string(golden.Read(t, shared(t, "lep", "inputs", "dostoevsky_karamazov_part4.txt.gz")))
	return func(yield func(string, error) bool) { yield(text, nil) }
}

func check(t *testing.T, folder string, base *tokenizer.Definition, r *Result, mergeHash bool) {
	t.Helper()
	var want facts
	if err := json.Unmarshal(golden.Read(t, shared(t, "lep", "vocab", folder, "facts.json")), &want); err != nil {
		t.Fatal(err)
	}
	d := r.Definition
	text := map[int32]string{}
	var added []string
	for _, p := range d.Model.Pieces {
		text[p.ID] = p.Text
		if p.ID >= int32(want.BasePieces) {
			added = append(added, p.Text)
		}
	}
	if len(added) != want.NewPieces || len(d.Model.Pieces) != want.ModelPieces || len(r.OldIDs) != want.Total {
		t.Errorf("%d new pieces, %d in all, %d with added tokens; want %d, %d, %d",
			len(added), len(d.Model.Pieces), len(r.OldIDs), want.NewPieces, want.ModelPieces, want.Total)
	}
	if got := digest(added); got != want.PiecesSHA {
		t.Errorf("new pieces differ: digest %s, want %s", got, want.PiecesSHA)
	}
	var merges []string
	for _, m := range d.Model.Merges {
		merges = append(merges, text[m.Left]+" "+text[m.Right])
	}
	if len(merges) != want.Merges {
		t.Errorf("%d merges, want %d", len(merges), want.Merges)
	}
	if got := digest(merges); mergeHash && got != want.MergesSHA {
		t.Errorf("merges differ: digest %s, want %s", got, want.MergesSHA)
	}
	if d.Model.IgnoreMerges != want.IgnoreMerges {
		t.Errorf("ignore_merges %v", d.Model.IgnoreMerges)
	}
	for _, w := range [][2]any{want.BOS, want.AddedLast} {
		i := slices.IndexFunc(d.AddedTokens, func(a tokenizer.AddedToken) bool { return a.Content == w[0] })
		if i < 0 || float64(d.AddedTokens[i].ID) != w[1] {
			t.Errorf("added token %v has not id %v", w[0], w[1])
		}
	}
	checkEncodings(t, folder, d)
}

func checkEncodings(t *testing.T, folder string, d *tokenizer.Definition) {
	t.Helper()
	raw, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tokenizer.ReadJSON(raw)
	if err != nil {
		t.Fatalf("what was written is refused: %v", err)
	}
	tok, err := tokenizer.New(again)
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Text    string
		IDs     []int32
		Decoded string
	}
	if err := json.Unmarshal(golden.Read(t, shared(t, "lep", "vocab", folder, "encodings.json.gz")), &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if got := tok.Encode(row.Text); !slices.Equal(got, row.IDs) {
			t.Errorf("%q: ids %v, want %v", row.Text, got, row.IDs)
		}
		if got := tok.Decode(row.IDs); row.Decoded != "" && got != row.Decoded {
			t.Errorf("%v decoded as %q, want %q", row.IDs, got, row.Decoded)
		}
	}
}

func digest(list []string) string {
	sum := sha256.Sum256([]byte(strings.Join(list, "\n")))
	return hex.EncodeToString(sum[:])
}

func TestExtendReference(t *testing.T) {
	for _, tt := range []struct {
		folder string
		base   func(*testing.T) *tokenizer.Definition
		add    string
		merges bool
		why    string
	}{
		{"llama3+darulm32000bpe", func(t *testing.T) *tokenizer.Definition { return real(t, "llama3") }, "darulm_32000_bpe", false,
			"the order of the donor's merges follows either convention of reference/lep 1.1"},
		{"mistral+darulm48000bpe", func(t *testing.T) *tokenizer.Definition { return spm(t, "mistral_7b_v0.1") }, "darulm_48000_bpe", false, ""},
	} {
		t.Run(tt.folder, func(t *testing.T) {
			base := tt.base(t)
			r, err := Extend(base, spm(t, tt.add), ExtendOptions{Reference: true})
			if err != nil {
				t.Fatal(err)
			}
			check(t, tt.folder, base, r, tt.merges)
		})
	}
}

func TestCutByRank(t *testing.T) {
	base := real(t, "llama3")
	cut, _, err := Cut(base, nil, CutOptions{Rule: ByRank, Keep: 32000})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Extend(cut.Definition, spm(t, "darulm_32000_bpe"), ExtendOptions{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "llama3cut32000+darulm32000bpe", base, r, false)
	if _, _, err := Cut(base, nil, CutOptions{Rule: ByRank, Keep: 255}); err == nil {
		t.Error("a cut below the 256 bytes was accepted")
	}
}

func TestCutByUsage(t *testing.T) {
	for _, tt := range []struct {
		folder string
		base   *tokenizer.Definition
		keep   int
	}{
		{"llama3-useall+darulm32000bpe", real(t, "llama3"), 0},
		{"mistral-use1200+darulm32000bpe", spm(t, "mistral_7b_v0.1"), 1200},
	} {
		t.Run(tt.folder, func(t *testing.T) {
			cut, report, err := Cut(tt.base, corpus(t), CutOptions{Rule: ByUsage, Keep: tt.keep})
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Forced, Kept int
				Used         int     `json:"used_distinct"`
				Unused       int     `json:"kept_but_unused"`
				Skipped      int     `json:"skipped_for_limit"`
				Tokens       int64   `json:"corpus_tokens"`
				IDs          []int32 `json:"kept_old_ids"`
				Merges       int
			}
			if err := json.Unmarshal(golden.Read(t, shared(t, "lep", "vocab", tt.folder, "cut_facts.json")), &want); err != nil {
				t.Fatal(err)
			}
			got := *report
			if got.Protected != want.Forced || got.Kept != want.Kept || got.UsedDistinct != want.Used || got.KeptUnused != want.Unused ||
				got.Skipped != want.Skipped || got.CorpusTokens != want.Tokens || len(cut.Definition.Model.Merges) != want.Merges {
				got.KeptIDs, got.Counts = nil, nil
				want.IDs = nil
				t.Errorf("%+v, %d merges; want %+v", got, len(cut.Definition.Model.Merges), want)
			}
			if !slices.Equal(report.KeptIDs, want.IDs) && want.IDs != nil {
				t.Error("other pieces are kept")
			}
			r, err := Extend(cut.Definition, spm(t, "darulm_32000_bpe"), ExtendOptions{Reference: true})
			if err != nil {
				t.Fatal(err)
			}
			check(t, tt.folder, tt.base, r, false)
			if tt.keep == 0 {
				sameCorpus(t, tt.base, cut)
			}
		})
	}
}

// sameCorpus: with no limit the cut tokenizer encodes the corpus as before.
func sameCorpus(t *testing.T, base *tokenizer.Definition, cut *Result) {
	t.Helper()
	p, err := Prove(base, cut, corpus(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Recut != 0 || p.WithNew != 0 || p.Broken != 0 || p.OldTokens != p.NewTokens {
		t.Errorf("the cut tokenizer encodes its corpus otherwise: %+v", p)
	}
}

func words(t *testing.T, folder string) []Word {
	t.Helper()
	var list []Word
	golden.Lines(t, shared(t, "lep", "vocab", folder, "word_list.tsv.gz"), func(line []byte) {
		text, number, _ := strings.Cut(string(line), "\t")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Word{text, n})
	})
	return list
}

func TestWordList(t *testing.T) {
	got, err := WordList(spm(t, "darulm_32000_bpe"), WordOptions{Only: `[ А-Яа-яЁё]+`, MinLetters: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := words(t, "llama3+newpipeline-bpe32_min4")
	if !slices.Equal(got, want) {
		t.Errorf("%d words, want %d; first %v, want %v", len(got), len(want), got[:3], want[:3])
	}
}

// TestLearnedMerges holds the learner to the merges that the reference's slow one finds.
func TestLearnedMerges(t *testing.T) {
	folder := "llama3+newpipeline-bpe32_min4"
	base := real(t, "llama3")
	r, err := ExtendWords(base, words(t, folder), ExtendOptions{Merges: LearnedMerges})
	if err != nil {
		t.Fatal(err)
	}
	text := map[int32]string{}
	for _, p := range r.Definition.Model.Pieces {
		text[p.ID] = p.Text
	}
	var got, want []string
	for _, m := range r.Definition.Model.Merges[len(base.Model.Merges):] {
		got = append(got, text[m.Left]+" "+text[m.Right])
	}
	golden.Lines(t, shared(t, "lep", "vocab", folder, "new_merges.txt.gz"), func(line []byte) { want = append(want, string(line)) })
	if !slices.Equal(got, want) {
		t.Errorf("%d merges, want %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("merge %d is %q, want %q", i, got[i], want[i])
			}
		}
	}
	check(t, folder, base, r, true)
}
