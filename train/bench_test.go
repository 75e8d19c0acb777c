package train

import (
	"fmt"
	"testing"

	"lep/internal/testmodel"
	"lep/linalg"
	"lep/model"
	"lep/tensor"
)

// BenchmarkStep is a step of the 16-million-parameter Llama that peers are measured on, with
// 2 rows instead of 8.
func BenchmarkStep(b *testing.B) {
	for _, set := range []Set{All, Embeddings} {
		b.Run(string(set), func(b *testing.B) {
			tiny := testmodel.New(b, "llama", 1, tensor.F32, map[string]any{"vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 6,
				"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 1024, "max_position_embeddings": 512})
			cfg, err := model.ParseConfig(tiny.Config)
			if err != nil {
				b.Fatal(err)
			}
			lib, err := linalg.Open("builtin", 2)
			if err != nil {
				b.Fatal(err)
			}
			trainable := model.TrainAll
			if set == Embeddings {
				trainable = model.TrainEmbeddings
			}
			m, err := model.New(cfg, tiny, model.Options{BLAS: lib, Threads: 2, Trainable: trainable})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			o := DefaultOptions()
			o.Threads = 2
			t := NewTrainer(m, &o, 1000)
			defer t.Close()
			batch := []*model.Batch{{B: 2, T: 512, InputIDs: testmodel.IDs(1, 1024, 8192)}}
			if _, err := t.Step(batch); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
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
