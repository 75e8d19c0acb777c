package linalg

import (
	"context"
	"fmt"
	"math"
)

// QR is a streaming QR decomposition of the rows of S with the targets' changes
// D = G - S carried along: S = Q R, Z = QᵀD, in memory O(dim²). R has the singular
// values of S to a few epsilon times the largest, where those of SᵀS are good to
// the square root of epsilon only, at twice the arithmetic of [NormalEquations].
//
// Each block is folded into R by Householder reflections in compact WY form
// (Schreiber & Van Loan 1989; the "triangle on top of a block" of LAPACK's tpqrt).
type QR struct {
	Dim, Targets int
	Rows         int
	R            []float64 // (dim, dim), upper triangular
	Z            []float64 // (dim, targets*dim)
	SS           float64   // ||S||_F²
	GG, DD       []float64 // per target, as in NormalEquations
	rest         []float64 // per target ||D||² outside the span of S: ||D - QZ||²

	blas BLAS
	work []float64 // the block: (rows, dim*(1+targets))
	v    []float64 // reflectors of a panel (panel, rows)
	t    []float64 // (panel, panel)
	top  []float64 // (panel, dim*(1+targets))
}

const qrPanel = 64

// NewQR returns an empty decomposition for rows of dim values.
func NewQR(dim, targets int, blas BLAS) *QR {
	return &QR{Dim: dim, Targets: targets, blas: blas, R: make([]float64, dim*dim),
		Z: make([]float64, dim*dim*targets), GG: make([]float64, targets), DD: make([]float64, targets),
		rest: make([]float64, targets)}
}

// Add folds in a block of rows: s and each g are (rows, dim), one g per target.
// Blocks of 1024 rows or more waste the least.
func (q *QR) Add(rows int, s []float64, g ...[]float64) {
	if len(g) != q.Targets {
		panic(fmt.Sprintf("linalg: %d targets, want %d", len(g), q.Targets))
	}
	if rows == 0 {
		return
	}
	d := q.Dim
	width := d * (1 + q.Targets)
	s = s[:rows*d]
	q.work = grow(q.work, rows*width)
	for i := range rows {
		copy(q.work[i*width:i*width+d], s[i*d:])
		for t, gt := range g {
			out := q.work[i*width+(t+1)*d : i*width+(t+2)*d]
			for j := range out {
				out[j] = gt[i*d+j] - s[i*d+j]
			}
			q.GG[t] += DDOT(gt[i*d:i*d+d], gt[i*d:i*d+d])
			q.DD[t] += DDOT(out, out)
		}
	}
	q.SS += DDOT(s, s)
	q.Rows += rows
	q.v, q.t = grow(q.v, qrPanel*rows), grow(q.t, qrPanel*qrPanel)
	q.top = grow(q.top, qrPanel*width)
	for k := 0; k < d; k += qrPanel {
		q.panel(rows, k, min(qrPanel, d-k), width)
	}
	for t := range q.rest { // what is left of D is outside the span
		for i := range rows {
			left := q.work[i*width+(t+1)*d : i*width+(t+2)*d]
			q.rest[t] += DDOT(left, left)
		}
	}
}

// panel eliminates columns [k, k+w) of the block against rows [k, k+w) of R and
// applies the reflections to what lies right of them. Reflector j is (e_j; v_j):
// it touches row k+j of R and the block.
func (q *QR) panel(rows, k, w, width int) {
	d := q.Dim
	v, t := q.v[:w*rows], q.t
	for j := range w { // columns of the block become rows of v
		for i := range rows {
			v[j*rows+i] = q.work[i*width+k+j]
		}
	}
	var dots [qrPanel]float64
	for j := range w {
		vj := v[j*rows : j*rows+rows]
		diag := &q.R[(k+j)*d+k+j]
		tau := reflector(diag, vj)
		for l := j + 1; l < w; l++ {
			vl := v[l*rows : l*rows+rows]
			r := &q.R[(k+j)*d+k+l]
			f := tau * (*r + DDOT(vj, vl))
			*r -= f
			DAXPY(-f, vj, vl)
		}
		// T grows by a column: t_j = -tau T (Vᵀv_j); the unit parts are orthogonal.
		for i := range j {
			dots[i] = DDOT(v[i*rows:i*rows+rows], vj)
		}
		for i := range j {
			var sum float64
			for l := i; l < j; l++ {
				sum += t[i*qrPanel+l] * dots[l]
			}
			t[i*qrPanel+j] = -tau * sum
		}
		t[j*qrPanel+j] = tau
		for i := j + 1; i < w; i++ {
			t[i*qrPanel+j] = 0
		}
	}
	// C = (top; block): C -= V Tᵀ (Vᵀ C) for the columns right of the panel.
	c := k + w
	n := width - c
	if n == 0 {
		return
	}
	for j := range w {
		q.copyTop(q.top[j*n:j*n+n], k+j, c, false)
	}
	q.blas.DGEMM(false, false, w, n, rows, 1, v, rows, q.work[c:], width, 1, q.top, n)
	for i := w - 1; i >= 0; i-- { // top = Tᵀ top, from below as T is upper triangular
		row := q.top[i*n : i*n+n]
		scale(t[i*qrPanel+i], row)
		for l := range i {
			DAXPY(t[l*qrPanel+i], q.top[l*n:l*n+n], row)
		}
	}
	q.blas.DGEMM(true, false, rows, n, w, -1, v, rows, q.top, n, 1, q.work[c:], width)
	for j := range w {
		q.copyTop(q.top[j*n:j*n+n], k+j, c, true)
	}
}

// copyTop reads columns [c, width) of row i of (R Z) into row, or subtracts row from them.
func (q *QR) copyTop(row []float64, i, c int, subtract bool) {
	d, zw := q.Dim, q.Dim*q.Targets
	r, z := q.R[i*d+c:i*d+d], q.Z[i*zw:i*zw+zw]
	if subtract {
		DAXPY(-1, row[:len(r)], r)
		DAXPY(-1, row[len(r):], z)
		return
	}
	copy(row, r)
	copy(row[len(r):], z)
}

// reflector makes H = I - tau (1; v)(1; v)ᵀ with H (alpha; x) = (beta; 0); x becomes
// v and alpha becomes beta (LAPACK's dlarfg).
func reflector(alpha *float64, x []float64) (tau float64) {
	xn := norm(x)
	if xn == 0 {
		return 0
	}
	beta := -math.Copysign(math.Hypot(*alpha, xn), *alpha)
	tau = (beta - *alpha) / beta
	scale(1/(*alpha-beta), x)
	*alpha = beta
	return tau
}

// NoiseFloor is that of [NormalEquations].
func (q *QR) NoiseFloor(u float64) float64 { return noiseFloor(u, q.SS, q.Rows, q.Dim) }

// Solve returns W = I + S⁺D for each target with the singular values of S at or
// below the noise floor for unit roundoff u cut off. It consumes q.
func (q *QR) Solve(u float64) ([]*Solution, error) { return q.solve(context.Background(), u) }

func (q *QR) solve(ctx context.Context, u float64) ([]*Solution, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	d, tau := q.Dim, q.NoiseFloor(u)
	if hi, lo, ok := q.extremes(); ok && lo > 1.1*tau && lo > 1e3*epsilon*hi*math.Sqrt(float64(d)) {
		solveUpper(q.blas, threadsOf(q.blas), d, d*q.Targets, q.R, d, q.Z, d*q.Targets)
		return q.solutions(q.Z, "qr", d, tau, hi, lo, q.rest), nil
	}
	return q.solveTruncated(ctx, tau)
}

// SolveReference returns the minimum-norm W = S⁺G with the singular values of S at
// or below epsilon·max(rows, dim) times the largest cut off: what LAPACK's gelsd
// gives with the reference's rcond. Where S is singular it deletes the directions
// that S lacks, where Solve leaves them as they are. It consumes q.
func (q *QR) SolveReference() ([]*Solution, error) {
	return q.solveReference(context.Background())
}

func (q *QR) solveReference(ctx context.Context) ([]*Solution, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	d, cols := q.Dim, q.Dim*q.Targets
	top, _ := lanczosMax(d, q.gram())
	cut := epsilon * float64(max(q.Rows, d)) * math.Sqrt(top)
	if hi, lo, ok := q.extremes(); ok && lo > 1.1*cut { // full rank: S⁺G = I + S⁺D
		solveUpper(q.blas, threadsOf(q.blas), d, cols, q.R, d, q.Z, cols)
		return q.solutions(q.Z, "qr", d, cut, hi, lo, q.rest), nil
	}
	for i := range d { // QᵀG = Z + R
		for t := range q.Targets {
			DAXPY(1, q.R[i*d+i:i*d+d], q.Z[i*cols+t*d+i:i*cols+t*d+d])
		}
	}
	out, err := q.solveTruncated(ctx, cut)
	if err != nil {
		return nil, err
	}
	for _, s := range out { // solveTruncated added the identity to what is W already
		for i := range d {
			s.W[i*d+i]--
		}
		s.NormW = s.NormDelta
		delta := append([]float64(nil), s.W...)
		for i := range d {
			delta[i*d+i]--
		}
		s.NormDelta = norm(delta)
	}
	return out, nil
}

func (q *QR) check() error {
	n := NormalEquations{Dim: q.Dim, Rows: q.Rows, SS: q.SS, GG: q.GG}
	return n.check()
}

// gram returns y = RᵀR x.
func (q *QR) gram() func(y, x []float64) {
	d := q.Dim
	tmp := make([]float64, d)
	return func(y, x []float64) {
		for i := range d {
			tmp[i] = DDOT(q.R[i*d+i:i*d+d], x[i:])
		}
		clear(y)
		for i := range d {
			DAXPY(tmp[i], q.R[i*d+i:i*d+d], y[i:])
		}
	}
}

// extremes estimates the extreme singular values of R; false if it is singular.
func (q *QR) extremes() (hi, lo float64, ok bool) {
	d := q.Dim
	for i := range d {
		if q.R[i*d+i] == 0 {
			return 0, 0, false
		}
	}
	top, _ := lanczosMax(d, q.gram())
	inv, _ := lanczosMax(d, func(y, x []float64) {
		copy(y, x)
		solveVectorT(d, q.R, d, y)
		solveVector(d, q.R, d, y)
	})
	if !(inv > 0) || math.IsInf(inv, 0) {
		return 0, 0, false
	}
	return math.Sqrt(top), 1 / math.Sqrt(inv), true
}

func (q *QR) solveTruncated(ctx context.Context, cut float64) ([]*Solution, error) {
	d, cols := q.Dim, q.Dim*q.Targets
	for i := range d {
		clear(q.R[i*d : i*d+i]) // nothing may be left below the diagonal
	}
	x, sigma, rank, lost, err := truncatedSolve(ctx, q.blas, d, cols, q.R, q.Z, cut)
	if err != nil {
		return nil, err
	}
	rest := append([]float64(nil), q.rest...)
	for t := range rest { // the rows of JZ that were cut are residual, too
		for _, i := range lost {
			z := q.Z[i*cols+t*d : i*cols+t*d+d]
			rest[t] += DDOT(z, z)
		}
	}
	return q.solutions(x, "svd", rank, cut, sigma[0], sigma[d-1], rest), nil
}

func (q *QR) solutions(x []float64, method string, rank int, tau, hi, lo float64, rest []float64) []*Solution {
	d, cols := q.Dim, q.Dim*q.Targets
	var out []*Solution
	for t := range q.Targets {
		xt := make([]float64, d*d)
		for i := range d {
			copy(xt[i*d:i*d+d], x[i*cols+t*d:])
		}
		s := newSolution(d, q.Rows, xt, method, rank, tau, hi, lo)
		s.setResidual(math.Sqrt(rest[t]), q.GG[t])
		out = append(out, s)
	}
	return out
}
