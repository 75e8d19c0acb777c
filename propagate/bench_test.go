package propagate

import (
	"context"
	"io"
	"testing"

	"lep/linalg"
	"lep/tensor"
	"lep/vocab"
)

// benchFitter is a fit of 8192 rows of 512 bf16 values, one in eight of several subtokens.
func benchFitter(b *testing.B) (*fitter, matrix) {
	b.Helper()
	blas, err := linalg.Open("builtin", 1)
	if err != nil {
		b.Fatal(err)
	}
	const rows, dim = 8192, 512
	fill := func(seed int) matrix {
		v := tensor.View{DType: tensor.BF16, Shape: []int{rows, dim}, Data: make([]byte, rows*dim*2)}
		values := make([]float32, rows*dim)
		for i := range values {
			values[i] = float32(formula(uint64(seed), i))
		}
		tensor.Encode32(v.Data, values, tensor.BF16)
		return matrix{View: v}
	}
	lists := make([][]int32, rows)
	for i := range lists {
		if lists[i] = []int32{int32(i)}; i%8 == 0 {
			lists[i] = []int32{int32(i), int32(i * 7 % rows), int32(i * 11 % rows)}
		}
	}
	opts := DefaultOptions()
	return &fitter{name: "embed_tokens", opts: &opts, blas: blas, ops: &operators{conversion: vocab.NewConversion(lists), penalty: 1},
		source: fill(1), targets: []matrix{fill(2)}, unit: tensor.BF16.UnitRoundoff()}, fill(3)
}

func BenchmarkFit(b *testing.B) {
	f, _ := benchFitter(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(8192*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkProject(b *testing.B) {
	f, donor := benchFitter(b)
	fits, err := f.run(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	p := &projection{blas: f.blas, donor: donor, dtype: tensor.BF16, w: fits[0].w, donorRows: donor.Rows(), rows: donor.Rows()}
	p.settle()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.write(context.Background(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(8192*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
