package model

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/internal/testmodel"
	"lep/linalg"
	"lep/tensor"
)

func tiny(t testing.TB, modelType string, opts Options, keys map[string]any) *Model {
	t.Helper()
	return fromTiny(t, testmodel.New(t, modelType, 1, tensor.F32, keys), opts)
}

func fromTiny(t testing.TB, src testmodel.Tiny, opts Options) *Model {
	t.Helper()
	cfg, err := ParseConfig(src.Config)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Threads == 0 {
		opts.Threads = 2
	}
	if opts.BLAS == nil {
		opts.BLAS = testBLAS(t, 1)
	}
	m, err := New(cfg, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// packedBatch has two rows with three documents, one of one token, and padding.
func packedBatch(vocab int) *Batch {
	b := &Batch{B: 2, T: 21, InputIDs: testmodel.IDs(3, 42, vocab)}
	for i := range b.InputIDs {
		doc := int32(0)
		switch t := i % b.T; {
		case i < b.T && t >= 12:
			doc = 2
		case i < b.T && t >= 11:
			doc = 1
		case i > b.T && t >= 17:
			doc = -1
		}
		b.DocIDs = append(b.DocIDs, doc)
	}
	return b
}

// withLoRA adds terms of rank 3 to all linears, with random A and B.
func withLoRA(m *Model) {
	for i, p := range m.Trained() {
		if strings.Contains(p.Name, ".lora_") {
			for j := range p.Data {
				p.Data[j] = float32(0.3 * math.Sin(float64(j*7+i)))
			}
		}
	}
}

func allLoRA(layers int) []LoRA {
	var terms []LoRA
	for l := range layers {
		for i := range numLinears {
			terms = append(terms, LoRA{Module: modulePath(l, i), Rank: 3, Scale: 0.7})
		}
	}
	return terms
}

// TestCentralDifferences compares every parameter's gradient with (L(p+h·g) - L(p-h·g))/2h
// along g = its own gradient, whose slope is |g|². Along its own gradient the slope is large
// against the rounding of a float32 loss (about 1e-6), so that h can be small: the limit of 1 %
// leaves room for curvature, and any wrong term of a formula is far beyond it.
func TestCentralDifferences(t *testing.T) {
	for _, tt := range []struct {
		name, modelType string
		opts            Options
		keys            map[string]any
	}{
		{"llama", "llama", Options{Trainable: TrainAll}, nil},
		{"llama biased, tied", "llama", Options{Trainable: TrainAll}, map[string]any{"attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}},
		{"mistral", "mistral", Options{Trainable: TrainAll}, nil},
		{"qwen2", "qwen2", Options{Trainable: TrainAll}, nil},
		{"qwen3", "qwen3", Options{Trainable: TrainAll, Recompute: true}, nil},
		{"gemma2", "gemma2", Options{Trainable: TrainAll}, nil},
		{"gemma3", "gemma3_text", Options{Trainable: TrainAll}, nil},
		{"gemma2 recomputed", "gemma2", Options{Trainable: TrainAll, Recompute: true}, nil},
		{"lora", "llama", Options{LoRA: allLoRA(2)}, nil},
		{"lora and all", "qwen2", Options{LoRA: allLoRA(2), Trainable: TrainAll}, nil},
		{"yarn", "llama", Options{Trainable: TrainAll}, map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tiny(t, tt.modelType, tt.opts, tt.keys)
			withLoRA(m)
			b := packedBatch(m.Config.VocabSize)
			scale := 1 / float64(b.Scored())
			if _, _, err := m.Backward(b, scale, nil); err != nil {
				t.Fatal(err)
			}
			for _, p := range m.Trained() {
				g := slices.Clone(p.Grad)
				square := 0.0
				for _, v := range g {
					square += float64(v) * float64(v)
				}
				if square == 0 {
					t.Errorf("gradient of %s is zero", p.Name)
					continue
				}
				h := 2e-3 / math.Sqrt(square)
				saved := slices.Clone(p.Data)
				loss := func(h float64) float64 {
					for i, v := range g {
						p.Data[i] = saved[i] + float32(h*float64(v))
					}
					sum, _, err := m.Score(b, nil)
					if err != nil {
						t.Fatal(err)
					}
					return sum * scale
				}
				slope := (loss(h) - loss(-h)) / (2 * h)
				copy(p.Data, saved)
				// 3e-7 is the rounding of the two losses.
				if math.Abs(slope-square) > 0.01*square+3e-7/h {
					t.Errorf("gradient of %s: slope %.6g, |g|² %.6g", p.Name, slope, square)
				}
			}
		})
	}
}

// TestWorkersDoNotChangeBits runs a step with one worker and with several.
func TestWorkersDoNotChangeBits(t *testing.T) {
	for _, modelType := range Architectures() {
		keys := map[string]any{"hidden_size": 64, "vocab_size": 160}
		var want []float32
		var wantSum float64
		for _, threads := range []int{1, 2, 8} {
			m := tiny(t, modelType, Options{Trainable: TrainAll, Threads: threads}, keys)
			b := &Batch{B: 3, T: 150, InputIDs: testmodel.IDs(5, 450, 160)}
			sum, _, err := m.Backward(b, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if threads == 1 {
				want, wantSum = slices.Clone(m.Gradients()), sum
				continue
			}
			if sum != wantSum || !slices.Equal(m.Gradients(), want) {
				t.Errorf("%s: %d workers give other bits than 1", modelType, threads)
			}
		}
	}
}

// TestStepsAllocateNothing holds the promise of a steady state: training, scoring, decoding.
func TestStepsAllocateNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the race detector's own allocations would be counted")
	}
	m := tiny(t, "llama", Options{Trainable: TrainAll, LoRA: allLoRA(2)}, nil)
	b := packedBatch(m.Config.VocabSize)
	c, err := m.NewCache(1, 200)
	if err != nil {
		t.Fatal(err)
	}
	spans := []Span{{0, []int32{4}}}
	logits := make([]float32, m.Config.VocabSize)
	for _, tt := range []struct {
		name string
		run  func() error
	}{
		{"Backward", func() error { _, _, err := m.Backward(b, 1, nil); return err }},
		{"Score", func() error { _, _, err := m.Score(b, nil); return err }},
		{"Extend", func() error {
			h, err := m.Extend(c, spans)
			m.Logits(logits, h)
			return err
		}},
	} {
		if err := tt.run(); err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(20, func() {
			if err := tt.run(); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0 {
			t.Errorf("%s allocates %g times a step", tt.name, allocs)
		}
	}
}

// TestFrozenParts compares the gradients of a part with those of training all: what is
// frozen may change nothing.
func TestFrozenParts(t *testing.T) {
	src := testmodel.New(t, "llama", 1, tensor.BF16, nil)
	all := fromTiny(t, src, Options{Trainable: TrainAll})
	b := packedBatch(all.Config.VocabSize)
	if _, _, err := all.Backward(b, 1, nil); err != nil {
		t.Fatal(err)
	}
	want := map[string][]float32{}
	for _, p := range all.Trained() {
		want[p.Name] = p.Grad
	}
	for _, tt := range []struct {
		name      string
		trainable func(string) bool
		params    int
	}{
		{"embeddings", TrainEmbeddings, 2},
		{"head", func(n string) bool { return n == LMHead }, 1},
		{"final norm", func(n string) bool { return n == Norm }, 1},
		{"layer 1", TrainLayers(1, 2), 9},
		{"layer 0 norms", func(n string) bool { return strings.HasPrefix(n, "model.layers.0") && strings.Contains(n, "norm") }, 2},
		{"k_proj", func(n string) bool { return strings.Contains(n, "k_proj") }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fromTiny(t, src, Options{Trainable: tt.trainable})
			if _, _, err := m.Backward(b, 1, nil); err != nil {
				t.Fatal(err)
			}
			if len(m.Trained()) != tt.params {
				t.Errorf("%d trained parameters, want %d", len(m.Trained()), tt.params)
			}
			for _, p := range m.Trained() {
				// 16-bit weights are multiplied in tiles, in another order than whole ones.
				near(t, p.Name, p.Grad, want[p.Name], gradLimit*maxAbs(want[p.Name]))
			}
		})
	}
}

// TestRopeScaling compares inverse frequencies with those of transformers 5
// (ROPE_INIT_FUNCTIONS; testdata/rope.py prints them).
func TestRopeScaling(t *testing.T) {
	for _, tt := range ropeGoldens {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseConfig(testmodel.New(t, "llama", 1, tensor.F32, map[string]any{"head_dim": 16, "max_position_embeddings": 128, "rope_scaling": tt.scaling}).Config)
			if err != nil {
				t.Fatal(err)
			}
			inv, attention, err := c.inverseFrequencies(tt.seqLen)
			if err != nil {
				t.Fatal(err)
			}
			for i := range inv {
				if math.Abs(float64(inv[i])/tt.inv[i]-1) > 1e-6 {
					t.Errorf("frequency %d is %.9g, want %.9g", i, inv[i], tt.inv[i])
				}
			}
			if math.Abs(attention-tt.attention) > 1e-9 {
				t.Errorf("attention factor %.9g, want %.9g", attention, tt.attention)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys map[string]any
		want string
	}{
		{"architecture", map[string]any{"model_type": "gpt2"}, `config.json: model_type "gpt2" (architectures ["LlamaForCausalLM"]) is not one that the native engine runs (known: gemma2, gemma3_text, llama, mistral, qwen2, qwen3)`},
		{"rope type", map[string]any{"rope_scaling": map[string]any{"rope_type": "longrope", "factor": 2}}, `config.json: rope_scaling of type "longrope" is not known (known: default, linear, dynamic, yarn, llama3)`},
		{"rope factor", map[string]any{"rope_scaling": map[string]any{"rope_type": "linear"}}, `config.json: rope_scaling of type "linear": factor is 0, want at least 1`},
		{"llama3 bands", map[string]any{"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 2}}, "want all positive and high above low"},
		{"heads", map[string]any{"num_key_value_heads": 3}, "config.json: num_key_value_heads is 3, want a divisor of num_attention_heads 4"},
		{"odd head", map[string]any{"head_dim": 7}, "config.json: head_dim is 7, want an even number"},
		{"no layers", map[string]any{"num_hidden_layers": 0}, "config.json: num_hidden_layers is 0, want 1 to 4096"},
		{"huge", map[string]any{"vocab_size": 1 << 40}, "config.json: vocab_size is"},
		{"activation", map[string]any{"hidden_act": "relu"}, `config.json: hidden_act is "relu", want silu or gelu_pytorch_tanh`},
		{"layer types", map[string]any{"layer_types": []string{"full_attention"}}, "config.json: layer_types has 1 entries, want 2 (num_hidden_layers)"},
		{"type", map[string]any{"hidden_size": "32"}, "config.json: json: cannot unmarshal string into Go struct field Config.hidden_size"},
		{"partial", map[string]any{"partial_rotary_factor": 0.5}, "config.json: partial_rotary_factor is 0.5, want 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := testmodel.Config(t, "llama", tt.keys)
			_, err := ParseConfig(config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	src := testmodel.New(t, "llama", 1, tensor.F32, nil)
	cfg, err := ParseConfig(src.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(testmodel.Tensors)
		lora   []LoRA
		want   string
		hint   string
	}{
		{"missing", func(s testmodel.Tensors) { delete(s, Norm) }, nil, `tensor "model.norm.weight": not in the model`, ""},
		{"no head", func(s testmodel.Tensors) { delete(s, LMHead) }, nil, `config.json: tie_word_embeddings is false: tensor "lm_head.weight": not in the model`, "tie_word_embeddings"},
		{"shape", func(s testmodel.Tensors) {
			v := s[EmbedTokens]
			v.Shape = []int{24, 64}
			s[EmbedTokens] = v
		}, nil, `tensor "model.embed_tokens.weight": shape [24 64], want [48 32] (config.json vocab_size, hidden_size)`, "vocabulary"},
		{"dtype", func(s testmodel.Tensors) {
			v := s[Norm]
			v.DType = tensor.I32
			s[Norm] = v
		}, nil, `tensor "model.norm.weight": dtype I32, want F32, BF16, F16 or F64`, ""},
		{"lora module", nil, []LoRA{{Module: "model.layers.0.mlp.w1", Rank: 2}}, `lora: module "model.layers.0.mlp.w1" is not a linear of this model`, ""},
		{"lora rank", nil, []LoRA{{Module: "model.layers.0.mlp.up_proj", Rank: 0}}, `rank is 0, want 1 to 40`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := testmodel.Tensors{}
			for k, v := range src.Tensors {
				changed[k] = v
			}
			if tt.change != nil {
				tt.change(changed)
			}
			_, err := New(cfg, changed, Options{BLAS: testBLAS(t, 1), LoRA: tt.lora})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v\nwant %s", err, tt.want)
			}
			if !strings.Contains(hint.Of(err), tt.hint) {
				t.Errorf("hint %q, want one with %q", hint.Of(err), tt.hint)
			}
		})
	}
}

func TestBatchErrors(t *testing.T) {
	m := tiny(t, "llama", Options{Trainable: TrainAll}, nil)
	for _, tt := range []struct {
		name  string
		batch Batch
		want  string
	}{
		{"id", Batch{B: 1, T: 3, InputIDs: []int32{1, 2, 48}}, "input_ids: row 0, token 2: id is 48, want 0 to 47 (vocab_size 48)"},
		{"negative id", Batch{B: 1, T: 1, InputIDs: []int32{-1}}, "input_ids: row 0, token 0: id is -1"},
		{"label", Batch{B: 1, T: 2, InputIDs: []int32{1, 2}, Labels: []int32{-1, 3}}, "labels: row 0, token 0: id is -1, want 0 to 47"},
		{"size", Batch{B: 2, T: 2, InputIDs: []int32{1, 2}}, "batch of 2 x 2 tokens: 2 input_ids"},
		{"length", Batch{B: 1, T: 257, InputIDs: make([]int32, 257)}, "sequence of 257 tokens is longer than the model's context of 256"},
	} {
		if _, _, err := m.Backward(&tt.batch, 1, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v\nwant %s", tt.name, err, tt.want)
		}
	}
	if sum, n, err := m.Backward(&Batch{B: 1, T: 1, InputIDs: []int32{1}}, 1, nil); sum != 0 || n != 0 || err != nil {
		t.Errorf("one token: %g, %d, %v, want nothing scored and no error", sum, n, err)
	}
	c, err := m.NewCache(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		spans []Span
		want  string
	}{
		{[]Span{{0, make([]int32, 5)}}, "cache: slot 0 would hold 5 tokens, its capacity is 4"},
		{[]Span{{1, make([]int32, 1)}}, "cache: span 0: slot 1"},
		{[]Span{{0, nil}}, "cache: span 0: slot 0 with 0 tokens"},
		{[]Span{{0, []int32{1}}, {0, []int32{1}}}, "cache: slot 0 stands twice"},
		{[]Span{{0, []int32{99}}}, "id is 99"},
	} {
		if _, err := m.Extend(c, tt.spans); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v\nwant %s", tt.spans, err, tt.want)
		}
	}
	if _, err := m.NewCache(1, 257); err == nil {
		t.Error("a cache longer than the context is not refused")
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, a := range Architectures() {
		f.Add(testmodel.Config(f, a, nil))
	}
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"type":"yarn","factor":1e9}}`))
	f.Add([]byte(`{"model_type":"mistral","sliding_window":null,"eos_token_id":[1,2]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "config.json: ") {
				t.Errorf("error without its place: %v", err)
			}
			return
		}
		for l := range c.NumHiddenLayers {
			if w := c.Window(l); w < 0 {
				t.Errorf("window %d", w)
			}
		}
		if n := c.NumParameters(); n <= 0 {
			t.Errorf("%d parameters", n)
		}
		inv, _, err := c.inverseFrequencies(4096)
		if err != nil {
			t.Error(fmt.Errorf("a checked config fails later: %w", err))
		}
		for _, v := range inv {
			if v != v {
				t.Error("a frequency is NaN")
			}
		}
	})
}

// TestInt8 compares 8-bit weights with float32 weights of the same values, by batch and over a
// cache.
func TestInt8(t *testing.T) {
	src := testmodel.New(t, "qwen3", 1, tensor.BF16, map[string]any{"hidden_size": 72, "tie_word_embeddings": true})
	rounded := fromTiny(t, src, Options{Int8: true})
	for name, v := range src.Tensors {
		x := v.Float32()
		if len(v.Shape) == 2 {
			cols := v.Cols()
			q, scales := make([]int8, cols), make([]float32, int8Groups(cols))
			for r := range v.Rows() {
				row := x[r*cols : (r+1)*cols]
				linalg.QuantizeInt8(q, scales, row)
				for i := range row {
					row[i] = float32(q[i]) * scales[i/linalg.Int8Group]
				}
			}
		}
		v.DType, v.Data = tensor.F32, make([]byte, 4*len(x))
		tensor.Encode32(v.Data, x, tensor.F32)
		src.Tensors[name] = v
	}
	same := fromTiny(t, src, Options{})
	b := &Batch{B: 1, T: 20, InputIDs: testmodel.IDs(1, 20, 48)}
	logits := func(m *Model, h []float32) []float32 {
		out := make([]float32, len(h)/m.Config.HiddenSize*m.Config.VocabSize)
		m.Logits(out, h)
		return out
	}
	var all [2][]float32
	for i, m := range []*Model{same, rounded} {
		h, err := m.Hidden(b)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = logits(m, append([]float32(nil), h...))
	}
	near(t, "logits", all[1], all[0], hiddenLimit)
	c, err := rounded.NewCache(1, 20)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range b.InputIDs {
		h, err := rounded.Extend(c, []Span{{0, []int32{id}}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("logits of token %d over the cache", i), logits(rounded, h), all[1][i*48:(i+1)*48], hiddenLimit)
	}
}

// TestGoldenLoRA runs the adapter that PEFT trained, and its embeddings.
func TestGoldenLoRA(t *testing.T) {
	dir := golden.Shared(t, "reference", "models", "training", "lora-llama")
	adapter := testmodel.Read(t, filepath.Join(dir, "adapter_final"))
	var terms []LoRA
	for l := range 3 {
		for i := range numLinears {
			terms = append(terms, LoRA{Module: modulePath(l, i), Rank: 8, Scale: 16.0 / 8})
		}
	}
	m := loadGolden(t, "llama-gqa-f32", "config.json", Options{LoRA: terms, Trainable: TrainEmbeddings})
	for _, p := range m.Trained() {
		copy(p.Data, adapter.Float32(t, "base_model.model."+p.Name))
	}
	f := testmodel.Read(t, filepath.Join(dir, "merged.safetensors"))
	shape := f["input_ids"].Shape
	h, err := m.Hidden(&Batch{B: shape[0], T: shape[1], InputIDs: f.Int32(t, "input_ids")})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, shape[0]*shape[1]*m.Config.VocabSize)
	m.Logits(got, h)
	near(t, "adapter_logits", got, f.Float32(t, "adapter_logits"), hiddenLimit)
}

// TestEstimate compares what is foretold with what a step allocates.
func TestEstimate(t *testing.T) {
	for _, recompute := range []bool{false, true} {
		opts := Options{Trainable: TrainEmbeddings, LoRA: allLoRA(2), Recompute: recompute, Threads: 2}
		m := tiny(t, "qwen3", opts, nil)
		want, err := Estimate(m.Config, opts, 2, 40)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Backward(&Batch{B: 2, T: 40, InputIDs: testmodel.IDs(1, 80, 48)}, 1, nil); err != nil {
			t.Fatal(err)
		}
		if got := int64(4 * (len(m.work.arena) + len(m.work.logits))); got != want.Activations {
			t.Errorf("recompute %v: activations take %d bytes, foretold %d", recompute, got, want.Activations)
		}
		if got := int64(4 * len(m.Gradients())); got != want.Gradients || want.Trained != got {
			t.Errorf("gradients take %d bytes, foretold %d (parameters %d)", got, want.Gradients, want.Trained)
		}
		if all := want.Frozen/2 + want.Trained/4; all != m.Config.NumParameters()+sumLoRA(m) {
			t.Errorf("%d parameters foretold, want %d", all, m.Config.NumParameters()+sumLoRA(m))
		}
	}
}

func sumLoRA(m *Model) (n int64) {
	for _, p := range m.Trained() {
		if strings.Contains(p.Name, ".lora_") {
			n += int64(len(p.Data))
		}
	}
	return n
}

// TestTouchedRows: marks are those of the rows with a gradient, and clearing leaves none.
func TestTouchedRows(t *testing.T) {
	m := tiny(t, "llama", Options{Trainable: TrainEmbeddings, Threads: 2}, map[string]any{"tie_word_embeddings": false})
	if _, _, err := m.Backward(&Batch{B: 1, T: 8, InputIDs: []int32{5, 9, 9, 30, 2, 5, 1, 7}}, 1, nil); err != nil {
		t.Fatal(err)
	}
	p := m.Trained()[0]
	if p.Name != EmbedTokens || m.Trained()[1].Touched != nil {
		t.Fatalf("parameters %q and %q", p.Name, m.Trained()[1].Name)
	}
	cols := p.Shape[1]
	for r, touched := range p.Touched {
		// The last token predicts nothing, so that its row has a mark but no gradient.
		if got := maxAbs(p.Grad[r*cols:(r+1)*cols]) > 0; got && !touched || touched != slices.Contains([]int{1, 2, 5, 7, 9, 30}, r) {
			t.Errorf("row %d: marked %v, has a gradient %v", r, touched, got)
		}
	}
	m.ZeroGradients()
	if maxAbs(m.Gradients()) != 0 || slices.Contains(p.Touched, true) {
		t.Error("something is left of the gradients or the marks")
	}
}
