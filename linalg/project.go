package linalg

// Project computes dst = rows·W in float64: rows (n, dim), W (dim, dim), dst (n, dim),
// the projection of a donor's rows into the target's space. dst may not alias rows.
func Project(blas BLAS, dst []float64, n int, rows, w []float64, dim int) {
	blas.DGEMM(false, false, n, dim, dim, 1, rows, dim, w, dim, 0, dst, dim)
}

// ProjectDelta32 computes dst = rows + rows·X in float32 for X = W - I rounded to
// float32, at twice the speed of Project. With γ = dim·2^-24, an entry is off by at most
// 2^-23·|row_j| + (γ + 2^-23)·Σᵢ|row_i||X_ij|, in practice by sqrt(dim)·2^-24 of the
// change: well below the rounding of a result that is stored in 16 bits (2^-9 for
// BF16, 2^-11 for F16), but not exact: a value near a tie may round the other way.
func ProjectDelta32(blas BLAS, dst []float32, n int, rows, delta []float32, dim int) {
	copy(dst[:n*dim], rows[:n*dim])
	blas.SGEMM(false, false, n, dim, dim, 1, rows, dim, delta, dim, 1, dst, dim)
}

// Delta32 returns W - I rounded to float32, for ProjectDelta32.
func Delta32(w []float64, dim int) []float32 {
	out := make([]float32, dim*dim)
	for i, v := range w[:dim*dim] {
		if i%(dim+1) == 0 {
			v--
		}
		out[i] = float32(v)
	}
	return out
}
