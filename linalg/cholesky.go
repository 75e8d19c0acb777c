package linalg

import (
	"errors"
	"fmt"
	"math"
)

// errNotPositive says that a Cholesky factorisation met a pivot that is not
// positive: the matrix is singular to working precision.
var errNotPositive = errors.New("matrix is not positive definite")

const cholBlock = 96

// cholesky factors the upper triangle of the symmetric A (n, n), row-major,
// in place: A = RᵀR with R upper triangular; the strict lower triangle is left
// alone. Blocked and right-looking: the bulk of the work is DSYRK.
func cholesky(bl BLAS, threads, n int, a []float64, lda int) error {
	for k := 0; k < n; k += cholBlock {
		w := min(cholBlock, n-k)
		for j := k; j < k+w; j++ { // the diagonal block, unblocked
			row := a[j*lda : j*lda+k+w]
			d := row[j]
			if !(d > 0) || math.IsInf(d, 0) {
				return fmt.Errorf("pivot %d is %g: %w", j, d, errNotPositive)
			}
			d = math.Sqrt(d)
			row[j] = d
			scale(1/d, row[j+1:])
			for i := j + 1; i < k+w; i++ {
				DAXPY(-row[i], row[i:], a[i*lda+i:i*lda+k+w])
			}
		}
		if k+w == n {
			break
		}
		// R12 = R11⁻ᵀ A12, in strips of columns.
		spread(threads, n-k-w, 256, 8, func(lo, hi int) {
			lo, hi = lo+k+w, hi+k+w
			for j := k; j < k+w; j++ {
				row := a[j*lda+lo : j*lda+hi]
				scale(1/a[j*lda+j], row)
				for i := j + 1; i < k+w; i++ {
					DAXPY(-a[j*lda+i], row, a[i*lda+lo:i*lda+hi])
				}
			}
		})
		t := k + w
		bl.DSYRK(n-t, w, -1, a[k*lda+t:], lda, 1, a[t*lda+t:], lda)
	}
	return nil
}

// solveUpperT solves RᵀY = B in place for an upper triangular R (n, n) and B (n, cols).
func solveUpperT(bl BLAS, threads, n, cols int, r []float64, ldr int, b []float64, ldb int) {
	for k := 0; k < n; k += cholBlock {
		w := min(cholBlock, n-k)
		spread(threads, cols, 256, 8, func(lo, hi int) {
			for j := k; j < k+w; j++ {
				row := b[j*ldb+lo : j*ldb+hi]
				scale(1/r[j*ldr+j], row)
				for i := j + 1; i < k+w; i++ {
					DAXPY(-r[j*ldr+i], row, b[i*ldb+lo:i*ldb+hi])
				}
			}
		})
		if t := k + w; t < n {
			bl.DGEMM(true, false, n-t, cols, w, -1, r[k*ldr+t:], ldr, b[k*ldb:], ldb, 1, b[t*ldb:], ldb)
		}
	}
}

// solveUpper solves R X = B in place for an upper triangular R (n, n) and B (n, cols).
func solveUpper(bl BLAS, threads, n, cols int, r []float64, ldr int, b []float64, ldb int) {
	for t := n; t > 0; {
		k := (t - 1) / cholBlock * cholBlock
		spread(threads, cols, 256, 8, func(lo, hi int) {
			for j := t - 1; j >= k; j-- {
				row := b[j*ldb+lo : j*ldb+hi]
				for i := j + 1; i < t; i++ {
					DAXPY(-r[j*ldr+i], b[i*ldb+lo:i*ldb+hi], row)
				}
				scale(1/r[j*ldr+j], row)
			}
		})
		if k > 0 {
			bl.DGEMM(false, false, k, cols, t-k, -1, r[k:], ldr, b[k*ldb:], ldb, 1, b, ldb)
		}
		t = k
	}
}

// solveVectorT and solveVector are the same for one right side.
func solveVectorT(n int, r []float64, ldr int, x []float64) {
	for j := range n {
		x[j] /= r[j*ldr+j]
		DAXPY(-x[j], r[j*ldr+j+1:j*ldr+n], x[j+1:n])
	}
}

func solveVector(n int, r []float64, ldr int, x []float64) {
	for j := n - 1; j >= 0; j-- {
		x[j] = (x[j] - DDOT(r[j*ldr+j+1:j*ldr+n], x[j+1:n])) / r[j*ldr+j]
	}
}
