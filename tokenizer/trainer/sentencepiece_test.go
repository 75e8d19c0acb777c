package trainer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tokenizer"
)

// heldout is what results.json says of a golden.
type heldout struct {
	Tokens  int     `json:"heldout_tokens_by_line"`
	Bytes   int     `json:"heldout_byte_ids"`
	Unknown int     `json:"heldout_unk_ids"`
	LogLik  float64 `json:"heldout_loglik_best_path"`
}

// TestSentencePieceGoldens wants SentencePiece's pieces in SentencePiece's order for
// BPE. For Unigram it wants its scores, and as good a cut of held-out text.
func TestSentencePieceGoldens(t *testing.T) {
	dir := golden.Shared(t, "reference", "tokenizers", "train")
	var results map[string]map[string]json.RawMessage
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "results.json")), &results); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "sp", "*.vocab.gz"))
	if len(files) != 18 {
		t.Fatalf("%d goldens, want 18", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".vocab.gz")
		t.Run(name, func(t *testing.T) {
			part := strings.Split(name, "-") // language, type, size, settings
			lang, model, settings := part[0], tokenizer.Unigram, part[3]
			if part[1] == "bpe" {
				model = tokenizer.BPE
			}
			if testing.Short() && (lang == "ru" || settings != "long") {
				t.Skip("one golden of each kind with -short")
			}
			opts := DefaultSentencePieceOptions(model)
			opts.VocabSize, _ = strconv.Atoi(part[2])
			opts.SplitDigits = true
			opts.ByteFallback = settings != "script"
			if settings == "long" {
				opts.CharacterCoverage, opts.MaxSentenceLength = 0.9999, 1048576
			}
			result, err := TrainSentencePiece(t.Context(), of(string(golden.Read(t, filepath.Join(dir, lang+"_train.txt.gz")))), opts)
			if err != nil {
				t.Fatal(err)
			}
			var want []tokenizer.Piece
			golden.Lines(t, file, func(line []byte) {
				text, score, _ := strings.Cut(string(line), "\t")
				s, err := strconv.ParseFloat(score, 64)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, tokenizer.Piece{Text: text, Score: s})
			})
			comparePieces(t, model, result.Definition.Model.Pieces, want)

			var was heldout
			if err := json.Unmarshal(results["sp/"+name]["eval_"+lang], &was); err != nil {
				t.Fatal(err)
			}
			is := evaluate(t, result.Definition, golden.Read(t, filepath.Join(dir, lang+"_heldout.txt.gz")))
			switch {
			case model == tokenizer.BPE && (is.Tokens != was.Tokens || is.Bytes != was.Bytes || is.Unknown != was.Unknown):
				t.Errorf("held-out text: %+v, want %+v", is, was)
			case model == tokenizer.Unigram && (float64(is.Tokens) > 1.0002*float64(was.Tokens) || is.LogLik < 1.00005*was.LogLik):
				t.Errorf("held-out text: %+v, want as good as %+v", is, was)
			}
		})
	}
}

// comparePieces wants equal pieces for BPE. Unigram scores may differ by 1e-4: they
// do between two numbers of threads of SentencePiece. Where losses are equal but for
// rounding another piece may be kept (3 in 1000), and its neighbours' scores be
// others then (1 in 100).
func comparePieces(t *testing.T, model tokenizer.ModelType, got, want []tokenizer.Piece) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d pieces, want %d", len(got), len(want))
	}
	scores := map[string]float64{}
	for i, p := range got {
		scores[p.Text] = p.Score
		if model == tokenizer.BPE && (p.Text != want[i].Text || p.Score != want[i].Score) {
			t.Fatalf("piece %d: %q %v, want %q %v", i, p.Text, p.Score, want[i].Text, want[i].Score)
		}
	}
	missing, off := 0, 0
	for _, p := range want {
		if score, ok := scores[p.Text]; !ok {
			missing++
		} else if math.Abs(score-p.Score) > 1e-4 {
			off++
		}
	}
	if 1000*missing > 3*len(want) || 100*off > len(want) {
		t.Errorf("%d of %d pieces are missing, %d scores are off", missing, len(want), off)
	}
}

// evaluate encodes text by line. An unknown character weighs the lowest score - 10.
func evaluate(t *testing.T, def *tokenizer.Definition, text []byte) (h heldout) {
	t.Helper()
	tok, err := tokenizer.New(def)
	if err != nil {
		t.Fatal(err)
	}
	lowest := 0.0
	for _, p := range def.Model.Pieces {
		lowest = min(lowest, p.Score)
	}
	for line := range bytes.Lines(text) {
		ids := tok.Encode(strings.TrimSuffix(string(line), "\n"))
		h.Tokens += len(ids)
		for _, id := range ids {
			switch p := def.Model.Pieces[id]; p.Kind {
			case tokenizer.Byte:
				h.Bytes++
				if b, _ := tok.Bytes(id); utf8.RuneStart(b[0]) {
					h.LogLik += lowest - 10
				}
			case tokenizer.Unknown:
				h.Unknown++
				h.LogLik += lowest - 10
			default:
				h.LogLik += p.Score
			}
		}
	}
	return h
}

const sample = `Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.
Все смешалось в доме Облонских. Жена узнала, что муж был в связи с бывшею в их доме француженкою-гувернанткой.
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
В 1875 году, 12 мая, было 17°, и всё цвело — "как в раю", сказал он.
`

func model(t *testing.T, opts SentencePieceOptions, texts ...string) []byte {
	t.Helper()
	r, err := TrainSentencePiece(t.Context(), of(texts...), opts)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Definition.SentencePieceModel()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOrderAndThreads: the result is the same for every order of the texts and
// every number of threads.
func TestOrderAndThreads(t *testing.T) {
	lines := strings.SplitAfter(strings.Repeat(sample, 3), "\n")
	shuffled := slices.Clone(lines)
	rand.New(rand.NewPCG(7, 8)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, m := range []tokenizer.ModelType{tokenizer.BPE, tokenizer.Unigram} {
		opts := DefaultSentencePieceOptions(m)
		opts.VocabSize, opts.NormalizationRuleName = 85, "identity"
		opts.Threads = 1
		want := model(t, opts, lines...)
		opts.Threads = 5
		if !bytes.Equal(want, model(t, opts, shuffled...)) {
			t.Errorf("%s depends on order or threads", m)
		}
	}
	opts := DefaultBPEOptions()
	opts.Size = 350
	var want []byte
	for threads, texts := range map[int][]string{1: lines, 6: shuffled} {
		opts.Threads = threads
		r, err := TrainBPE(t.Context(), of(texts...), opts)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Definition.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if want != nil && !bytes.Equal(got, want) {
			t.Error("byte-level BPE depends on order or threads")
		}
		want = got
	}
}

func TestOptions(t *testing.T) {
	pieces := func(change func(*SentencePieceOptions)) map[string]tokenizer.Piece {
		opts := DefaultSentencePieceOptions(tokenizer.BPE)
		opts.NormalizationRuleName, opts.AllowSmaller, opts.CharacterCoverage, opts.VocabSize = "identity", true, 1, 600
		change(&opts)
		r, err := TrainSentencePiece(t.Context(), of(strings.Repeat("ab ab12 <x> aб 7ab\n", 3)), opts)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]tokenizer.Piece{}
		for _, p := range r.Definition.Model.Pieces {
			all[p.Text] = p
		}
		return all
	}
	for _, tt := range []struct {
		name      string
		change    func(*SentencePieceOptions)
		has, lack []string
	}{
		{"defaults", func(o *SentencePieceOptions) {}, []string{"<unk>", "<s>", "▁ab", "12", "▁<"}, []string{"<pad>", "<0x00>", "▁7ab", "aб"}},
		{"split_digits", func(o *SentencePieceOptions) { o.SplitDigits = true }, []string{"1"}, []string{"12"}},
		{"split_by_number", func(o *SentencePieceOptions) { o.SplitByNumber = false }, []string{"▁7ab", "▁ab12"}, nil},
		{"split_by_unicode_script", func(o *SentencePieceOptions) { o.SplitByUnicodeScript = false }, []string{"▁aб"}, nil},
		{"split_by_whitespace", func(o *SentencePieceOptions) { o.SplitByWhitespace = false }, []string{"▁ab▁ab"}, nil},
		{"treat_whitespace_as_suffix", func(o *SentencePieceOptions) { o.TreatWhitespaceAsSuffix = true }, []string{"ab▁"}, []string{"▁ab"}},
		{"max_piece_length", func(o *SentencePieceOptions) { o.MaxPieceLength = 2 }, []string{"ab"}, []string{"▁ab"}},
		{"byte_fallback", func(o *SentencePieceOptions) { o.ByteFallback = true }, []string{"<0x00>", "<0xFF>"}, nil},
		{"control", func(o *SentencePieceOptions) { o.ControlSymbols = []string{"<x>"} }, []string{"<x>"}, []string{"▁<", "x>"}},
		{"user-defined", func(o *SentencePieceOptions) { o.UserDefinedSymbols = []string{"b12"} }, []string{"b12"}, []string{"▁ab12"}},
		{"required_chars", func(o *SentencePieceOptions) { o.RequiredChars = "щ" }, []string{"щ"}, nil},
		{"pad", func(o *SentencePieceOptions) { o.PADID = 3 }, []string{"<pad>"}, nil},
		{"coverage", func(o *SentencePieceOptions) { o.CharacterCoverage = 0.94 }, []string{"a"}, []string{"б"}},
		{"nmt_nfkc_cf", func(o *SentencePieceOptions) {
			o.NormalizationRuleName, o.ControlSymbols = "nmt_nfkc_cf", []string{"AB"}
		}, []string{"▁ab"}, nil},
	} {
		got := pieces(tt.change)
		for _, s := range tt.has {
			if _, ok := got[s]; !ok {
				t.Errorf("%s: no piece %q in %q", tt.name, s, slices.Sorted(maps.Keys(got)))
			}
		}
		for _, s := range tt.lack {
			if _, ok := got[s]; ok {
				t.Errorf("%s: there is a piece %q", tt.name, s)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*SentencePieceOptions)
		text   string
		want   string
	}{
		{"empty", nil, "", "trainer: the corpus is empty"},
		{"blank", nil, "\n \n", "trainer: no sentence of the corpus can be used"},
		{"small", func(o *SentencePieceOptions) { o.VocabSize = 10 }, "abcdefghijk", "trainer: size 10 is smaller than the alphabet: 12 characters and 3 symbols and byte pieces"},
		{"bytes", func(o *SentencePieceOptions) { o.VocabSize, o.ByteFallback = 100, true }, "abc", "trainer: size 100 is smaller than the 259 symbols and byte pieces"},
		{"unfillable", func(o *SentencePieceOptions) { o.VocabSize = 5000 }, "abc abc", "trainer: the corpus yields 10 tokens, want 5000"},
		{"twice", func(o *SentencePieceOptions) { o.ControlSymbols = []string{"<a>", "<a>"} }, "x", `trainer: symbol "<a>" stands twice`},
		{"conflict", func(o *SentencePieceOptions) {
			o.ControlSymbols, o.UserDefinedSymbols = []string{"<a>"}, []string{"<a>"}
		}, "x", `trainer: symbol "<a>" stands twice`},
		{"unk", func(o *SentencePieceOptions) { o.UserDefinedSymbols = []string{"<unk>"} }, "x", "trainer: <unk> cannot be a control or user-defined symbol"},
		{"no unk", func(o *SentencePieceOptions) { o.UnkID = -1 }, "x", "trainer: unk_id is -1: <unk> must have an id"},
		{"same id", func(o *SentencePieceOptions) { o.BOSID = 0 }, "x", "trainer: <unk> and <s> both have id 0"},
		{"id", func(o *SentencePieceOptions) { o.EOSID = 60 }, "x", "trainer: id 60 of </s> is not below the size 60"},
		{"rule", func(o *SentencePieceOptions) { o.NormalizationRuleName = "nfd" }, "x", `unknown normalization rule "nfd"`},
		{"coverage", func(o *SentencePieceOptions) { o.CharacterCoverage = 1.5 }, "x", "trainer: character_coverage is 1.5, want 0.9 to 1"},
	} {
		opts := DefaultSentencePieceOptions(tokenizer.BPE)
		opts.VocabSize, opts.NormalizationRuleName = 60, "identity"
		if tt.change != nil {
			tt.change(&opts)
		}
		_, err := TrainSentencePiece(t.Context(), of(tt.text), opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		opts BPEOptions
		text string
		want string
	}{
		{BPEOptions{Size: 300, Pattern: "gpt2"}, "", "trainer: the corpus is empty"},
		{BPEOptions{Size: 257, Pattern: "gpt2", Special: []string{"<s>", "</s>"}}, "x", "trainer: size 257 is smaller than the alphabet: 256 bytes and 2 special tokens"},
		{BPEOptions{Size: 300, Pattern: "gpt2"}, "ab", "trainer: the corpus yields 257 tokens, want 300"},
		{BPEOptions{Size: 300, Pattern: "gpt2", Special: []string{"<s>", "<s>"}}, "x", `trainer: special token "<s>" stands twice`},
		{BPEOptions{Size: 300, Pattern: "gpt2", Special: []string{"Ġ"}}, "x", `trainer: special token "Ġ" is the letter of byte 0x20`},
		{BPEOptions{Size: 300, Pattern: "(a"}, "x", "pre_tokenizer Split"},
		{BPEOptions{Size: 300}, "x", "trainer: no split pattern"},
		{BPEOptions{Size: 300, Pattern: "gpt2", Threads: -1}, "x", "trainer: threads is -1"},
	} {
		_, err := TrainBPE(t.Context(), of(tt.text), tt.opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.opts, err, tt.want)
		}
	}
	_, err := TrainBPE(t.Context(), of("ab"), BPEOptions{Size: 300, Pattern: "gpt2"})
	if !strings.Contains(hint.Of(err), "--allow-smaller") {
		t.Errorf("hint %q", hint.Of(err))
	}
	broken := fmt.Errorf("disk on fire")
	_, err = TrainBPE(t.Context(), func(yield func(string, error) bool) { yield("", broken) }, DefaultBPEOptions())
	if err != broken {
		t.Errorf("error of the texts came back as %v", err)
	}
}
