package linalg

import (
	"context"
	"math"
)

// Blocks streams paired rows: it calls add for block after block, each s and g
// (rows, dim), one g per target, and passes on an error of add. It may be called
// more than once and must give the same rows each time. Blocks of 512 to 4096 rows
// keep the matrix library busy; add copies what it keeps.
type Blocks func(add func(rows int, s []float64, g ...[]float64) error) error

// Fit solves min ||S W - G||_F for one or more targets over streamed rows that were
// stored with unit roundoff u (tensor.DType.UnitRoundoff), and returns a Solution
// per target: W = I + S⁺(G - S), singular values of S at or below the noise floor
// cut off, so that directions in which S only has rounding noise are left as they
// are. float64 throughout; memory about (3+3·targets)·dim² values.
//
// The rows are streamed once if the normal equations settle the matter (full rank
// and moderate condition, the usual case) and a second time through [QR] if not.
func Fit(ctx context.Context, blas BLAS, dim, targets int, u float64, blocks Blocks) ([]*Solution, error) {
	n := NewMultiNormalEquations(dim, targets, blas)
	err := blocks(func(rows int, s []float64, g ...[]float64) error {
		n.AddMulti(rows, s, g...)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	if out, ok := n.solveCholesky(u); ok {
		return out, nil
	}
	n = nil // its memory is needed below
	return FitQR(ctx, blas, dim, targets, u, blocks)
}

// FitQR is the second half of Fit, for callers that have tried [NormalEquations.Solve]
// and got ErrUnresolved: one pass over the rows through [QR].
func FitQR(ctx context.Context, blas BLAS, dim, targets int, u float64, blocks Blocks) ([]*Solution, error) {
	q, err := stream(ctx, blas, dim, targets, blocks)
	if err != nil {
		return nil, err
	}
	return q.solve(ctx, u)
}

// FitReference solves as the method's authors do: minimum-norm W = S⁺G with the
// rank at epsilon(float64)·max(rows, dim); see [QR.SolveReference].
func FitReference(ctx context.Context, blas BLAS, dim, targets int, blocks Blocks) ([]*Solution, error) {
	q, err := stream(ctx, blas, dim, targets, blocks)
	if err != nil {
		return nil, err
	}
	return q.solveReference(ctx)
}

// stream decomposes all rows, gathered to blocks of up to 1024 rows.
func stream(ctx context.Context, blas BLAS, dim, targets int, blocks Blocks) (*QR, error) {
	q := NewQR(dim, targets, blas)
	limit := min(max(dim, 256), 1024)
	s := make([]float64, 0, limit*dim)
	g := make([][]float64, targets)
	for t := range g {
		g[t] = make([]float64, 0, limit*dim)
	}
	flush := func() {
		q.Add(len(s)/dim, s, g...)
		s = s[:0]
		for t := range g {
			g[t] = g[t][:0]
		}
	}
	err := blocks(func(rows int, bs []float64, bg ...[]float64) error {
		for at := 0; at < rows; {
			k := min(rows-at, limit-len(s)/dim)
			s = append(s, bs[at*dim:(at+k)*dim]...)
			for t := range g {
				g[t] = append(g[t], bg[t][at*dim:(at+k)*dim]...)
			}
			at += k
			if len(s) == limit*dim {
				flush()
				if err := ctx.Err(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	return q, nil
}

// Residual streams the rows once more and returns ||S W - G||_F for each W (dim, dim),
// one per target, computed row by row: exact where the Gram quantities cancel.
func Residual(ctx context.Context, blas BLAS, dim int, w [][]float64, blocks Blocks) ([]float64, error) {
	out := make([]float64, len(w))
	var r []float64
	err := blocks(func(rows int, s []float64, g ...[]float64) error {
		r = grow(r, rows*dim)
		for t := range w {
			copy(r, g[t][:rows*dim])
			blas.DGEMM(false, false, rows, dim, dim, 1, s, dim, w[t], dim, -1, r, dim)
			out[t] += DDOT(r, r)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for t := range out {
		out[t] = math.Sqrt(out[t])
	}
	return out, nil
}
