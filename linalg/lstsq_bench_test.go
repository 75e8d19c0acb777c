package linalg

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkNormalEquations reports the time of a block of 1024 rows and of a solve.
func BenchmarkNormalEquations(b *testing.B) {
	for _, d := range []int{1024, 2048, 4096} {
		if d > 1024 && testing.Short() {
			continue
		}
		bl, err := Open("builtin", 2)
		if err != nil {
			b.Fatal(err)
		}
		const rows = 1024
		r := rand.New(rand.NewPCG(1, uint64(d)))
		s, g := make([]float64, rows*d), make([]float64, rows*d)
		n := NewNormalEquations(d, bl)
		fill := func() {
			for i := range s {
				s[i] = f32(r.Float64() - 0.5)
				g[i] = f32(s[i] + 0.1*(r.Float64()-0.5))
			}
		}
		for range d/rows + 1 {
			fill()
			n.Add(s, g, rows)
		}
		b.Run(fmt.Sprintf("add/%d", d), func(b *testing.B) {
			m := NewNormalEquations(d, bl)
			for b.Loop() {
				m.Add(s, g, rows)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(fmt.Sprintf("solve/%d", d), func(b *testing.B) {
			for b.Loop() {
				if _, err := n.Solve(0x1p-24); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("qr/%d", d), func(b *testing.B) {
			q := NewQR(d, 1, bl)
			for b.Loop() {
				q.Add(rows, s, g)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkTruncated reports the time of the rank-deficient path.
func BenchmarkTruncated(b *testing.B) {
	for _, d := range []int{256, 512, 1024} {
		bl, err := Open("builtin", 2)
		if err != nil {
			b.Fatal(err)
		}
		s, g := problem(1, 2*d, d, d/2, 0.01, f32)
		b.Run(fmt.Sprint(d), func(b *testing.B) {
			for b.Loop() {
				q := NewQR(d, 1, bl)
				q.Add(2*d, s, g)
				if out, err := q.Solve(0x1p-24); err != nil || out[0].Rank != d/2 {
					b.Fatal(err, out[0].Rank)
				}
			}
		})
	}
}
