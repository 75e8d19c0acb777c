package linalg

// Int8Group is the number of consecutive weights of a row that share a scale in
// SGEMVInt8.
const Int8Group = 32

// SGEMV computes y = A x for A (m, k) with row stride lda, x (k), y (m): one inner
// product per row, on the caller's processor. It is for reading weights once, at batch
// 1, where memory bandwidth is the limit: the rows are read one after another, as they
// lie, which one processor does at up to twice the rate of four rows at a time.
func SGEMV(m, k int, a []float32, lda int, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	for i := range m {
		y[i] = SDOT(a[i*lda:i*lda+k], x[:k])
	}
}

// SGEMVBF16 is SGEMV for bf16 weights, which are widened on the way.
func SGEMVBF16(m, k int, a []uint16, lda int, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	for i := range m {
		y[i] = SDOTBF16(a[i*lda:i*lda+k], x[:k])
	}
}

// SGEMVF16 is SGEMV for float16 weights, which are widened on the way.
func SGEMVF16(m, k int, a []uint16, lda int, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	for i := range m {
		y[i] = SDOTF16(a[i*lda:i*lda+k], x[:k])
	}
}

// SGEMVInt8 is SGEMV for int8 weights with a scale for each group of Int8Group weights
// of a row: scale is (m, ceil(k/Int8Group)), the weight a[i,j]*scale[i,j/Int8Group].
func SGEMVInt8(m, k int, a []int8, lda int, scale []float32, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	groups := (k + Int8Group - 1) / Int8Group
	if len(scale) < m*groups {
		panic("linalg: scale is too short")
	}
	for i := range m {
		y[i] = dotInt8Groups(a[i*lda:i*lda+k], scale[i*groups:(i+1)*groups], x[:k])
	}
}

func checkGEMV(m, k, lenA, lda int, x, y []float32) {
	if m < 0 || k < 0 {
		panic("linalg: negative size")
	}
	checkMatrix("a", m, k, lenA, lda)
	if len(x) < k {
		panic("linalg: x is too short")
	}
	if len(y) < m {
		panic("linalg: y is too short")
	}
}

func dotInt8Groups(a []int8, scale, x []float32) float32 {
	x = x[:len(a)]
	sum, done := fastSDOTInt8Groups(a, scale, x)
	for ; done < len(a); done += Int8Group {
		var group float32
		for i := done; i < min(done+Int8Group, len(a)); i++ {
			group += float32(a[i]) * x[i]
		}
		sum += scale[done/Int8Group] * group
	}
	return sum
}

// QuantizeInt8 rounds a row to int8 with one scale per Int8Group weights, absmax/127
// each, to nearest: row[i] ≈ q[i]*scale[i/Int8Group]. len(scale) is
// ceil(len(row)/Int8Group). A group of zeros gets scale 0.
func QuantizeInt8(q []int8, scale, row []float32) {
	q = q[:len(row)]
	for g := range scale {
		part := row[g*Int8Group : min((g+1)*Int8Group, len(row))]
		var top float32
		for _, v := range part {
			top = max(top, v, -v)
		}
		scale[g] = top / 127
		var inv float32
		if top > 0 {
			inv = 127 / top
		}
		for i, v := range part {
			r := v * inv
			if r < 0 {
				q[g*Int8Group+i] = int8(r - 0.5)
			} else {
				q[g*Int8Group+i] = int8(r + 0.5)
			}
		}
	}
}
