package linalg

import (
	"gonum.org/v1/gonum/blas"
	gonumblas "gonum.org/v1/gonum/blas/gonum"
)

// gonumBLAS is gonum's pure Go implementation. It uses all processors and cannot
// be told otherwise.
type gonumBLAS struct{ impl gonumblas.Implementation }

func (gonumBLAS) Name() string { return "gonum" }

func gonumTrans(t bool) blas.Transpose {
	if t {
		return blas.Trans
	}
	return blas.NoTrans
}

func (g gonumBLAS) SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	if onlyScaled(m, n, k, alpha, beta, c, ldc, false) {
		return
	}
	if beta == 0 { // gonum multiplies by zero in some paths: NaN would stay
		scaleRows(m, n, 0, c, ldc, false)
		beta = 1
	}
	g.impl.Sgemm(gonumTrans(transA), gonumTrans(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (g gonumBLAS) DGEMM(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	if onlyScaled(m, n, k, alpha, beta, c, ldc, false) {
		return
	}
	if beta == 0 {
		scaleRows(m, n, 0, c, ldc, false)
		beta = 1
	}
	g.impl.Dgemm(gonumTrans(transA), gonumTrans(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (g gonumBLAS) DSYRK(n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	checkGEMM(true, false, n, n, k, len(a), lda, len(a), lda, len(c), ldc)
	if n == 0 {
		return
	}
	scaleRows(n, n, beta, c, ldc, true)
	if k == 0 || alpha == 0 {
		return
	}
	// gonum's Dsyrk runs on one processor; its Dgemm on all. Strips of the upper
	// triangle as products waste half a strip and are faster on two or more.
	const strip = 128
	for i := 0; i < n; i += strip {
		w := min(strip, n-i)
		g.impl.Dsyrk(blas.Upper, blas.Trans, w, k, alpha, a[i:], lda, 1, c[i*ldc+i:], ldc)
		if j := i + w; j < n {
			g.impl.Dgemm(blas.Trans, blas.NoTrans, w, n-j, k, alpha, a[i:], lda, a[j:], lda, 1, c[i*ldc+j:], ldc)
		}
	}
}
