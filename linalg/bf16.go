package linalg

import "sync"

// widened is a strip of bf16 weights in float32 for libraries that can't read bf16.
var widened = sync.Pool{New: func() any { return new([]float32) }}

// fewRows is up to how many rows of A the builtin kernels multiply bf16 weights in
// place of a library: for so few, widening would cost as much as the product.
const fewRows = 128

// wide are builtin kernels beside a library, by their threads.
var wide sync.Map

func wideBuiltin(threads int) *builtinBLAS {
	b, ok := wide.Load(threads)
	if !ok {
		s, d := builtinKernels()
		b, _ = wide.LoadOrStore(threads, newBuiltin(threads, s, d))
	}
	return b.(*builtinBLAS)
}

// stripValues bounds such a strip: 4 MiB of float32.
const stripValues = 1 << 20

// SGEMMBF16 computes C = alpha*op(A)*op(B) + beta*C as BLAS.SGEMM does, with B in
// bf16: frozen weights straight from a mapped file, (n, k) with transB as a linear layer
// stores them, (k, n) without, as its gradient needs them. B is widened, which is exact,
// while it is packed, or for other libraries than builtin and more than 128 rows of A in
// strips of 4 MiB, so a float32 copy of the weights never exists. For one row of A see
// SGEMVBF16.
func SGEMMBF16(bl BLAS, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []uint16, ldb int, beta float32, c []float32, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(c), ldc)
	bi, ok := bl.(*builtinBLAS)
	if ok || m <= fewRows && preferBuiltin() {
		if !ok {
			bi = wideBuiltin(threadsOf(bl))
		}
		runProduct(bi.pool32, bi.s, bi.crew, m, n, k, alpha, operand[float32]{data: a, ld: lda, trans: transA},
			operand[float32]{bf16: b, ld: ldb, trans: transB}, beta, c, ldc, false)
		return
	}
	if onlyScaled(m, n, k, alpha, beta, c, ldc, false) {
		return
	}
	buf := widened.Get().(*[]float32)
	defer widened.Put(buf)
	rows, cols := k, n
	if transB {
		rows, cols = n, k
	}
	strip := min(rows, max(1, stripValues/cols))
	*buf = grow(*buf, strip*cols)
	for r := 0; r < rows; r += strip {
		w := min(strip, rows-r)
		for i := range w {
			widenBF16((*buf)[i*cols:(i+1)*cols], b[(r+i)*ldb:])
		}
		switch {
		case transB:
			bl.SGEMM(transA, true, m, w, k, alpha, a, lda, *buf, cols, beta, c[r:], ldc)
			continue
		case transA:
			bl.SGEMM(true, false, m, n, w, alpha, a[r*lda:], lda, *buf, cols, beta, c, ldc)
		default:
			bl.SGEMM(false, false, m, n, w, alpha, a[r:], lda, *buf, cols, beta, c, ldc)
		}
		beta = 1
	}
}
