package model

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"lep/internal/testmodel"
	"lep/linalg"
	"lep/tensor"
)

// benchThreads is LEP_BENCH_THREADS, or 2: what the peers are measured with.
func benchThreads() int {
	if n, err := strconv.Atoi(os.Getenv("LEP_BENCH_THREADS")); err == nil {
		return n
	}
	return min(2, runtime.GOMAXPROCS(0))
}

func benchModel(b *testing.B, dtype tensor.DType, opts Options, vocab, dim, layers, heads, kv, ffn int) *Model {
	b.Helper()
	name := os.Getenv("LEP_BENCH_BLAS")
	if name == "" {
		name = "builtin"
	}
	blas, err := linalg.Open(name, benchThreads())
	if err != nil {
		b.Fatal(err)
	}
	opts.BLAS, opts.Threads = blas, benchThreads()
	src := testmodel.New(b, "llama", 1, dtype, map[string]any{"vocab_size": vocab, "hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads,
		"num_key_value_heads": kv, "intermediate_size": ffn, "head_dim": dim / heads, "max_position_embeddings": 2048})
	return fromTiny(b, src, opts)
}

// BenchmarkStep is forward and backward of the shapes that bench/peers.py train-model runs.
func BenchmarkStep(b *testing.B) {
	for _, bm := range []struct {
		name                               string
		trainable                          func(string) bool
		vocab, dim, layers, heads, kv, ffn int
		rows                               int
	}{
		{"full", TrainAll, 8192, 384, 6, 6, 2, 1024, 8},
		{"embeddings", TrainEmbeddings, 8192, 384, 6, 6, 2, 1024, 8},
		{"head128k", TrainAll, 131072, 512, 2, 8, 2, 1376, 2},
		{"head128k/embeddings", TrainEmbeddings, 131072, 512, 2, 8, 2, 1376, 2},
	} {
		b.Run(bm.name, func(b *testing.B) {
			m := benchModel(b, tensor.F32, Options{Trainable: bm.trainable}, bm.vocab, bm.dim, bm.layers, bm.heads, bm.kv, bm.ffn)
			batch := &Batch{B: bm.rows, T: 512, InputIDs: testmodel.IDs(1, bm.rows*512, bm.vocab)}
			step := func() {
				if _, _, err := m.Backward(batch, 1, nil); err != nil {
					b.Fatal(err)
				}
			}
			step()
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(len(batch.InputIDs)*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkScore is the forward pass and the loss alone.
func BenchmarkScore(b *testing.B) {
	m := benchModel(b, tensor.BF16, Options{}, 8192, 384, 6, 6, 2, 1024)
	batch := &Batch{B: 4, T: 512, InputIDs: testmodel.IDs(1, 4*512, 8192)}
	for b.Loop() {
		if _, _, err := m.Score(batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch.InputIDs)*b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkDecode is one token after another at batch 1, of 125 M parameters.
func BenchmarkDecode(b *testing.B) {
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F32} {
		b.Run(fmt.Sprint(dtype), func(b *testing.B) {
			m := benchModel(b, dtype, Options{}, 32000, 768, 12, 12, 4, 2048)
			c, err := m.NewCache(1, 512)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := m.Extend(c, []Span{{0, testmodel.IDs(1, 32, 32000)}}); err != nil {
				b.Fatal(err)
			}
			logits, spans := make([]float32, 32000), []Span{{0, []int32{5}}}
			b.ReportAllocs()
			for b.Loop() {
				c.Truncate(0, 64)
				h, err := m.Extend(c, spans)
				if err != nil {
					b.Fatal(err)
				}
				m.Logits(logits, h)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
