package export

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/gguf"
	"lep/internal/golden"
	"lep/internal/hint"
	"lep/internal/pocket"
	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
	"lep/tokenizer"
)

// family is the bundled models, unpacked once.
var family *pocket.Family

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "export")
	if err != nil {
		panic(err)
	}
	if family, err = pocket.Unpack(context.Background(), dir); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// folder makes a tiny model with the pocket base's tokenizer.
func folder(t *testing.T, modelType string, dtype tensor.DType, keys map[string]any) string {
	t.Helper()
	all := map[string]any{"vocab_size": 3088, "eos_token_id": []int{3075, 3074}, "bos_token_id": 3072}
	for k, v := range keys {
		all[k] = v
	}
	dir := testmodel.New(t, modelType, 1, dtype, all).Folder(t)
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		copyFile(t, filepath.Join(family.Instruct, name), filepath.Join(dir, name))
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run exports a folder and opens what was written.
func run(t *testing.T, opts Options) (*Result, *gguf.File) {
	t.Helper()
	opts.Out = filepath.Join(t.TempDir(), "m.gguf")
	if opts.Type == "" {
		opts.Type = "auto"
	}
	r, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(opts.Out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return r, f
}

func data(t *testing.T, f *gguf.File, name string) (gguf.Tensor, []byte) {
	t.Helper()
	i := slices.IndexFunc(f.Tensors, func(t gguf.Tensor) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("no tensor %q", name)
	}
	b, err := io.ReadAll(f.Data(f.Tensors[i]))
	if err != nil {
		t.Fatal(err)
	}
	return f.Tensors[i], b
}

// TestRowsOfAHead turns a head of q by RoPE in both orders of rows: llama.cpp's, which turns neighbours,
// must give what transformers' gives, which turns halves.
func TestRowsOfAHead(t *testing.T) {
	dir := folder(t, "llama", tensor.F32, map[string]any{"attention_bias": true})
	_, f := run(t, Options{Model: dir})
	source := testmodel.Read(t, filepath.Join(dir, "model.safetensors"))
	const hd, heads = 8, 4
	for _, suffix := range []string{"weight", "bias"} {
		want := source["model.layers.1.self_attn.q_proj."+suffix]
		_, b := data(t, f, "blk.1.attn_q."+suffix)
		cols := len(want.Data) / 4 / (hd * heads)
		got, from := make([]float32, hd*heads*cols), want.Float32()
		tensor.Decode32(got, b, tensor.F32)
		for r := range hd * heads {
			// Row r of transformers is half r%hd/4 of pair r%4: that is row 2·pair+half of ggml.
			to := r/hd*hd + 2*(r%(hd/2)) + r%hd/(hd/2)
			if !slices.Equal(got[to*cols:(to+1)*cols], from[r*cols:(r+1)*cols]) {
				t.Fatalf("%s: row %d is not row %d of the export", suffix, r, to)
			}
		}
	}
}

// TestNorms adds 1 to Gemma's norms, and to no others.
func TestNorms(t *testing.T) {
	for modelType, add := range map[string]float32{"gemma2": 1, "qwen3": 0} {
		keys := map[string]any{"query_pre_attn_scalar": 8, "use_sliding_window": false}
		dir := folder(t, modelType, tensor.BF16, keys)
		_, f := run(t, Options{Model: dir})
		want := testmodel.Read(t, filepath.Join(dir, "model.safetensors"))["model.norm.weight"].Float32()
		typ, b := data(t, f, "output_norm.weight")
		got := make([]float32, len(want))
		tensor.Decode32(got, b, tensor.F32)
		for i := range want {
			if typ.Type != gguf.F32 || got[i] != want[i]+add {
				t.Fatalf("%s: norm %d is %g (%v), want %g", modelType, i, got[i], typ.Type, want[i]+add)
			}
		}
	}
}

// TestStreamed exports with one thread and many and in every type: the same bytes.
func TestStreamed(t *testing.T) {
	dir := folder(t, "llama", tensor.BF16, map[string]any{"hidden_size": 64})
	for _, typ := range []string{"auto", "f32", "f16", "q8_0"} {
		var first []byte
		for _, threads := range []int{1, 7} {
			out := filepath.Join(t.TempDir(), "m.gguf")
			if _, err := Run(t.Context(), Options{Model: dir, Out: out, Type: typ, Threads: threads}); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if first != nil && !slices.Equal(b, first) {
				t.Errorf("%s: %d threads write other bytes than 1", typ, threads)
			}
			first = b
		}
	}
}

func TestFields(t *testing.T) {
	rope := map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
	dir := folder(t, "llama", tensor.BF16, map[string]any{"rope_scaling": rope})
	r, f := run(t, Options{Model: dir})
	if r.Architecture != "llama" || r.Type != "bf16" || r.Tokens != 3080 || r.PaddingRows != 8 || r.Pre != "dbrx" {
		t.Errorf("result %+v", r)
	}
	for key, want := range map[string]any{
		"llama.block_count": uint32(2), "llama.attention.head_count_kv": uint32(2), "llama.rope.dimension_count": uint32(8),
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.bos_token_id": uint32(3072), "tokenizer.ggml.eos_token_id": uint32(3075),
		"tokenizer.ggml.eot_token_id": uint32(3074), "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": false, "general.file_type": uint32(32),
	} {
		if got := f.Field(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if !strings.Contains(f.Text("tokenizer.chat_template"), "<|im_start|>") {
		t.Error("no chat template")
	}
	types := f.Field("tokenizer.ggml.token_type").([]int32)
	tokens := f.Field("tokenizer.ggml.tokens").([]string)
	for id, want := range map[int]int32{0: typeNormal, 3072: typeControl, 3080: typeUnused, 3087: typeUnused} {
		if types[id] != want {
			t.Errorf("token %d %q has type %d, want %d", id, tokens[id], types[id], want)
		}
	}
	_, b := data(t, f, "rope_freqs.weight")
	factors := make([]float32, 4)
	tensor.Decode32(factors, b, tensor.F32)
	if factors[0] != 1 || math.Abs(float64(factors[3])-8) > 1e-6 {
		t.Errorf("rope_freqs %v, want 1 for the shortest wave and 8 for the longest", factors)
	}
}

// TestSentencePiece reads a folder whose tokenizer.json and tokenizer.model say the same: the scores that
// are made from the merges of the one must cut a text as those of the other do.
func TestSentencePiece(t *testing.T) {
	dir := golden.Unpack(t, golden.Shared(t, "reference", "tokenizers", "models", "mistral-v0.1"))
	tok, err := tokenizer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := &exporter{w: gguf.NewWriter("llama"), tok: tok, cfg: &model.Config{VocabSize: 32064}}
	v, err := e.sentencePiece(tok.Definition())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.fill(v); err != nil {
		t.Fatal(err)
	}
	original, err := tokenizer.OpenDefinition(filepath.Join(dir, "tokenizer.model"))
	if err != nil {
		t.Fatal(err)
	}
	if v.model != "llama" || !*v.prefix || len(v.tokens) != 32064 || len(v.scores) != 32064 || e.out.PaddingRows != 64 {
		t.Errorf("model %s, prefix %v, %d tokens, %d scores, %d padding rows", v.model, *v.prefix, len(v.tokens), len(v.scores), e.out.PaddingRows)
	}
	for i, p := range original.Model.Pieces {
		if v.tokens[i] != p.Text || v.types[i] != kinds[p.Kind] {
			t.Fatalf("token %d is %q of type %d, tokenizer.model has %q of kind %d", i, v.tokens[i], v.types[i], p.Text, p.Kind)
		}
		original.Model.Pieces[i].Score = float64(v.scores[i])
	}
	scored, err := tokenizer.New(original)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Hello,  world!\n\tdef f(x): return x**2", "Съешь же ещё этих мягких французских булок", "日本語 👩 1234567        x"} {
		if got, want := scored.Encode(text), tok.Encode(text); !slices.Equal(got, want) {
			t.Errorf("%q is cut by the scores into %v, by tokenizer.json into %v", text, got, want)
		}
	}
}

func TestPreTokenizer(t *testing.T) {
	split := func(pattern string) string {
		p, _ := json.Marshal(pattern)
		return `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":` + string(p) + `},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`
	}
	for _, tt := range []struct {
		name, pre    string
		ignoreMerges bool
		unreached    bool // a token that merges do not reach
		want, err    string
	}{
		{"llama 3", split(tokenizer.PatternLlama3), true, true, "llama-bpe", ""},
		{"llama 3's pattern, merged", split(tokenizer.PatternLlama3), false, true, "dbrx", ""},
		{"qwen2", split(tokenizer.PatternQwen2), false, false, "qwen2", ""},
		{"qwen2, whole words, all reached", split(tokenizer.PatternQwen2), true, false, "qwen2", ""},
		{"qwen2, whole words, one not reached", split(tokenizer.PatternQwen2), true, true, "", `do not reach "abc"`},
		{"gpt-4o", split(tokenizer.PatternO200k), false, false, "gpt-4o", ""},
		{"tekken", split(patternTekken), true, false, "tekken", ""},
		{"gpt-2", `{"type":"ByteLevel","add_prefix_space":false}`, false, false, "gpt-2", ""},
		{"digits apart", `{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]}`, false, false, "smollm", ""},
		{"an unknown pattern", split(`\w+`), false, false, "", `no name for the patterns ["\\w+"]`},
		{"a blank in front", `{"type":"ByteLevel","add_prefix_space":true}`, false, false, "", "add_prefix_space"},
		{"a stage of another kind", `{"type":"Whitespace"}`, false, false, "", "no stage Whitespace"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &tokenizer.Definition{PreTokenizer: json.RawMessage(tt.pre)}
			d.Model = tokenizer.Model{Type: tokenizer.BPE, IgnoreMerges: tt.ignoreMerges, UnkID: -1,
				Pieces: []tokenizer.Piece{{ID: 0, Text: "a"}, {ID: 1, Text: "b"}, {ID: 2, Text: "ab"}}, Merges: []tokenizer.Merge{{Left: 0, Right: 1, Product: 2}}}
			if tt.unreached {
				d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: 3, Text: "c"}, tokenizer.Piece{ID: 4, Text: "abc"})
			}
			got, err := preTokenizer(d)
			if got != tt.want || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
				t.Errorf("%q, %v, want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	infinite := func(dir string) {
		m := testmodel.Read(t, filepath.Join(dir, "model.safetensors"))
		v := m["model.layers.0.mlp.up_proj.weight"]
		tensor.Encode32(v.Data[4*(32*2+5):], []float32{float32(math.Inf(1))}, v.DType)
		m.Write(t, filepath.Join(dir, "model.safetensors"))
	}
	large := func(dir string) {
		m := testmodel.Read(t, filepath.Join(dir, "model.safetensors"))
		tensor.Encode32(m["lm_head.weight"].Data, []float32{1e6}, tensor.F32)
		m.Write(t, filepath.Join(dir, "model.safetensors"))
	}
	for _, tt := range []struct {
		name, modelType, typ string
		keys                 map[string]any
		change               func(dir string)
		want, hint           string
	}{
		{"infinite weights", "llama", "auto", nil, infinite, `"model.layers.0.mlp.up_proj.weight": row 2, column 5 is +Inf`, ""},
		{"too large for f16", "llama", "f16", nil, large, "beyond what f16 holds", "bf16"},
		{"a tokenizer larger than the embeddings", "llama", "auto", map[string]any{"vocab_size": 3000, "eos_token_id": 2}, nil, "3080 tokens, the embeddings have 3000 rows", "lep embed"},
		{"gemma's scale", "gemma2", "auto", nil, nil, "query_pre_attn_scalar is 16, llama.cpp takes 8", ""},
		{"windows elsewhere", "gemma2", "auto", map[string]any{"query_pre_attn_scalar": 8, "layer_types": []string{"full_attention", "sliding_attention"}}, nil, "layer 0 has a sliding window: false", ""},
		{"heads apart from the width", "qwen2", "auto", map[string]any{"head_dim": 16}, nil, "num_attention_heads x head_dim is 64", ""},
		{"no tokenizer", "llama", "auto", nil, func(dir string) { os.Remove(filepath.Join(dir, "tokenizer.json")) }, "no tokenizer in the folder", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.modelType, tensor.F32, tt.keys)
			if tt.change != nil {
				tt.change(dir)
			}
			out := filepath.Join(t.TempDir(), "m.gguf")
			_, err := Run(t.Context(), Options{Model: dir, Out: out, Type: tt.typ})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.hint) {
				t.Errorf("error %v (hint %q), want %q", err, hint.Of(err), tt.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(out)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestUnigramNeedsTheFlag(t *testing.T) {
	opts := Options{Model: family.Donors["unigram"], Out: filepath.Join(t.TempDir(), "m.gguf"), Type: "auto"}
	if _, err := Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "without byte fallback") || !strings.Contains(hint.Of(err), "--allow-unigram") {
		t.Errorf("error %v", err)
	}
	opts.AllowUnigram = true
	r, f := run(t, opts)
	if r.Tokenizer != "t5" || len(f.Field("tokenizer.ggml.scores").([]float32)) != 4104 {
		t.Errorf("result %+v", r)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "m.gguf")
	if _, err := Run(ctx, Options{Model: folder(t, "llama", tensor.F32, nil), Out: out, Type: "auto"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file is left")
	}
}
