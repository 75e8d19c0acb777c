package train

import (
	"fmt"
	"testing"

	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
)

// BenchmarkStep is a step of the 16-million-parameter Llama that peers are measured on, with
// 2 rows instead of 8, and of a model of the size of the bundled family, by one thread and by two.
func BenchmarkStep(b *testing.B) {
	middle := map[string]any{"vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2,
		"head_dim": 64, "intermediate_size": 1024, "max_position_embeddings": 512}
	pocket := map[string]any{"vocab_size": 3080, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
		"head_dim": 32, "intermediate_size": 512, "max_position_embeddings": 512}
	for _, c := range []struct {
		name         string
		config       map[string]any
		rows, length int
		set          Set
		precision    Precision
	}{
		{"16M", middle, 2, 512, All, Float32}, {"16M-embeddings", middle, 2, 512, Embeddings, Float32},
		{"pocket", pocket, 16, 256, All, Float32}, {"pocket-bf16", pocket, 16, 256, All, BF16},
	} {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/%d", c.name, threads), func(b *testing.B) {
				o := DefaultOptions()
				o.Threads, o.Precision, o.BLAS = threads, c.precision, "builtin"
				t := benchTrainer(b, c.config, c.set, &o)
				batch := []*model.Batch{{B: c.rows, T: c.length, InputIDs: testmodel.IDs(1, c.rows*c.length, t.Model.Config.VocabSize)}}
				step := func() {
					if _, err := t.Step(batch); err != nil {
						b.Fatal(err)
					}
				}
				step()
				b.ReportAllocs()
				for b.Loop() {
					step()
				}
				b.ReportMetric(float64(c.rows*c.length*b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

// benchTrainer returns a trainer of a model of random weights.
func benchTrainer(b *testing.B, config map[string]any, set Set, o *Options) *Trainer {
	tiny := testmodel.New(b, "llama", 1, tensor.F32, config)
	cfg, err := model.ParseConfig(tiny.Config)
	if err != nil {
		b.Fatal(err)
	}
	lib, err := o.OpenBLAS()
	if err != nil {
		b.Skip(err)
	}
	trainable := model.TrainAll
	if set == Embeddings {
		trainable = model.TrainEmbeddings
	}
	m, err := model.New(cfg, tiny, model.Options{BLAS: lib, Threads: o.Threads, Trainable: trainable})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	t := NewTrainer(m, o, 1000)
	b.Cleanup(t.Close)
	return t
}

// BenchmarkAdamW is the update of 4 million parameters on one thread, by the vector kernel
// and by the plain loop.
func BenchmarkAdamW(b *testing.B) {
	const n = 1 << 22
	p, g, m, v := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range g {
		g[i] = float32(i%17) * 1e-3
	}
	k := adamWStep{shrink: 1, coef: 1, beta1: 0.9, rest1: 0.1, beta2: 0.95, rest2: 0.05, size: 1e-3, root: 1, eps: 1e-8}
	has := hasAVX
	defer func() { hasAVX = has }()
	for _, fast := range []bool{has, false} {
		b.Run(fmt.Sprintf("vector %t", fast), func(b *testing.B) {
			hasAVX = fast
			for b.Loop() {
				k.apply(p, g, m, v)
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelements/s")
		})
	}
}
