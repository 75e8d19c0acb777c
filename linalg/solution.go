package linalg

import "math"

// Solution is a fitted map W and what there is to know about it.
type Solution struct {
	W    []float64 // (dim, dim) row-major: row of G ≈ row of S times W
	Dim  int
	Rows int // rows fitted
	Rank int // singular values of S above NoiseFloor; Dim - Rank directions are left as they are

	Method     string  // cholesky, eigen, qr, svd or ridge: how it was solved
	NoiseFloor float64 // tau; 0 for ridge

	SigmaMax  float64 // extreme singular values of S (0 for ridge); by Lanczos to a relative
	SigmaMin  float64 // 1e-3 or better with cholesky and qr, else in full as far as above NoiseFloor/10
	Condition float64 // SigmaMax / SigmaMin, +Inf for a singular S

	Residual         float64 // ||S W - G||_F
	RelativeResidual float64 // Residual / ||G||_F, 0 if G is 0
	NormW, NormDelta float64 // ||W||_F, ||W - I||_F
}

// solution makes a Solution of X = W - I, which it takes over.
func (n *NormalEquations) solution(target int, x []float64, method string, rank int, tau, hi, lo float64) *Solution {
	var residual float64
	if method == "cholesky" { // A X = B, so tr(XᵀAX) is tr(XᵀB)
		residual = math.Sqrt(max(0, n.DD[target]-DDOT(x, n.B[target])))
	} else {
		residual = n.residual(target, x)
	}
	s := newSolution(n.Dim, n.Rows, x, method, rank, tau, hi, lo)
	s.setResidual(residual, n.GG[target])
	return s
}

func newSolution(dim, rows int, x []float64, method string, rank int, tau, hi, lo float64) *Solution {
	s := &Solution{W: x, Dim: dim, Rows: rows, Rank: rank, Method: method, NoiseFloor: tau, SigmaMax: hi, SigmaMin: lo}
	if method != "ridge" {
		s.Condition = hi / lo
	}
	s.NormDelta = norm(x)
	for i := range dim {
		x[i*dim+i]++
	}
	s.NormW = norm(x)
	return s
}

func (s *Solution) setResidual(residual, gg float64) {
	s.Residual = residual
	if gg > 0 {
		s.RelativeResidual = residual / math.Sqrt(gg)
	}
}
