package linalg

import (
	"runtime"
	"sync"
)

type builtinBLAS struct {
	crew   *Crew
	s      *kernel[float32]
	d      *kernel[float64]
	pool32 *sync.Pool // of *product[float32]
	pool64 *sync.Pool
}

// newBuiltin returns the builtin kernels on up to threads processors.
func newBuiltin(threads int, s *kernel[float32], d *kernel[float64]) *builtinBLAS {
	b := &builtinBLAS{crew: NewCrew(threads), s: s, d: d,
		pool32: &sync.Pool{New: func() any { return new(product[float32]) }},
		pool64: &sync.Pool{New: func() any { return new(product[float64]) }},
	}
	runtime.AddCleanup(b, (*Crew).Stop, b.crew)
	return b
}

func (*builtinBLAS) Name() string { return "builtin" }

// Threads returns the number of processors it was opened for.
func (b *builtinBLAS) Threads() int { return b.crew.n }

func (b *builtinBLAS) SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, bm []float32, ldb int, beta float32, c []float32, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	runProduct(b.pool32, b.s, b.crew, m, n, k, alpha, operand[float32]{data: a, ld: lda, trans: transA},
		operand[float32]{data: bm, ld: ldb, trans: transB}, beta, c, ldc, false)
}

func (b *builtinBLAS) DGEMM(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, bm []float64, ldb int, beta float64, c []float64, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	runProduct(b.pool64, b.d, b.crew, m, n, k, alpha, operand[float64]{data: a, ld: lda, trans: transA},
		operand[float64]{data: bm, ld: ldb, trans: transB}, beta, c, ldc, false)
}

func (b *builtinBLAS) DSYRK(n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	checkGEMM(true, false, n, n, k, len(a), lda, len(a), lda, len(c), ldc)
	runProduct(b.pool64, b.d, b.crew, n, n, k, alpha, operand[float64]{data: a, ld: lda, trans: true},
		operand[float64]{data: a, ld: lda}, beta, c, ldc, true)
}
