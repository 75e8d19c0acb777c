package infer

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/golden"
	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
)

func testOptions() Options {
	o := DefaultOptions()
	o.BLAS, o.Threads = "builtin", 2
	return o
}

func openTest(t testing.TB, dir string, change func(*Options)) *Engine {
	t.Helper()
	o := testOptions()
	if change != nil {
		change(&o)
	}
	e, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func stories(t testing.TB, change func(*Options)) *Engine {
	return openTest(t, golden.Shared(t, "reference", "models", "checkpoints", "stories260K"), change)
}

type storiesGolden struct {
	Text     string  `json:"text"`
	IDs      []int32 `json:"ids"`
	MeanNLL  float64 `json:"mean_nll"`
	Generate []struct {
		Prompt string         `json:"prompt"`
		IDs    []int32        `json:"prompt_ids"`
		NewIDs []int32        `json:"new_ids"`
		Text   string         `json:"text"`
		EOS    model.TokenIDs `json:"eos_token_id"`
	} `json:"generate"`
}

func readStories(t testing.TB) storiesGolden {
	t.Helper()
	var g storiesGolden
	if err := json.Unmarshal(golden.Read(t, golden.Shared(t, "reference", "models", "goldens", "stories260K", "golden.json")), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGoldenStories runs all prompts at once, in fewer slots than prompts, by text and by ids.
func TestGoldenStories(t *testing.T) {
	g := readStories(t)
	for _, slots := range []int{1, 3, 8} {
		e := stories(t, func(o *Options) { o.Slots = slots; o.BatchTokens = 16 })
		var reqs []Request
		var want [][]int32
		for _, r := range g.Generate {
			byText := Request{Text: r.Prompt, AddSpecial: true, MaxNewTokens: len(r.NewIDs), IgnoreEOS: r.EOS == nil}
			byIDs := Request{IDs: r.IDs, MaxNewTokens: len(r.NewIDs), IgnoreEOS: r.EOS == nil}
			if r.EOS != nil {
				byText.MaxNewTokens, byIDs.MaxNewTokens = 300, 300
			}
			reqs, want = append(reqs, byText, byIDs), append(want, r.NewIDs, r.NewIDs)
		}
		got, err := e.Generate(context.Background(), reqs)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			if !slices.Equal(r.IDs, want[i]) {
				t.Errorf("%d slots, request %d: other ids from place %d on", slots, i, commonPrefix(r.IDs, want[i]))
			}
			if text := g.Generate[i/2].Text; !strings.HasSuffix(text, r.Text) || r.Text == "" {
				t.Errorf("%d slots, request %d: text %q is not the end of %q", slots, i, r.Text, text)
			}
			if finish := map[bool]string{true: FinishLength, false: FinishStop}[g.Generate[i/2].EOS == nil]; r.Finish != finish {
				t.Errorf("request %d finished by %q, want %q", i, r.Finish, finish)
			}
		}
	}
}

// TestConcurrentGenerate calls from several goroutines at once, some of which give up: the
// others' tokens must be those of a run alone.
func TestConcurrentGenerate(t *testing.T) {
	g := readStories(t)
	e := stories(t, func(o *Options) { o.Slots = 3 })
	var wg sync.WaitGroup
	for round := range 3 {
		for i, r := range g.Generate {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				count, quits := 0, (i+round)%4 == 0
				got, err := e.Generate(ctx, []Request{{IDs: r.IDs, MaxNewTokens: 40, IgnoreEOS: true, OnToken: func(Token) error {
					if count++; quits && count == 5 {
						cancel()
					}
					return nil
				}}})
				if quits {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled call returns %v", err)
					}
					return
				}
				if err != nil {
					t.Error(err)
				} else if !slices.Equal(got[0].IDs, r.NewIDs[:40]) {
					t.Errorf("prompt %d: other ids from place %d on", i, commonPrefix(got[0].IDs, r.NewIDs))
				}
			})
		}
	}
	wg.Wait()
	if len(e.waiting)+len(e.active) > 0 {
		t.Errorf("%d sequences wait and %d are active after all calls have returned", len(e.waiting), len(e.active))
	}
}

func TestStopStrings(t *testing.T) {
	e := stories(t, nil)
	whole, err := e.Generate(context.Background(), []Request{{Text: "Once upon a time", AddSpecial: true, MaxNewTokens: 60}})
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range [][]string{{"little girl"}, {"girl named", "named L"}, {"never comes"}, {" girl nameless"}} {
		want, finish := whole[0].Text, FinishLength
		for _, s := range stop {
			if i := strings.Index(whole[0].Text, s); i >= 0 && i < len(want) {
				want, finish = whole[0].Text[:i], FinishStop
			}
		}
		var streamed strings.Builder
		ids := 0
		got, err := e.Generate(context.Background(), []Request{{Text: "Once upon a time", AddSpecial: true, MaxNewTokens: 60, Stop: stop,
			OnToken: func(tok Token) error {
				streamed.WriteString(tok.Text)
				if tok.ID >= 0 {
					ids++
				}
				return nil
			}}})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Text != want || got[0].Finish != finish {
			t.Errorf("stop %q: %q (%s), want %q (%s)", stop, got[0].Text, got[0].Finish, want, finish)
		}
		if streamed.String() != want || ids != len(got[0].IDs) {
			t.Errorf("stop %q: streamed %q in %d tokens, want %q in %d", stop, streamed.String(), ids, want, len(got[0].IDs))
		}
	}
}

func TestSeeds(t *testing.T) {
	e := stories(t, nil)
	run := func(seed uint64) []int32 {
		r := Request{Text: "The", AddSpecial: true, MaxNewTokens: 30, Seed: seed, LogProbs: true}
		r.Sampling.Temperature = 1
		got, err := e.Generate(context.Background(), []Request{r})
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0].LogProbs) != len(got[0].IDs) {
			t.Errorf("%d log-probabilities of %d ids", len(got[0].LogProbs), len(got[0].IDs))
		}
		return got[0].IDs
	}
	if a, b := run(1), run(1); !slices.Equal(a, b) {
		t.Errorf("seed 1 gives %v and then %v", a, b)
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("seeds 1 and 2 give the same tokens")
	}
}

func TestGoldenScore(t *testing.T) {
	g := readStories(t)
	e := stories(t, nil)
	scores, err := e.Score(context.Background(), []Sequence{{IDs: g.IDs}, {Text: g.Text}, {Text: ""}, {IDs: g.IDs[:1]}})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range scores[:2] {
		// 5e-6 is the README's limit for losses.
		if s.Tokens != len(g.IDs)-1 || math.Abs(s.NLL/float64(s.Tokens)-g.MeanNLL) > 5e-6 {
			t.Errorf("sequence %d: %.8f over %d tokens, want %.8f over %d", i, s.NLL/float64(s.Tokens), s.Tokens, g.MeanNLL, len(g.IDs)-1)
		}
		if s.Bytes != len(g.Text) {
			t.Errorf("sequence %d: %d bytes, want %d", i, s.Bytes, len(g.Text))
		}
	}
	for i, s := range scores[2:] {
		if s.Tokens != 0 || s.NLL != 0 {
			t.Errorf("nothing to score in sequence %d: %+v", i+2, s)
		}
	}
}

// TestScoreWindows compares windows with their definition: each token behind the first
// window is scored in a pass of its own that begins half a window's steps in.
func TestScoreWindows(t *testing.T) {
	g := readStories(t)
	const window = 64
	e := stories(t, func(o *Options) { o.Window = window })
	scores, err := e.Score(context.Background(), []Sequence{{IDs: g.IDs}})
	if err != nil {
		t.Fatal(err)
	}
	plain := stories(t, nil)
	for at := 1; at < len(g.IDs); at++ {
		start := 0
		for start+window <= at {
			start += window / 2
		}
		want, err := plain.Score(context.Background(), []Sequence{{IDs: g.IDs[start : at+1], From: at - start}})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(scores[0].Each[at-1]-want[0].NLL) > 1e-4 {
			t.Fatalf("token %d: %.6f, want %.6f (from %d)", at, scores[0].Each[at-1], want[0].NLL, start)
		}
	}
}

// TestScoreShared scores continuations of one beginning, which must not change what a
// sequence alone scores.
func TestScoreShared(t *testing.T) {
	g := readStories(t)
	e := stories(t, func(o *Options) { o.BatchTokens = 11 })
	var list []Sequence
	for i := range 6 {
		ids := append(slices.Clone(g.IDs[:40]), g.IDs[60+10*i:60+10*i+3+i]...)
		list = append(list, Sequence{IDs: ids, From: 40}, Sequence{IDs: ids, From: 30 + i})
	}
	pieces, ids := []piece(nil), make([][]int32, len(list))
	for i, s := range list {
		ids[i] = s.IDs
		pieces = e.cut(pieces, i, len(s.IDs), s.From)
	}
	if e.sharing(pieces, ids) == nil {
		t.Fatal("most tokens are shared, but sharing says no")
	}
	got, err := e.Score(context.Background(), list)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range list {
		want, err := e.Score(context.Background(), []Sequence{s})
		if err != nil {
			t.Fatal(err)
		}
		if got[i].Tokens != want[0].Tokens || len(got[i].Each) != want[0].Tokens {
			t.Errorf("sequence %d: %d tokens, want %d", i, got[i].Tokens, want[0].Tokens)
		}
		for j, v := range want[0].Each {
			if math.Abs(got[i].Each[j]-v) > 1e-4 {
				t.Errorf("sequence %d, token %d: %.6f, want %.6f", i, j, got[i].Each[j], v)
			}
		}
	}
}

// TestNextLogProbs must agree with Score, whatever the order of the prompts and however many are
// read together.
func TestNextLogProbs(t *testing.T) {
	g := readStories(t)
	var prompts, candidates [][]int32
	for _, n := range []int{30, 12, 31, 30, 1, 40} {
		prompts, candidates = append(prompts, g.IDs[:n]), append(candidates, []int32{g.IDs[n], 400, g.IDs[n]})
	}
	// Two that part in the middle, and one that has nothing in common with the others.
	prompts = append(prompts, slices.Concat(g.IDs[:20], g.IDs[50:60]), slices.Concat(g.IDs[:20], g.IDs[70:90]), g.IDs[90:120])
	for range 3 {
		candidates = append(candidates, []int32{7, 8})
	}
	plain := stories(t, func(o *Options) {})
	for _, o := range []struct{ slots, batch int }{{1, 7}, {2, 7}, {4, 64}, {8, 2048}} {
		e := stories(t, func(to *Options) { to.Slots, to.BatchTokens = o.slots, o.batch })
		told := make([]int, len(prompts))
		got, err := e.NextLogProbs(context.Background(), prompts, candidates, func(i int, logProbs []float64) error {
			told[i] += len(logProbs)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range prompts {
			if told[i] != len(candidates[i]) {
				t.Errorf("%+v: prompt %d: told of %d candidates, want %d once", o, i, told[i], len(candidates[i]))
			}
			for j, c := range candidates[i] {
				want, err := plain.Score(context.Background(), []Sequence{{IDs: append(slices.Clone(p), c), From: len(p)}})
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(got[i][j]+want[0].NLL) > 1e-4 {
					t.Errorf("%+v: prompt %d, candidate %d: %.6f, want %.6f", o, i, c, got[i][j], -want[0].NLL)
				}
			}
		}
	}
	stop := errors.New("enough")
	if _, err := plain.NextLogProbs(context.Background(), prompts, candidates, func(int, []float64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
}

// TestOnResult is told of short answers before long ones end.
func TestOnResult(t *testing.T) {
	e := stories(t, func(o *Options) { o.Slots = 2 })
	var order []int
	request := func(n int) Request {
		return Request{IDs: []int32{1}, MaxNewTokens: n, IgnoreEOS: true, OnResult: func(r Result) error {
			order = append(order, len(r.IDs))
			return nil
		}}
	}
	if _, err := e.Generate(context.Background(), []Request{request(20), request(3), request(0)}); err != nil || !slices.Equal(order, []int{0, 3, 20}) {
		t.Errorf("told of answers of %v tokens, %v; want 0, 3, 20", order, err)
	}
}

func TestWithoutTokenizer(t *testing.T) {
	dir := testmodel.New(t, "llama", 1, tensor.BF16, nil).Folder(t)
	e := openTest(t, dir, nil)
	got, err := e.Generate(context.Background(), []Request{{IDs: []int32{5, 6}, MaxNewTokens: 4, IgnoreEOS: true}, {IDs: []int32{7}, MaxNewTokens: 0}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0].IDs) != 4 || got[0].Text != "" || len(got[1].IDs) != 0 {
		t.Errorf("got %+v", got)
	}
	for _, tt := range []struct {
		name string
		req  Request
		want string
	}{
		{"text", Request{Text: "a"}, "prompt 1: the model has no tokenizer"},
		{"stop", Request{IDs: []int32{1}, Stop: []string{"a"}}, "prompt 1: stop strings: the model has no tokenizer"},
		{"id", Request{IDs: []int32{1, 48}}, "prompt 1: token 1: id is 48, want 0 to 47 (vocab_size 48)"},
		{"empty", Request{IDs: []int32{}}, "prompt 1: no tokens"},
		{"long", Request{IDs: make([]int32, 256)}, "prompt 1: 256 tokens leave no room in the model's context of 256"},
	} {
		if _, err := e.Generate(context.Background(), []Request{tt.req}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := e.Score(context.Background(), []Sequence{{Text: "a"}}); err == nil || !strings.Contains(err.Error(), "text 1: the model has no tokenizer") {
		t.Errorf("Score: error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Generate(ctx, []Request{{IDs: []int32{1}, MaxNewTokens: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	stop := errors.New("enough")
	if _, err := e.Generate(context.Background(), []Request{{IDs: []int32{1}, MaxNewTokens: 5, OnToken: func(Token) error { return stop }}}); !errors.Is(err, stop) {
		t.Errorf("callback's error: %v", err)
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		text, stop string
		want       int
	}{{"ab", "bc", 1}, {"ab", "ab", 0}, {"aaa", "aab", 2}, {"", "x", 0}, {"xab", "abc", 2}} {
		if got := overlap(tt.text, tt.stop); got != tt.want {
			t.Errorf("overlap(%q, %q) = %d, want %d", tt.text, tt.stop, got, tt.want)
		}
	}
}

// TestPocketBitsPerByte compares with the pocket family's own figures. Those are of bf16
// autocast, hence the limit of 0.2 %.
func TestPocketBitsPerByte(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of scoring")
	}
	var want map[string]struct {
		Text map[string]struct{ BPB float64 }
	}
	if err := json.Unmarshal(golden.Read(t, golden.Shared(t, "reference", "pocket", "results.heldout.json")), &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"base", "instruct"} {
		e := openTest(t, golden.Shared(t, "reference", "pocket", "pocket-"+name), nil)
		for _, lang := range []string{"ru", "en"} {
			var list []Sequence
			doc := 0
			golden.Lines(t, golden.Shared(t, "corpus", lang+".heldout.jsonl.zst"), func(line []byte) {
				if doc++; doc%6 != 1 {
					return
				}
				var row struct{ Text string }
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				text := []rune(row.Text)
				for len(text) > 0 {
					n := min(480, len(text))
					list, text = append(list, Sequence{Text: string(text[:n])}), text[n:]
				}
			})
			scores, err := e.Score(context.Background(), list)
			if err != nil {
				t.Fatal(err)
			}
			nll, bytes := 0.0, 0
			for _, s := range scores {
				nll, bytes = nll+s.NLL, bytes+s.Bytes
			}
			if got, want := BitsPerByte(nll, bytes), want[name].Text[lang].BPB; math.Abs(got/want-1) > 0.002 {
				t.Errorf("%s, %s: %.5f bits per byte over %d bytes, want %.5f", name, lang, got, bytes, want)
			}
		}
	}
}

// TestGenerationConfig reads what published folders write, and refuses what cannot be meant.
func TestGenerationConfig(t *testing.T) {
	src := testmodel.New(t, "llama", 1, tensor.F32, nil) // config.json: bos 1, eos 2
	for _, tt := range []struct {
		name, file string
		want       Generation
		wrong      string
	}{
		{"none", "", Generation{EOS: []int32{2}, BOS: []int32{1}}, ""},
		{"list of eos wins", `{"eos_token_id": [3, 4]}`, Generation{EOS: []int32{3, 4}, BOS: []int32{1}}, ""},
		{"sampling without do_sample", `{"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}`,
			Generation{EOS: []int32{2}, BOS: []int32{1}, Sampling: model.Sampling{RepetitionPenalty: 1.1}}, ""},
		{"sampling", `{"do_sample": true, "temperature": 0.6, "top_p": 0.9}`,
			Generation{EOS: []int32{2}, BOS: []int32{1}, Sampling: model.Sampling{Temperature: 0.6, TopP: 0.9, TopK: 50}}, ""},
		{"nulls", `{"eos_token_id": null, "top_k": null}`, Generation{EOS: []int32{2}, BOS: []int32{1}}, ""},
		{"eos beyond the vocabulary", `{"eos_token_id": [2, 48]}`, Generation{}, "eos_token_id or bos_token_id is 48, want 0 to 47 (vocab_size 48)"},
		{"range", `{"do_sample": true, "top_p": 2}`, Generation{}, "generation_config.json: top_p is 2, want 0 to 1"},
		{"type", `{"temperature": "hot"}`, Generation{}, "generation_config.json:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := src.Folder(t)
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(tt.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			e, err := Open(dir, testOptions())
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if diff := cmp.Diff(tt.want, e.Generation()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Slots = 0 }, "slots is 0"}, {func(o *Options) { o.Window = 1 }, "window is 1"},
		{func(o *Options) { o.BatchTokens = 1 }, "batch_tokens is 1"}, {func(o *Options) { o.Threads = -1 }, "threads is -1"},
		{func(o *Options) { o.CacheBytes = 0 }, "cache_bytes is 0"}, {func(*Options) {}, ""},
	} {
		o := DefaultOptions()
		tt.change(&o)
		if err := o.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	e := openTest(t, testmodel.New(t, "llama", 1, tensor.F32, nil).Folder(t), func(o *Options) { o.CacheBytes = 1000 })
	if _, err := e.Generate(context.Background(), []Request{{IDs: []int32{1}, MaxNewTokens: 100}}); err == nil || !strings.Contains(err.Error(), "prompt 1: keys and values of 101 tokens take") {
		t.Errorf("a cache that does not fit: %v", err)
	}
}
