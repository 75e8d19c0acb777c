package model

import (
	"math"

	"lep/tensor"
)

// exp32 is e^x in float32, to 2 units in the last place (Cephes' expf): x = n·ln2 + r, a
// polynomial of degree 6 for e^r, and n added to the exponent. Below -87.3 it is 0.
func exp32(x float32) float32 {
	if x < -87.33654 {
		return 0
	}
	if x > 88.72 {
		return float32(math.Inf(1))
	}
	const ln2High, ln2Low = 0.693359375, -2.12194440e-4
	n := float32(math.RoundToEven(float64(x * math.Log2E)))
	r := x - n*ln2High - n*ln2Low
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 5.0000001201e-1
	y := p*r*r + r + 1
	// Two factors, because 2^128 is no float32.
	half := int32(n) >> 1
	return y * math.Float32frombits(uint32(half+127)<<23) * math.Float32frombits(uint32(int32(n)-half+127)<<23)
}

// softmax replaces the scores x by their probabilities and returns log(sum(exp(x))).
// An empty or all -Inf row stays as it is.
func softmax(x []float32) float32 {
	top := maximum(x)
	sum := expSum(x, top)
	scale(x, 1/sum)
	return top + float32(math.Log(float64(sum)))
}

// expSum replaces x by exp(x - shift) and returns the sum.
func expSum(x []float32, shift float32) float32 {
	var sum float64
	for i, v := range x {
		e := exp32(v - shift)
		x[i] = e
		sum += float64(e)
	}
	return float32(sum)
}

// expShift replaces x by exp(x - shift).
func expShift(x []float32, shift float32) {
	for i, v := range x {
		x[i] = exp32(v - shift)
	}
}

// softmaxBackward replaces the gradient dp of probabilities p by that of their scores,
// p·(dp - delta), delta = sum(p·dp).
func softmaxBackward(dp, p []float32, delta float32) {
	p = p[:len(dp)]
	for i, v := range dp {
		dp[i] = p[i] * (v - delta)
	}
}

func maximum(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

func scale(x []float32, k float32) {
	for i := range x {
		x[i] *= k
	}
}

func dot(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
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

// add adds k·x to dst.
func add(dst, x []float32, k float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] += k * v
	}
}

// widenHalf converts BF16 or F16 to float32, exactly.
func widenHalf(dst []float32, src []uint16, d tensor.DType) {
	src = src[:len(dst)]
	if d == tensor.BF16 {
		for i, h := range src {
			dst[i] = math.Float32frombits(uint32(h) << 16)
		}
		return
	}
	for i, h := range src {
		dst[i] = tensor.F16ToF32(h)
	}
}
