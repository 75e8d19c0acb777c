package linalg

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func randn(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// problem makes S (rows, d) of the given rank and noise and G = S W0 + residual.
func problem(seed uint64, rows, d, rank int, noise float64, round func(float64) float64) (s, g []float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	left, right := randn(r, rows*rank), randn(r, rank*d)
	s = make([]float64, rows*d)
	if rank == d {
		copy(s, left)
	} else {
		gemmNaive(false, false, rows, d, rank, 1, left, rank, right, d, 0, s, d)
	}
	w := randn(r, d*d)
	g = make([]float64, rows*d)
	scale(0.1/math.Sqrt(float64(d)), w)
	for i := range s {
		s[i] = round(s[i])
	}
	copy(g, s)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, 1, g, d)
	for i := range g {
		g[i] = round(g[i] + noise*r.NormFloat64())
	}
	return s, g
}

func f32(x float64) float64 { return float64(float32(x)) }
func bf16(x float64) float64 {
	return float64(math.Float32frombits((math.Float32bits(float32(x)) + 0x8000) &^ 0xffff))
}

func inBlocks(s, g []float64, d, size int) Blocks {
	return func(add func(rows int, s []float64, g ...[]float64) error) error {
		rows := len(s) / d
		for i := 0; i < rows; i += size {
			k := min(size, rows-i)
			if err := add(k, s[i*d:(i+k)*d], g[i*d:(i+k)*d]); err != nil {
				return err
			}
		}
		return nil
	}
}

// optimality returns how far SᵀR is from zero for the residual R, relative to ||S|| ||G||.
func optimality(s, g []float64, d int, w []float64) float64 {
	rows := len(s) / d
	r := append([]float64(nil), g...)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, -1, r, d)
	st := make([]float64, d*d)
	gemmNaive(true, false, d, d, rows, 1, s, d, r, d, 0, st, d)
	return norm(st) / (norm(s) * norm(g))
}

func TestFit(t *testing.T) {
	bl := openBuiltin(2)
	for _, tt := range []struct {
		name       string
		rows, d, k int
		round      func(float64) float64
		u          float64
		method     string
	}{
		{"full rank f32", 300, 40, 40, f32, 0x1p-24, "cholesky"},
		{"full rank bf16", 500, 64, 64, bf16, 0x1p-9, "cholesky"},
		{"rank 12 of 24 in f32", 300, 24, 12, f32, 0x1p-24, "svd"},
		{"rank 6 of 24 in bf16", 300, 24, 6, bf16, 0x1p-9, "svd"},
		{"fewer rows than columns", 20, 33, 20, f32, 0x1p-24, "svd"},
		{"one row", 1, 5, 1, f32, 0x1p-24, "svd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, g := problem(7, tt.rows, tt.d, tt.k, 0.01, tt.round)
			sols, err := Fit(context.Background(), bl, tt.d, 1, tt.u, inBlocks(s, g, tt.d, 37))
			if err != nil {
				t.Fatal(err)
			}
			sol := sols[0]
			if sol.Method != tt.method || sol.Rank != tt.k {
				t.Errorf("method %s rank %d, want %s %d (tau %g, sigma %g..%g)", sol.Method, sol.Rank, tt.method, tt.k, sol.NoiseFloor, sol.SigmaMin, sol.SigmaMax)
			}
			res, err := Residual(context.Background(), bl, tt.d, [][]float64{sol.W}, inBlocks(s, g, tt.d, 50))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(res[0]-sol.Residual) > 1e-7*norm(g) {
				t.Errorf("residual %g, streamed %g", sol.Residual, res[0])
			}
			if tt.k == tt.d {
				if o := optimality(s, g, tt.d, sol.W); o > 1e-13 {
					t.Errorf("normal equations off by %g", o)
				}
			}
		})
	}
}

func TestSolveUnresolved(t *testing.T) {
	s, g := problem(7, 300, 24, 12, 0.01, f32)
	n := NewNormalEquations(24, openBuiltin(1))
	n.Add(s, g, 300)
	if _, err := n.Solve(0x1p-24); !errors.Is(err, ErrUnresolved) {
		t.Errorf("rank deficient float32 rows: %v, want ErrUnresolved", err)
	}
}
