package stats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"lep/tokenizer"
	"lep/tokenizer/trainer"
)

func stream(list ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// corpusOf repeats sentences with a growing number, so that there are enough texts to share.
func corpusOf(n int) iter.Seq2[string, error] {
	var list []string
	for i := range n {
		list = append(list, "мама мыла раму, а папа читал книгу у окна "+strings.Repeat("и ещё раз ", i%7), "the cat sat on the mat — twice.")
	}
	return stream(list...)
}

func train(t *testing.T, size int, texts iter.Seq2[string, error]) *tokenizer.Tokenizer {
	t.Helper()
	opts := trainer.DefaultBPEOptions()
	opts.Size, opts.AllowSmaller = size, true
	r, err := trainer.TrainBPE(context.Background(), texts, opts)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func trainPieces(t *testing.T, model tokenizer.ModelType, size int) *tokenizer.Tokenizer {
	t.Helper()
	opts := trainer.DefaultSentencePieceOptions(model)
	opts.VocabSize, opts.AllowSmaller, opts.ByteFallback = size, true, true
	opts.NormalizationRuleName, opts.RemoveExtraWhitespaces = "identity", false
	r, err := trainer.TrainSentencePiece(context.Background(), corpusOf(20), opts)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestFertility(t *testing.T) {
	whole := train(t, 330, stream("мама мыла мама мыла мама мыла"))
	bytesOnly := train(t, 256, stream("a b"))
	for _, tt := range []struct {
		name string
		tok  *tokenizer.Tokenizer
		text string
		want Fertility
		why  string
	}{
		{"whole words", whole, "мама мыла", Fertility{9, 17, 2, 2, 2}, "each word is a token"},
		{"bytes", bytesOnly, "да b", Fertility{4, 6, 6, 2, 1}, "a letter of two bytes is two tokens, so its word is not whole"},
		{"one letter of two bytes", bytesOnly, "я", Fertility{1, 2, 2, 1, 0}, "two tokens over one character are no whole word"},
		{"no letters", bytesOnly, "1, 2", Fertility{4, 4, 4, 0, 0}, "digits are no words"},
		{"no spaces between words", bytesOnly, "水", Fertility{1, 3, 3, 0, 0}, "words cannot be told apart"},
		{"empty", bytesOnly, "", Fertility{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCounter(tt.tok)
			c.count(tt.text, 0)
			if c.total != tt.want {
				t.Errorf("%q: %+v, want %+v: %s", tt.text, c.total, tt.want, tt.why)
			}
			if c.broken != 0 {
				t.Errorf("%q decodes as %q", tt.text, c.broke[0].Decoded)
			}
		})
	}
}

func TestScriptsAddUp(t *testing.T) {
	tok := train(t, 400, corpusOf(5))
	c := newCounter(tok)
	text := "Мама said: λόγος, e\u0301té — 3 раза 水\u202eאב"
	c.count(text, 0)
	letters := map[string]int64{}
	for _, s := range c.byScript() {
		letters[s.Script] = s.Fertility.Characters
	}
	for script, want := range map[string]int64{"Cyrillic": 8, "Latin": 8, "Greek": 5, "Han": 1, "Hebrew": 2} {
		if letters[script] != want {
			t.Errorf("%s has %d letters, want %d", script, letters[script], want)
		}
	}
}

func TestMeasureDoesNotDependOnThreads(t *testing.T) {
	tok := train(t, 380, corpusOf(30))
	var results []*Stats
	for _, threads := range []int{1, 4} {
		s, err := Measure(context.Background(), tok, corpusOf(9000), Options{Threads: threads, List: 5})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, s)
	}
	if !reflect.DeepEqual(results[0], results[1]) {
		t.Error("statistics differ between 1 and 4 threads")
	}
	c := results[0].Corpus
	if c.Texts != 18000 || c.Broken != 0 {
		t.Errorf("%d texts, %d broken", c.Texts, c.Broken)
	}
	total := 0
	for _, k := range results[0].Classes {
		total += k.Count
	}
	if total != tok.Size() {
		t.Errorf("the classes hold %d tokens, the vocabulary %d", total, tok.Size())
	}
}

func TestMeasureErrors(t *testing.T) {
	tok := train(t, 256, stream("a b"))
	broken := errors.New("disk on fire")
	bad := func(yield func(string, error) bool) { yield("", broken) }
	if _, err := Measure(context.Background(), tok, bad, DefaultOptions()); !errors.Is(err, broken) {
		t.Errorf("an error of the corpus became %v", err)
	}
	if _, err := Measure(context.Background(), tok, stream(), DefaultOptions()); err == nil {
		t.Error("an empty corpus was accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, tok, corpusOf(2), DefaultOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled measurement returned %v", err)
	}
	for _, o := range []Options{{Threads: 0}, {Threads: 1, List: -1}, {Threads: 5000}} {
		if _, err := Measure(context.Background(), tok, nil, o); err == nil {
			t.Errorf("options %+v were accepted", o)
		}
	}
}

func TestUnusedAndUnreachable(t *testing.T) {
	tok := train(t, 330, stream("мама мыла мама мыла", "дом дом дом"))
	d := tok.Definition().Clone()
	d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: int32(tok.Size()), Text: "abc"}, // no merges
		tokenizer.Piece{ID: int32(tok.Size()) + 1, Text: "aĠb"}) // two words
	dead, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Measure(context.Background(), dead, stream("мама"), DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, u := range s.Unreachable {
		reasons[u.Text] = u.Reason
	}
	if !strings.Contains(reasons["abc"], "alone it is cut") || !strings.Contains(reasons["a b"], "pre-tokenizer cuts it into 2") {
		t.Errorf("unreachable: %v", s.Unreachable)
	}
	unused := map[string]bool{}
	for _, u := range s.Corpus.Unused {
		unused[u.Text] = true
	}
	if !unused["␣дом"] || unused["мама"] {
		t.Errorf("unused: %v", s.Corpus.Unused)
	}
}

func TestSamples(t *testing.T) {
	codes := map[string]bool{}
	for _, s := range Samples() {
		if codes[s.Code] || len(s.Texts) < 3 || s.Name == "" {
			t.Errorf("%s: %d texts, name %q", s.Code, len(s.Texts), s.Name)
		}
		codes[s.Code] = true
		for _, text := range s.Texts {
			if !utf8.ValidString(text) || len(text) < 60 {
				t.Errorf("%s: %q", s.Code, text)
			}
		}
	}
	if len(codes) < 13 || !codes["ru"] || !codes["code"] {
		t.Errorf("languages %v", codes)
	}
}

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {" мир", "␣мир"}, {"a b ", "a b␣"}, {"   ", "␣␣␣"}, {"a\n\tb", "a␊␉b"}, {"\x00\x7f", "␀␡"},
		{"x\u202ey", "x‹U+202E›y"}, {"\u200b\ufeff\u00a0", "‹U+200B›‹U+FEFF›‹U+00A0›"}, {"\xd0", "‹d0›"}, {"\u0085", "‹U+0085›"},
		{"\u2028", "‹U+2028›"}, {"e\u0301", "e\u0301"}, {"\U000e0001", "‹U+E0001›"}, {"<b>", "<b>"},
	} {
		if got := Visible(tt.in); got != tt.want {
			t.Errorf("Visible(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\u202eb\n\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Visible(s) {
			if r < 0x20 || r == 0x7f || r == utf8.RuneError && utf8.ValidString(s) && !strings.ContainsRune(s, r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Fatalf("Visible(%q) holds %U", s, r)
			}
		}
	})
}

func TestCompare(t *testing.T) {
	small, large := train(t, 300, corpusOf(10)), train(t, 360, corpusOf(10))
	d, err := Compare(context.Background(), small, large, corpusOf(50), DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if d.Shared != 300 || d.OnlyA != 0 || d.OnlyB != large.Size()-300 {
		t.Errorf("%d shared, %d and %d alone: the merges of the small one are a part of the large one's", d.Shared, d.OnlyA, d.OnlyB)
	}
	if d.Corpus.SpeedUp <= 1 || d.Corpus.A.Characters != d.Corpus.B.Characters {
		t.Errorf("%+v", d.Corpus)
	}
	if len(d.Cuts) != len(Samples()) || len(d.Cuts[0].A) <= len(d.Cuts[0].B) {
		t.Errorf("%d cuts, the first %d and %d tokens", len(d.Cuts), len(d.Cuts[0].A), len(d.Cuts[0].B))
	}
	same, err := Compare(context.Background(), small, small, nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if same.OnlyA+same.OnlyB != 0 || same.Corpus != nil || same.Languages[0].SpeedUp != 1 {
		t.Errorf("a vocabulary compared with itself: %+v", same.Languages[0])
	}
	// Other alphabets share what has the same bytes.
	pieces := trainPieces(t, tokenizer.BPE, 400)
	cross, err := Compare(context.Background(), large, pieces, nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if cross.Shared < 20 {
		t.Errorf("a byte-level and a SentencePiece vocabulary of the same texts share %d tokens", cross.Shared)
	}
}

func TestSweep(t *testing.T) {
	var list []Candidate
	for _, size := range []int{260, 300, 340} {
		list = append(list, Candidate{"c", train(t, size, corpusOf(10))})
	}
	opts := DefaultSweepOptions()
	opts.Hidden = 64
	s, err := NewSweep(context.Background(), list, &Candidate{"base", list[0].Tok}, corpusOf(20), opts)
	if err != nil {
		t.Fatal(err)
	}
	if s.Base.SpeedUp != 1 || s.Points[0].SpeedUp != 1 || s.Points[2].SpeedUp <= s.Points[1].SpeedUp || s.Points[2].Parameters != 2*64*int64(list[2].Tok.Size()) {
		t.Errorf("%+v", s.Points)
	}
	opts.Body = 1e4 // a tiny model: the larger head eats the gain
	costly, err := NewSweep(context.Background(), list, nil, corpusOf(20), opts)
	if err != nil {
		t.Fatal(err)
	}
	if costly.Points[2].SpeedUp >= s.Points[2].SpeedUp {
		t.Errorf("the head costs nothing: %v and %v", costly.Points[2].SpeedUp, s.Points[2].SpeedUp)
	}
	if _, err := NewSweep(context.Background(), []Candidate{list[1], list[0]}, nil, corpusOf(2), opts); err == nil {
		t.Error("falling sizes were accepted")
	}
	for _, bad := range []SweepOptions{{Threads: 1}, {Threads: 1, Flat: 1}, {Threads: 1, Flat: .1, Hidden: -1}, {Threads: 1, Flat: .1, Body: 1}, {Flat: .1}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestFlattens(t *testing.T) {
	for _, tt := range []struct {
		gains []float64
		want  int
		why   string
	}{
		{[]float64{0, .2, .1, .04, .01}, 3, "both doublings behind the third gain less than 5 %"},
		{[]float64{0, .2, .04, .1, .01}, 4, "one that gains again counts"},
		{[]float64{0, .2, .1}, 0, "never"},
		{[]float64{0}, 0, "one point shows nothing"},
		{[]float64{0, .01}, 1, "from the first on"},
	} {
		var points []SweepPoint
		for i, g := range tt.gains {
			points = append(points, SweepPoint{Size: i + 1, Gain: g})
		}
		if got := flattens(points, .05); got != tt.want {
			t.Errorf("gains %v: flattens at %d, want %d: %s", tt.gains, got, tt.want, tt.why)
		}
	}
}

func TestPagesAreSelfContained(t *testing.T) {
	tok := train(t, 330, stream("<script>alert(1)</script> <script>alert(1)</script> \u202eкод \u202eкод"))
	s, err := Measure(context.Background(), tok, stream("<script>alert(1)</script>"), DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.Cuts = append(s.Cuts, Cut{"en", "hostile", "", Spans(tok, "<script>alert(1)</script>\u202e \x00")})
	d, err := Compare(context.Background(), tok, tok, nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	sweep, err := NewSweep(context.Background(), []Candidate{{"a", tok}}, nil, stream("код"), DefaultSweepOptions())
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Page{"stats": s.Page(`"><img src=x>`), "diff": d.Page("a<b", "c"), "sweep": sweep.Page("sizes")} {
		var b bytes.Buffer
		if err := p.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		for _, bad := range []string{"<script", "<img", "http://", "https://", "url(", "\u202e", "\x00", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		if !strings.Contains(page, "default-src 'none'") || !strings.Contains(page, "<svg") {
			t.Errorf("%s: no policy or no chart", name)
		}
	}
}

func TestJSONKeepsTheBreakdown(t *testing.T) {
	tok := trainPieces(t, tokenizer.Unigram, 350)
	s, err := Measure(context.Background(), tok, corpusOf(3), DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Languages []struct {
			Code      string
			Fertility struct {
				PerToken float64 `json:"characters_per_token"`
			}
		}
		Corpus struct{ Texts int }
	}
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if back.Corpus.Texts != 6 || back.Languages[0].Code != "ru" || back.Languages[0].Fertility.PerToken <= 0 {
		t.Errorf("%+v", back)
	}
	if s.Corpus.Broken != 0 {
		t.Errorf("%d texts decode otherwise: %+v", s.Corpus.Broken, s.Corpus.Examples)
	}
}
