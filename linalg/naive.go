package linalg

// Float is what the kernels compute in.
type Float interface{ float32 | float64 }

// gemmNaive is the plain product that every implementation is held against:
// C = alpha*op(A)*op(B) + beta*C, summed in float64 in the order of k. With
// beta 0, C is not read.
func gemmNaive[F Float](transA, transB bool, m, n, k int, alpha F, a []F, lda int, b []F, ldb int, beta F, c []F, ldc int) {
	for i := range m {
		for j := range n {
			var sum float64
			for p := range k {
				x, y := i*lda+p, p*ldb+j
				if transA {
					x = p*lda + i
				}
				if transB {
					y = j*ldb + p
				}
				sum += float64(a[x]) * float64(b[y])
			}
			v := float64(alpha) * sum
			if beta != 0 {
				v += float64(beta) * float64(c[i*ldc+j])
			}
			c[i*ldc+j] = F(v)
		}
	}
}

// checkGEMM panics if a stride or slice is too short: a caller's bug.
func checkGEMM(transA, transB bool, m, n, k, lenA, lda, lenB, ldb, lenC, ldc int) {
	if m < 0 || n < 0 || k < 0 {
		panic("linalg: negative size")
	}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if transA {
		rowsA, colsA = k, m
	}
	if transB {
		rowsB, colsB = n, k
	}
	checkMatrix("a", rowsA, colsA, lenA, lda)
	checkMatrix("b", rowsB, colsB, lenB, ldb)
	checkMatrix("c", m, n, lenC, ldc)
}

func checkMatrix(name string, rows, cols, length, ld int) {
	if rows == 0 || cols == 0 {
		return
	}
	if ld < cols {
		panic("linalg: ld" + name + " < columns of " + name)
	}
	if length < (rows-1)*ld+cols {
		panic("linalg: " + name + " is too short")
	}
}

// onlyScaled reports whether alpha*op(A)*op(B) + beta*C needs no product, the sizes being
// (m, k), (k, n) and (m, n), and then stores beta*C. With upper, only j >= i is touched.
func onlyScaled[F Float](m, n, k int, alpha, beta F, c []F, ldc int, upper bool) bool {
	if m == 0 || n == 0 {
		return true
	}
	if k == 0 || alpha == 0 {
		scaleRows(m, n, beta, c, ldc, upper)
		return true
	}
	return false
}

// scaleRows multiplies an (m, n) matrix by beta; beta 0 stores zeros over
// whatever is there, NaN included. With upper, only j >= i is touched.
func scaleRows[F Float](m, n int, beta F, c []F, ldc int, upper bool) {
	if beta == 1 {
		return
	}
	for i := range m {
		lo := 0
		if upper {
			lo = min(i, n)
		}
		row := c[i*ldc+lo : i*ldc+n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}
