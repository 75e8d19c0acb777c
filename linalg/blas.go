package linalg

// BLAS is what lep needs of a linear algebra library: matrix products over
// row-major storage. All matrices are row-major with the row strides lda, ldb
// and ldc in elements. Implementations panic on strides or slices that are too
// short ("linalg: ldb < n"); they are a caller's bug.
type BLAS interface {
	// Name is the word that --blas takes: builtin, openblas, mkl, accelerate, gonum.
	Name() string

	// SGEMM computes C = alpha*op(A)*op(B) + beta*C in float32, with op(A) (m, k)
	// and op(B) (k, n); transA says that A is stored (k, m), transB that B is (n, k).
	SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

	// DGEMM is SGEMM in float64.
	DGEMM(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int)

	// DSYRK computes the upper triangle of C = alpha*AᵀA + beta*C, A (k, n), C (n, n);
	// the lower triangle is left alone.
	DSYRK(n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int)
}
