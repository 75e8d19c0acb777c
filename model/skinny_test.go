package model

import (
	"fmt"
	"testing"

	"lep/internal/testmodel"
	"lep/tensor"
)

// TestProducts compares products of every number of rows, by every way that product has, with
// a sum in float64. 1e-5 is some roundings of sums of 70 terms of size 1.
func TestProducts(t *testing.T) {
	m := tiny(t, "llama", Options{}, nil)
	for _, cols := range []int{7, 8, 64, 69} {
		for _, rows := range []int{1, 2, 33, 66} {
			x := randoms(1, 20*(cols+3), 1)
			values := randoms(2, rows*cols, 1)
			half := make([]uint16, len(values))
			for i, v := range values { // the same values in all types
				half[i] = tensor.BF16FromF32(v)
			}
			widenHalf(values, half, tensor.BF16)
			for _, w := range []*weight{{rows: rows, cols: cols, data: values}, {rows: rows, cols: cols, half: half, halfType: tensor.BF16}} {
				for _, n := range []int{1, 2, 3, 4, 5, 8, 11, 15, 16, 17, 20} {
					for _, add := range []bool{false, true} {
						ldx, ldy := cols+3, rows+2
						y, want := randoms(3, n*ldy, 1), randoms(3, n*ldy, 1)
						for i := range n {
							for r := range rows {
								var sum float64
								for c := range cols {
									sum += float64(x[i*ldx+c]) * float64(values[r*cols+c])
								}
								if add {
									sum += float64(want[i*ldy+r])
								}
								want[i*ldy+r] = float32(sum)
							}
						}
						m.product(y, ldy, x, ldx, n, w, add)
						near(t, fmt.Sprintf("%d x %d x %d, bf16 %v, add %v", n, rows, cols, w.half != nil, add), y, want, 1e-5)
					}
				}
			}
		}
	}
}

// BenchmarkBatchedDecode is a step of several sequences.
func BenchmarkBatchedDecode(b *testing.B) {
	m := benchModel(b, tensor.BF16, Options{}, 8000, 768, 4, 12, 4, 2048)
	for _, n := range []int{1, 2, 4, 8, 12, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, err := m.NewCache(n, 64)
			if err != nil {
				b.Fatal(err)
			}
			var spans []Span
			for i := range n {
				spans = append(spans, Span{i, testmodel.IDs(1, 1, 8000)})
			}
			logits := make([]float32, n*8000)
			for b.Loop() {
				for i := range n {
					c.Truncate(i, 0)
				}
				h, err := m.Extend(c, spans)
				if err != nil {
					b.Fatal(err)
				}
				m.Logits(logits, h)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
