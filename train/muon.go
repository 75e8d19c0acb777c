package train

import (
	"math"

	"lep/linalg"
)

// Coefficients and number of the Newton-Schulz steps of Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): they
// bring all singular values of a matrix near 1 without computing them.
const (
	muonA, muonB, muonC = 3.4445, -4.7750, 2.0315
	muonSteps           = 5
	muonEpsilon         = 1e-7
)

// muon is the update of whole matrices: the momentum's nearest orthogonal matrix, nearly, times the learning rate.
//
//	g *= coef;  m = μ·m + (1-μ)·g;  u = (1-μ)·g + μ·m;  u = orthogonal(u)
//	p = p·(1 - lr·decay) - lr·0.2·sqrt(max(rows, cols))·u
//
// The last factor gives the update the size of one of AdamW's (Liu et al. 2025, arXiv 2502.16982), so that matrices and all
// else take the same learning rate. It is torch.optim.Muon with adjust_lr_fn "match_rms_adamw", in float32 where that has bf16.
type muon struct {
	momentum float32
	blas     linalg.BLAS // of one thread: matrices are shared out among the workers
	scratch  chan *muonScratch
}

// muonScratch is what one worker needs.
type muonScratch struct{ x, next, gram, power []float32 }

// newMuon prepares for matrices of up to elements, the smaller side up to side.
func newMuon(opts *Options, workers, elements, side int) *muon {
	blas, err := linalg.Open("builtin", 1)
	if err != nil {
		panic("train: the built-in kernels do not open: " + err.Error())
	}
	m := &muon{momentum: float32(opts.MuonMomentum), blas: blas, scratch: make(chan *muonScratch, workers)}
	for range workers {
		m.scratch <- &muonScratch{make([]float32, elements), make([]float32, elements), make([]float32, side*side), make([]float32, side*side)}
	}
	return m
}

// apply updates a (rows, cols) matrix p from its gradient g and momentum buf.
func (m *muon) apply(rows, cols int, p, g, buf []float32, shrink, coef, lr float32) {
	s := <-m.scratch
	x := s.x[:len(p)]
	for i, gi := range g {
		gi *= coef
		buf[i] = m.momentum*buf[i] + (1-m.momentum)*gi
		x[i] = (1-m.momentum)*gi + m.momentum*buf[i]
	}
	u := m.orthogonal(rows, cols, s)
	size := lr * float32(0.2*math.Sqrt(float64(max(rows, cols))))
	for i, v := range u {
		p[i] = p[i]*shrink - size*v
	}
	m.scratch <- s
}

// orthogonal returns the matrix in s.x with its singular values brought to between about 0.7 and 1.2.
func (m *muon) orthogonal(rows, cols int, s *muonScratch) []float32 {
	n, side := rows*cols, min(rows, cols)
	x, next, gram, power := s.x[:n], s.next[:n], s.gram[:side*side], s.power[:side*side]
	scale(x, float32(1/max(math.Sqrt(sumSquares(x)), muonEpsilon)))
	wide := rows <= cols
	for range muonSteps {
		if wide { // X' = aX + (bG + cG²)X with G = XXᵀ
			m.blas.SGEMM(false, true, side, side, cols, 1, x, cols, x, cols, 0, gram, side)
		} else { // X' = aX + X(bG + cG²) with G = XᵀX
			m.blas.SGEMM(true, false, side, side, rows, 1, x, cols, x, cols, 0, gram, side)
		}
		copy(power, gram)
		m.blas.SGEMM(false, false, side, side, side, muonC, gram, side, gram, side, muonB, power, side)
		copy(next, x)
		if wide {
			m.blas.SGEMM(false, false, rows, cols, side, 1, power, side, x, cols, muonA, next, cols)
		} else {
			m.blas.SGEMM(false, false, rows, cols, side, 1, x, cols, power, side, muonA, next, cols)
		}
		x, next = next, x
	}
	return x
}
