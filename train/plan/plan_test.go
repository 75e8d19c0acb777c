package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"lep/internal/hint"
	"lep/model"
	"lep/train"
)

func config(t testing.TB, layers, d, f, heads, kv, vocab int, tied bool) *model.Config {
	t.Helper()
	cfg, err := model.ParseConfig([]byte(fmt.Sprintf(`{"model_type":"llama","architectures":["LlamaForCausalLM"],"num_hidden_layers":%d,"hidden_size":%d,"intermediate_size":%d,
		"num_attention_heads":%d,"num_key_value_heads":%d,"vocab_size":%d,"tie_word_embeddings":%t,"max_position_embeddings":131072,"rms_norm_eps":1e-5}`,
		layers, d, f, heads, kv, vocab, tied)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func llama8B(t testing.TB) *model.Config  { return config(t, 32, 4096, 14336, 32, 8, 128256, false) }
func llama70B(t testing.TB) *model.Config { return config(t, 80, 8192, 28672, 64, 8, 128256, false) }

// mpt is a gated model of the size of one of MosaicML's, whose MLP has the same number of weights.
func mpt(t testing.TB, layers, d, heads int) *model.Config {
	return config(t, layers, d, 8*d/3, heads, heads, 50368, true)
}

func options(t testing.TB, gpus string, set train.Set, rows, length int, recompute bool) Options {
	t.Helper()
	c, err := ParseCluster(gpus)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Train: train.DefaultOptions(), Cluster: c}
	o.Train.Train, o.Train.SequenceLen, o.Train.GradientCheckpointing = set, length, recompute
	o.Train.PerDeviceBatchSize, o.Train.Torch.Compile = rows*c.Ranks(), true
	return o
}

// TestPublishedSpeed holds tokens per second and GPU to what others measured. "Selective" checkpointing
// recomputes a small part; it counts as none here.
func TestPublishedSpeed(t *testing.T) {
	const torchtitan = "pytorch/torchtitan docs/performance.md"
	const mosaic = "mosaicml/llm-foundry scripts/train/benchmarking/README.md"
	for _, tt := range []struct {
		source, what string
		cfg          *model.Config
		gpus         string
		rows, length int
		recompute    bool
		compile      bool
		want         float64
	}{
		{torchtitan, "Llama 3.1 8B, selective, FSDP", llama8B(t), "8xH100", 2, 8192, false, false, 5762},
		{torchtitan, "Llama 3.1 8B, selective, FSDP, compiled", llama8B(t), "8xH100", 2, 8192, false, true, 6667},
		{torchtitan, "Llama 3 8B, selective", llama8B(t), "8xA100,nodes=8", 1, 8192, false, true, 2973},
		{torchtitan, "Llama 3 70B, full", llama70B(t), "8xA100,nodes=8", 1, 8192, true, true, 331},
		{torchtitan, "Llama 3.1 8B, selective, compiled, 128 GPUs", llama8B(t), "8xH100,nodes=16", 2, 8192, false, true, 6514},
		{torchtitan, "Llama 2 13B, none", config(t, 40, 5120, 13824, 40, 40, 32000, false), "8xA100,nodes=8", 2, 4096, false, true, 2162},
		{mosaic, "MPT 1b", mpt(t, 24, 2048, 16), "8xH100", 14, 2048, false, true, 45455},
		{mosaic, "MPT 7b", mpt(t, 32, 4096, 32), "8xH100", 6, 2048, false, true, 10643},
		{mosaic, "MPT 7b, full", mpt(t, 32, 4096, 32), "8xH100", 16, 4096, true, true, 8611},
		{mosaic, "MPT 13b", mpt(t, 40, 5120, 40), "8xH100", 2, 2048, false, true, 4792},
		{mosaic, "MPT 13b, full", mpt(t, 40, 5120, 40), "8xH100", 10, 4096, true, true, 4717},
		{mosaic, "MPT 30b, full", mpt(t, 48, 7168, 56), "8xH100", 3, 2048, true, true, 2002},
		{mosaic, "MPT 70b, full, 64 GPUs", mpt(t, 80, 8192, 64), "8xH100,nodes=8", 8, 2048, true, true, 1039},
		{mosaic, "MPT 1b", mpt(t, 24, 2048, 16), "8xA100", 14, 2048, false, true, 20513},
		{mosaic, "MPT 7b", mpt(t, 32, 4096, 32), "8xA100", 6, 2048, false, true, 4641},
		{mosaic, "MPT 7b, full", mpt(t, 32, 4096, 32), "8xA100", 16, 4096, true, true, 3684},
		{mosaic, "MPT 13b, full", mpt(t, 40, 5120, 40), "8xA100", 10, 4096, true, true, 2060},
		{mosaic, "MPT 30b, full", mpt(t, 48, 7168, 56), "8xA100", 3, 2048, true, true, 916},
		{mosaic, "MPT 70b, full, 64 GPUs", mpt(t, 80, 8192, 64), "8xA100,nodes=8", 8, 2048, true, true, 410},
	} {
		o := options(t, tt.gpus, train.All, tt.rows, tt.length, tt.recompute)
		o.Train.Torch.Compile = tt.compile
		p, err := Foresee(tt.cfg, o)
		if err != nil {
			t.Fatal(err)
		}
		off := p.PerGPU/tt.want - 1
		t.Logf("%-40s %-16s %6.0f tokens/s a GPU, measured %6.0f: %+.0f %%", tt.what, tt.gpus, p.PerGPU, tt.want, 100*off)
		if math.Abs(off) > 0.3 {
			t.Errorf("%s (%s, %s): %.0f tokens/s a GPU, measured %.0f", tt.what, tt.gpus, tt.source, p.PerGPU, tt.want)
		}
	}
}

// TestPublishedUtilisation holds the arithmetic itself to reports that give operations, not tokens.
func TestPublishedUtilisation(t *testing.T) {
	// The Llama 3 Herd of Models (arXiv 2407.21783), table 4: 405B on 8,192 H100, 430 TFLOPS a GPU, 43 % MFU.
	h100 := gpus[2]
	if mfu := 430e12 / h100.FLOPS; math.Abs(mfu-0.43) > 0.01 || math.Abs(mfu/h100.Efficiency-1) > 0.15 {
		t.Errorf("430 TFLOPS are %.3f of the peak, efficiency is %.2f; published: 0.43", mfu, h100.Efficiency)
	}
	// karpathy/llm.c discussion 677: GPT-2 1.5B, 32,000 steps of 1,048,576 tokens, 8 H100 in 24 hours, $672.
	gpt2 := config(t, 48, 1600, 4267, 25, 25, 50304, true)
	o := options(t, "8xH100", train.All, 16, 1024, false)
	o.Tokens, o.Price = 32000*1048576, 672./24/8
	p, err := Foresee(gpt2, o)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.Hours/24-1) > 0.3 || math.Abs(p.Cost/672-1) > 0.3 {
		t.Errorf("GPT-2 1.5B: %.1f hours and $%.0f, published 24 and $672", p.Hours, p.Cost)
	}
	// NeMo's performance summary: Llama-2 7B, packed to 4,096, tokens/s a GPU of LoRA 24,824, of all parameters 16,891.
	rate := func(set train.Set) float64 {
		p, err := Foresee(config(t, 32, 4096, 11008, 32, 32, 32000, false), options(t, "8xH100", set, 1, 4096, false))
		if err != nil {
			t.Fatal(err)
		}
		return p.PerGPU
	}
	if got, want := rate(train.LoRA)/rate(train.All), 24824./16891; math.Abs(got/want-1) > 0.1 {
		t.Errorf("LoRA is %.2f times as fast as all parameters, measured %.2f", got, want)
	}
}

// TestPublishedMemory holds the peak of a GPU to torchtitan's tables of 2024-12 for Llama 3.1 8B with all
// parameters trained; its loss holds all logits.
func TestPublishedMemory(t *testing.T) {
	const gib = 1 << 30
	foresee := func(gpus string, rows, length int, recompute bool) *Plan {
		t.Helper()
		o := options(t, gpus, train.All, rows, length, recompute)
		o.logits = math.Inf(1)
		p, err := Foresee(llama8B(t), o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	// Table 2: full checkpointing, 1 x 32,768 tokens: 83.9 GiB.
	p := foresee("8xH100", 1, 32768, true)
	off := float64(p.Total)/(83.9*gib) - 1
	t.Logf("full checkpointing: %.1f GiB, measured 83.9: %+.0f %%: %v", float64(p.Total)/gib, 100*off, p.Memory)
	if math.Abs(off) > 0.15 {
		t.Errorf("full checkpointing: %.1f GiB, measured 83.9", float64(p.Total)/gib)
	}
	// Tables 1 and 3: selective checkpointing lies between none and full; 16 times the GPUs save 15.0 GiB.
	none, full := foresee("8xH100", 2, 8192, false), foresee("8xH100", 2, 8192, true)
	if float64(full.Total) > 77.0*gib || float64(none.Total) < 77.0*gib {
		t.Errorf("full %.1f GiB, none %.1f, measured between them 77.0", float64(full.Total)/gib, float64(none.Total)/gib)
	}
	many := foresee("8xH100,nodes=16", 2, 8192, false)
	if saved := float64(none.Total-many.Total) / gib; math.Abs(saved-15.0) > 1.5 {
		t.Errorf("128 GPUs in place of 8 save %.1f GiB, measured 15.0", saved)
	}
}

// TestMemoryBySet checks the parts that are plain arithmetic, on Llama 3 8B.
func TestMemoryBySet(t *testing.T) {
	for _, tt := range []struct {
		set                           train.Set
		saved                         []string
		gpus                          string
		weights, gradients, optimizer float64 // bytes of all GPUs together
	}{
		{train.All, nil, "8xH100", 4 * 8.030e9, 4 * 8.030e9, 8 * 8.030e9},
		{train.Embeddings, nil, "8xH100", 4*1.0507e9 + 2*6.9796e9, 4 * 1.0507e9, 8 * 1.0507e9},
		{train.NewRows, nil, "4xA100", 4*1.0507e9 + 2*6.9796e9, 4 * 1.0507e9, 8 * 1.0507e9},
		{train.LoRA, nil, "H100", 4*0.0419e9 + 2*8.030e9, 4 * 0.0419e9, 8 * 0.0419e9},
		{train.LoRA, []string{"embed_tokens", "lm_head"}, "H100", 4*1.0926e9 + 2*6.9796e9, 4 * 1.0926e9, 8 * 1.0926e9},
	} {
		o := options(t, tt.gpus, tt.set, 1, 1024, true)
		o.Train.ModulesToSave = tt.saved
		p, err := Foresee(llama8B(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(p.Parameters)/8.030e9-1) > 0.001 {
			t.Errorf("%s: %d parameters", tt.set, p.Parameters)
		}
		for i, want := range []float64{tt.weights, tt.gradients, tt.optimizer} {
			if got := float64(p.Memory[i].Bytes) * float64(o.Cluster.Ranks()); math.Abs(got/want-1) > 0.002 {
				t.Errorf("%s %v: %s %.4g bytes, want %.4g", tt.set, tt.saved, p.Memory[i].Name, got, want)
			}
		}
	}
}

func TestAdvice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		gpus   string
		set    train.Set
		rows   int
		length int
		fits   bool
		advice string
	}{
		{"the paper's donor", "8xH100", train.Embeddings, 2, 1024, true, ""},
		{"recompute", "8xH100", train.All, 2, 8192, false, "gradient_checkpointing: true"},
		{"fewer rows", "8xH100", train.Embeddings, 64, 4096, false, "per_device_batch_size: "},
		{"more GPUs", "2xH100", train.All, 1, 4096, false, "xH100"},
		{"less trained", "RTX4090", train.All, 1, 1024, false, "train: embeddings or lora"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Foresee(llama8B(t), options(t, tt.gpus, tt.set, tt.rows, tt.length, false))
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(p.Advice, "\n"); p.Fits != tt.fits || !strings.Contains(text, tt.advice) || tt.fits != (p.Err() == nil) {
				t.Errorf("fits %t (%.1f of %.1f GB), advice %q, error %v; want %t and %q", p.Fits, gb(p.Total), gb(p.Usable), text, p.Err(), tt.fits, tt.advice)
			}
			if err := p.Err(); err != nil && hint.Of(err) == "" {
				t.Errorf("%v: no advice", err)
			}
		})
	}
	o := options(t, "8xH100", train.Embeddings, 1, 1024, true)
	o.Train.PerDeviceBatchSize = 4
	if p, err := Foresee(llama8B(t), o); err != nil || !strings.Contains(strings.Join(p.Advice, ""), "it must be at least 8") {
		t.Errorf("4 rows for 8 GPUs: %+v, %v", p, err)
	}
}

// TestAdviceHolds follows the advice: what it names fits.
func TestAdviceHolds(t *testing.T) {
	o := options(t, "8xA100", train.All, 8, 4096, false)
	p, err := Foresee(llama8B(t), o)
	if err != nil || p.Fits {
		t.Fatalf("%+v, %v: want a plan that does not fit", p, err)
	}
	var rows, passes int
	if _, err := fmt.Sscanf(p.Advice[0], "per_device_batch_size: %d with gradient_accumulation_steps: %d", &rows, &passes); err != nil {
		rows, passes = o.Train.PerDeviceBatchSize, 1
	}
	o.Train.PerDeviceBatchSize, o.Train.GradientAccumulationSteps = rows, passes
	o.Train.GradientCheckpointing = strings.Contains(p.Advice[0], "gradient_checkpointing: true")
	if q, err := Foresee(llama8B(t), o); err != nil || !q.Fits {
		t.Errorf("%q does not fit either: %+v, %v", p.Advice[0], q, err)
	}
}

func TestParseCluster(t *testing.T) {
	for in, want := range map[string]string{
		"8xH100": "8xH100", "h100": "1xH100", "8xH100,nodes=2": "8xH100,nodes=2", "4x RTX 4090": "4xRTX4090", "4090": "1xRTX4090",
		"2xA100-80GB": "2xA100", "A100-40GB": "1xA100-40GB", "8xh200, nodes=16": "8xH200,nodes=16", "l40s": "1xL40S",
	} {
		if c, err := ParseCluster(in); err != nil || c.String() != want {
			t.Errorf("%q is %s, %v, want %s", in, c, err, want)
		}
	}
	for in, want := range map[string]string{
		"": `no GPU "" is known`, "8xV100": `no GPU "V100" is known, want one of A100`, "0xH100": "1 to 64 GPUs", "8xH100,nodes=0": "nodes=N", "8xH100,2": "nodes=N",
		"-1xH100": "1 to 64 GPUs", "8xH100,nodes=99999999999999999999": "nodes=N",
	} {
		if _, err := ParseCluster(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func FuzzParseCluster(f *testing.F) {
	for _, s := range []string{"8xH100,nodes=2", "H100", "x", "9999999999xA100", "8xH100,nodes=", "xx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCluster(s)
		if err != nil {
			return
		}
		if again, err := ParseCluster(c.String()); err != nil || again != c {
			t.Errorf("%q is %s, which is %s, %v", s, c, again, err)
		}
	})
}
