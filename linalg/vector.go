package linalg

import "lep/tensor"

// SDOT returns the inner product of two float32 vectors of one length, summed in
// float32 in a fixed order of 32 partial sums.
func SDOT(x, y []float32) float32 {
	y = y[:len(x)]
	sum, done := fastSDOT(x, y)
	return sum + dotPlain(x[done:], y[done:])
}

// DDOT is SDOT in float64.
func DDOT(x, y []float64) float64 {
	y = y[:len(x)]
	sum, done := fastDDOT(x, y)
	return sum + dotPlain(x[done:], y[done:])
}

// SAXPY adds alpha*x to y.
func SAXPY(alpha float32, x, y []float32) {
	y = y[:len(x)]
	done := fastSAXPY(alpha, x, y)
	axpyPlain(alpha, x[done:], y[done:])
}

// DAXPY adds alpha*x to y.
func DAXPY(alpha float64, x, y []float64) {
	y = y[:len(x)]
	done := fastDAXPY(alpha, x, y)
	axpyPlain(alpha, x[done:], y[done:])
}

// SDOTBF16 returns the inner product of a bf16 and a float32 vector.
func SDOTBF16(a []uint16, x []float32) float32 {
	x = x[:len(a)]
	sum, done := fastSDOTBF16(a, x)
	for i, v := range a[done:] {
		sum += bf16ToF32(v) * x[done+i]
	}
	return sum
}

// SDOTF16 returns the inner product of a float16 and a float32 vector.
func SDOTF16(a []uint16, x []float32) float32 {
	x = x[:len(a)]
	sum, done := fastSDOTF16(a, x)
	for i, v := range a[done:] {
		sum += tensor.F16ToF32(v) * x[done+i]
	}
	return sum
}

// WidenF16 converts len(dst) float16 values to float32, exactly.
func WidenF16(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i := fastWidenF16(dst, src); i < len(dst); i++ {
		dst[i] = tensor.F16ToF32(src[i])
	}
}

// WidenBF16 converts len(dst) bf16 values to float32, exactly.
func WidenBF16(dst []float32, src []uint16) { widenBF16(dst, src) }

// rotate replaces x by cos*x - sin*y and y by sin*x + cos*y.
func rotate(cos, sin float64, x, y []float64) {
	y = y[:len(x)]
	done := fastDROT(cos, sin, x, y)
	rotatePlain(cos, sin, x[done:], y[done:])
}

func rotatePlain(cos, sin float64, x, y []float64) {
	y = y[:len(x)]
	for i, a := range x {
		b := y[i]
		x[i] = cos*a - sin*b
		y[i] = sin*a + cos*b
	}
}

func dotPlain[F Float](x, y []F) F {
	y = y[:len(x)]
	var s0, s1, s2, s3 F
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpyPlain[F Float](alpha F, x, y []F) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

func scale[F Float](f F, x []F) {
	for i := range x {
		x[i] *= f
	}
}
