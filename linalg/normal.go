package linalg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"lep/internal/hint"
)

// NormalEquations accumulates what least squares needs of paired rows S and G
// (rows, dim), the vocabulary rows before and after: A = SᵀS, B = SᵀD with
// D = G - S, and the sums of squares; all float64, in memory O(dim²). W is found
// as I + X with A X = B: S(I + X) = G and S X = D have the same solution, and with
// D the error scales with the change and not with the rows.
//
// Several targets may share S: B has one matrix per target. Products of float32
// and bf16 values are exact in float64, so A and B carry summation error only.
type NormalEquations struct {
	Dim  int
	Rows int
	A    []float64   // (dim, dim), upper triangle; the lower one is undefined
	B    [][]float64 // per target SᵀD (dim, dim)
	SS   float64     // ||S||_F²
	GG   []float64   // per target ||G||_F²
	DD   []float64   // per target ||D||_F²
	blas BLAS
	diff []float64
}

// NewNormalEquations returns an empty accumulator for rows of dim values and one target.
func NewNormalEquations(dim int, blas BLAS) *NormalEquations {
	return NewMultiNormalEquations(dim, 1, blas)
}

// NewMultiNormalEquations returns an empty accumulator for several targets that
// share S.
func NewMultiNormalEquations(dim, targets int, blas BLAS) *NormalEquations {
	n := &NormalEquations{Dim: dim, blas: blas, A: make([]float64, dim*dim),
		GG: make([]float64, targets), DD: make([]float64, targets)}
	for range targets {
		n.B = append(n.B, make([]float64, dim*dim))
	}
	return n
}

// Add accumulates a block of rows for the only target. s and g are (rows, dim);
// blocks of some hundreds of rows use the matrix library best.
func (n *NormalEquations) Add(s, g []float64, rows int) {
	n.AddMulti(rows, s, g)
}

// AddMulti accumulates a block of rows: s and each g are (rows, dim), one g per target.
func (n *NormalEquations) AddMulti(rows int, s []float64, g ...[]float64) {
	d := n.Dim
	if len(g) != len(n.B) {
		panic(fmt.Sprintf("linalg: %d targets, want %d", len(g), len(n.B)))
	}
	if rows == 0 {
		return
	}
	s = s[:rows*d]
	n.diff = grow(n.diff, len(s))
	n.Rows += rows
	n.SS += DDOT(s, s)
	n.blas.DSYRK(d, rows, 1, s, d, 1, n.A, d)
	for t, gt := range g {
		gt = gt[:rows*d]
		for i, v := range gt {
			n.diff[i] = v - s[i]
		}
		n.GG[t] += DDOT(gt, gt)
		n.DD[t] += DDOT(n.diff, n.diff)
		n.blas.DGEMM(true, false, d, d, rows, 1, s, d, n.diff, d, 1, n.B[t], d)
	}
}

// Merge adds the rows of o, of the same size and number of targets.
func (n *NormalEquations) Merge(o *NormalEquations) { n.combine(1, o) }

// Sub takes the rows of o away again, so that n minus a fold is the rest. Sums
// that cancel keep the absolute rounding error of the whole.
func (n *NormalEquations) Sub(o *NormalEquations) { n.combine(-1, o) }

func (n *NormalEquations) combine(sign float64, o *NormalEquations) {
	if o.Dim != n.Dim || len(o.B) != len(n.B) {
		panic("linalg: normal equations of different sizes")
	}
	n.Rows += int(sign) * o.Rows
	n.SS = max(n.SS+sign*o.SS, 0)
	DAXPY(sign, o.A, n.A)
	for t := range n.B {
		DAXPY(sign, o.B[t], n.B[t])
		n.GG[t] = max(n.GG[t]+sign*o.GG[t], 0)
		n.DD[t] = max(n.DD[t]+sign*o.DD[t], 0)
	}
}

// Clone returns a copy that shares nothing.
func (n *NormalEquations) Clone() *NormalEquations {
	c := NewMultiNormalEquations(n.Dim, len(n.B), n.blas)
	c.Merge(n)
	return c
}

// NoiseFloor returns tau = 2 u ||S||_F (√m + √n) / √(mn) for S (m, n) stored with
// unit roundoff u: what rounding each entry does to the singular values.
func (n *NormalEquations) NoiseFloor(u float64) float64 {
	return noiseFloor(u, n.SS, n.Rows, n.Dim)
}

func noiseFloor(u, ss float64, rows, dim int) float64 {
	m, d := float64(rows), float64(dim)
	if rows == 0 || dim == 0 {
		return 0
	}
	return 2 * u * math.Sqrt(ss) * (math.Sqrt(m) + math.Sqrt(d)) / math.Sqrt(m*d)
}

// ErrUnresolved says that SᵀS, whose condition is that of S squared, cannot tell
// the small singular values of S from rounding error. [Fit] then streams the rows
// a second time through a QR decomposition.
var ErrUnresolved = errors.New("the normal equations do not resolve the rank")

const epsilon = 0x1p-52

// gramLimit bounds epsilon times the condition of A in the Cholesky path: the
// relative error of X, a sixtieth of the rounding of a float32 result. A may be
// scaled to a unit diagonal for it: Cholesky does not feel the scale of columns
// (Higham 2002 §10.1), and embeddings have columns far larger than the rest.
// eigenLimit is the same for Solve's last resort, whose rank is deficient.
const (
	gramLimit  = 1e-9
	eigenLimit = 1e-6
)

// Solve returns W for each target for rows stored with unit roundoff u
// (tensor.DType.UnitRoundoff): by Cholesky if S is of full rank beyond doubt, else
// from the eigenvalues of A if these resolve the noise floor squared, else an
// error that wraps ErrUnresolved.
func (n *NormalEquations) Solve(u float64) ([]*Solution, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if out, ok := n.solveCholesky(u); ok {
		return out, nil
	}
	d, tau := n.Dim, n.NoiseFloor(u)
	// Eigenvalues of A are off by about sqrt(dim)·epsilon times the largest, and X
	// by that over the smallest that is kept, which is above tau².
	top, _ := n.lanczos(nil)
	if math.Sqrt(float64(d))*epsilon*top > eigenLimit*tau*tau {
		return nil, fmt.Errorf("least squares over %d rows of %d values: noise floor %.3g, largest singular value %.3g: %w",
			n.Rows, d, tau, math.Sqrt(top), ErrUnresolved)
	}
	b := make([]float64, d*d*len(n.B)) // all targets side by side
	cols := d * len(n.B)
	for t := range n.B {
		for i := range d {
			copy(b[i*cols+t*d:], n.B[t][i*d:i*d+d])
		}
	}
	x, lambda, rank, _, err := truncatedSolve(context.Background(), n.blas, d, cols, n.full(), b, tau*tau)
	if err != nil {
		return nil, err
	}
	out := make([]*Solution, len(n.B))
	for t := range n.B {
		xt := make([]float64, d*d)
		for i := range d {
			copy(xt[i*d:i*d+d], x[i*cols+t*d:])
		}
		out[t] = n.solution(t, xt, "eigen", rank, tau, math.Sqrt(lambda[0]), math.Sqrt(lambda[d-1]))
	}
	return out, nil
}

// solveCholesky is false if A is singular or within a tenth of the noise floor (the
// estimate of the smallest singular value is better than that), or too ill-conditioned for
// a solution to gramLimit.
func (n *NormalEquations) solveCholesky(u float64) ([]*Solution, bool) {
	tau := n.NoiseFloor(u)
	r := append([]float64(nil), n.A...)
	if err := cholesky(n.blas, threadsOf(n.blas), n.Dim, r, n.Dim); err != nil {
		return nil, false
	}
	hi, _ := n.lanczos(nil)
	inv, _ := n.lanczos(r)
	if 1 <= 1.21*tau*tau*inv || epsilon*hi*inv > gramLimit && epsilon*n.scaledCondition(r) > gramLimit {
		return nil, false
	}
	var out []*Solution
	for t := range n.B {
		x := append([]float64(nil), n.B[t]...)
		n.solveFactored(r, x)
		out = append(out, n.solution(t, x, "cholesky", n.Dim, tau, math.Sqrt(hi), 1/math.Sqrt(inv)))
	}
	return out, true
}

// Ridge returns I + (A + λI)⁻¹SᵀD for a target: the least squares map held near
// the identity, or an error if λ is too small for a singular A. A natural scale
// for λ is MeanEigenvalue. Rank is dim, sigmas are those of S without λ, unknown (0).
func (n *NormalEquations) Ridge(target int, lambda float64) (*Solution, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	r := append([]float64(nil), n.A...)
	for i := range n.Dim {
		r[i*n.Dim+i] += lambda
	}
	if err := cholesky(n.blas, threadsOf(n.blas), n.Dim, r, n.Dim); err != nil {
		return nil, fmt.Errorf("ridge %g over %d rows of %d values: %w", lambda, n.Rows, n.Dim, err)
	}
	x := append([]float64(nil), n.B[target]...)
	n.solveFactored(r, x)
	return n.solution(target, x, "ridge", n.Dim, 0, 0, 0), nil
}

// MeanEigenvalue returns ||S||_F²/dim, the mean eigenvalue of A.
func (n *NormalEquations) MeanEigenvalue() float64 { return n.SS / float64(n.Dim) }

// Residual returns ||S W - G||_F for a target over the rows in n, which may be
// others than those W was fitted on (a held-out fold), from
// ||S X - D||² = tr(XᵀAX) - 2 tr(XᵀB) + ||D||² with X = W - I. Where the fit is
// near exact, cancellation leaves an absolute error of about 1e-8 ||D||; then
// [Residual] over the rows is the exact way.
func (n *NormalEquations) Residual(target int, w []float64) float64 {
	d := n.Dim
	x := append([]float64(nil), w[:d*d]...)
	for i := range d {
		x[i*d+i]--
	}
	return n.residual(target, x)
}

func (n *NormalEquations) residual(target int, x []float64) float64 {
	d := n.Dim
	ax := make([]float64, d*d)
	n.blas.DGEMM(false, false, d, d, d, 1, n.full(), d, x, d, 0, ax, d)
	return math.Sqrt(max(0, DDOT(x, ax)-2*DDOT(x, n.B[target])+n.DD[target]))
}

// full returns A with both triangles.
func (n *NormalEquations) full() []float64 {
	d := n.Dim
	a := append([]float64(nil), n.A...)
	mirror(a, d)
	return a
}

// mirror copies the upper triangle of (d, d) to the lower, in blocks.
func mirror(a []float64, d int) {
	const b = 32
	for i0 := 0; i0 < d; i0 += b {
		for j0 := i0; j0 < d; j0 += b {
			for i := i0; i < min(i0+b, d); i++ {
				for j := max(j0, i+1); j < min(j0+b, d); j++ {
					a[j*d+i] = a[i*d+j]
				}
			}
		}
	}
}

func (n *NormalEquations) check() error {
	if n.Rows == 0 {
		return hint.Errorf("the two vocabularies share no tokens: are they tokenizers of the same models?",
			"least squares over rows of %d values: no rows", n.Dim)
	}
	if math.IsNaN(n.SS) || math.IsInf(n.SS, 0) {
		return fmt.Errorf("least squares over %d rows of %d values: rows hold NaN or infinite values", n.Rows, n.Dim)
	}
	for t, v := range n.GG {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("least squares over %d rows of %d values: target %d holds NaN or infinite values", n.Rows, n.Dim, t)
		}
	}
	return nil
}

func (n *NormalEquations) solveFactored(r, x []float64) {
	d, threads := n.Dim, threadsOf(n.blas)
	solveUpperT(n.blas, threads, d, d, r, d, x, d)
	solveUpper(n.blas, threads, d, d, r, d, x, d)
}

// threadsOf returns the number of processors an implementation was opened for.
func threadsOf(b BLAS) int {
	if t, ok := b.(interface{ Threads() int }); ok {
		return t.Threads()
	}
	return runtime.GOMAXPROCS(0)
}
