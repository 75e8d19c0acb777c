package model

import (
	"math"

	"lep/linalg"
	"lep/tensor"
)

// The elementwise kernels. Each does the first multiple of 8 elements in assembly where the
// processor has it (vector_amd64.s) and the rest, or all, in plain Go, which is what the tests
// hold the assembly against.

// lead returns how many of n elements the assembly does.
func lead(n int) int {
	if hasAVX2 {
		return n &^ 7
	}
	return 0
}

// exp32 is e^x in float32, to 2 units in the last place (Cephes' expf): x = n·ln2 + r, a
// polynomial of degree 6 for e^r, and n added to the exponent. Below -86.5 it is 0; above
// 88.376, near the largest float32, it stays what it is there.
func exp32(x float32) float32 {
	if x < -86.5 {
		return 0
	}
	if x > 88.37626 {
		x = 88.37626
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
	return math.Float32frombits(math.Float32bits(y) + uint32(int32(n)<<23))
}

// expBlock is how many exponentials are summed in float32, in eight lanes; the sums of
// blocks are added in float64.
const expBlock = 2048

// expSum replaces x by exp(x - shift) and returns the sum.
func expSum(x []float32, shift float32) float64 {
	var sum float64
	n := lead(len(x))
	for i := 0; i < n; i += expBlock {
		sum += float64(expSumAVX2(min(expBlock, n-i), &x[i], shift))
	}
	for i, v := range x[n:] {
		e := exp32(v - shift)
		x[n+i] = e
		sum += float64(e)
	}
	return sum
}

// expTotal returns the sum of exp(x - shift).
func expTotal(x []float32, shift float32) float64 {
	var sum float64
	n := lead(len(x))
	for i := 0; i < n; i += expBlock {
		sum += float64(expTotalAVX2(min(expBlock, n-i), &x[i], shift))
	}
	for _, v := range x[n:] {
		sum += float64(exp32(v - shift))
	}
	return sum
}

// softmax replaces the scores x by their probabilities and returns log(sum(exp(x))).
func softmax(x []float32) float32 {
	top := maximum(x)
	sum := expSum(x, top)
	scale(x, float32(1/sum))
	return float32(float64(top) + math.Log(sum))
}

// softmaxBackward replaces the gradient dp of probabilities p by that of their scores,
// p·(dp - delta), delta = sum(p·dp).
func softmaxBackward(dp, p []float32, delta float32) {
	p = p[:len(dp)]
	n := lead(len(dp))
	if n > 0 {
		softmaxBackwardAVX2(n, &dp[0], &p[0], delta)
	}
	for i := n; i < len(dp); i++ {
		dp[i] = p[i] * (dp[i] - delta)
	}
}

// maximum returns the largest element, -Inf of none.
func maximum(x []float32) float32 {
	top := float32(math.Inf(-1))
	n := lead(len(x))
	if n > 0 {
		top = maximumAVX2(n, &x[0])
	}
	for _, v := range x[n:] {
		if v > top {
			top = v
		}
	}
	return top
}

// scale multiplies x by k.
func scale(x []float32, k float32) {
	n := lead(len(x))
	if n > 0 {
		scaleAVX2(n, &x[0], k)
	}
	for i := n; i < len(x); i++ {
		x[i] *= k
	}
}

func dot(x, y []float32) float32 { return linalg.SDOT(x, y) }

// add adds k·x to dst.
func add(dst, x []float32, k float32) { linalg.SAXPY(k, x[:len(dst)], dst) }

// addBias adds b to y.
func addBias(y, b []float32) {
	n := lead(len(b))
	if n > 0 {
		addBiasAVX2(n, &y[0], &b[0])
	}
	for i := n; i < len(b); i++ {
		y[i] += b[i]
	}
}

// siluProduct computes out = silu(gate)·up.
func siluProduct(out, gate, up []float32) {
	gate, up = gate[:len(out)], up[:len(out)]
	n := lead(len(out))
	if n > 0 {
		siluAVX2(n, &out[0], &gate[0], &up[0])
	}
	for i := n; i < len(out); i++ {
		g := gate[i]
		out[i] = g / (1 + exp32(-g)) * up[i]
	}
}

// siluProductBackward is gluBackward for silu.
func siluProductBackward(dout, gate, up []float32) {
	gate, up = gate[:len(dout)], up[:len(dout)]
	n := lead(len(dout))
	if n > 0 {
		siluBackwardAVX2(n, &dout[0], &gate[0], &up[0])
	}
	for i := n; i < len(dout); i++ {
		d, g, u := dout[i], gate[i], up[i]
		s := 1 / (1 + exp32(-g))
		y := g * s
		dout[i], gate[i], up[i] = y*u, d*u*(s+y*(1-s)), d*y
	}
}

// sumSquares sums in float64.
func sumSquares(x []float32) float64 {
	var sum float64
	n := lead(len(x))
	if n > 0 {
		sum = sumSquaresAVX2(n, &x[0])
	}
	for _, v := range x[n:] {
		sum += float64(v) * float64(v)
	}
	return sum
}

// normRow computes y = x·r·(w + plus).
func normRow(y, x, w []float32, plus, r float32) {
	x, w = x[:len(y)], w[:len(y)]
	n := lead(len(y))
	if n > 0 {
		normRowAVX2(n, &y[0], &x[0], &w[0], plus, r)
	}
	for i := n; i < len(y); i++ {
		y[i] = x[i] * r * (w[i] + plus)
	}
}

// normDot returns sum(dy·(w + plus)·x), added in float64.
func normDot(dy, x, w []float32, plus float32) float64 {
	x, w = x[:len(dy)], w[:len(dy)]
	var sum float64
	n := lead(len(dy))
	if n > 0 {
		sum = normDotAVX2(n, &dy[0], &x[0], &w[0], plus)
	}
	for i := n; i < len(dy); i++ {
		sum += float64(dy[i] * (w[i] + plus) * x[i])
	}
	return sum
}

// normRowBackward adds r·(dy·(w + plus) - x·k) to dx, or with assign writes it.
func normRowBackward(dx, dy, x, w []float32, plus, r, k float32, assign bool) {
	dy, x, w = dy[:len(dx)], x[:len(dx)], w[:len(dx)]
	n := lead(len(dx))
	if n > 0 {
		normRowBackwardAVX2(n, &dx[0], &dy[0], &x[0], &w[0], plus, r, k, assign)
	}
	for i := n; i < len(dx); i++ {
		v := r * (dy[i]*(w[i]+plus) - x[i]*k)
		if !assign {
			v += dx[i]
		}
		dx[i] = v
	}
}

// addProduct adds dy·x·r to dw.
func addProduct(dw, dy, x []float32, r float32) {
	dy, x = dy[:len(dw)], x[:len(dw)]
	n := lead(len(dw))
	if n > 0 {
		addProductAVX2(n, &dw[0], &dy[0], &x[0], r)
	}
	for i := n; i < len(dw); i++ {
		dw[i] += dy[i] * x[i] * r
	}
}

// rotate turns each pair (x[i], x[i+half]) by the angle of a position, in place: HF's
// half-split order, not the neighbours of Meta's files.
func rotate(x, cos, sin []float32) {
	half := len(cos)
	a, b, sin := x[:half], x[half:2*half], sin[:half]
	n := lead(half)
	if n > 0 {
		rotateAVX2(n, &a[0], &b[0], &cos[0], &sin[0])
	}
	for i := n; i < half; i++ {
		c, s := cos[i], sin[i]
		a[i], b[i] = a[i]*c-b[i]*s, b[i]*c+a[i]*s
	}
}

// rotateBackward turns a gradient back: the transpose of a rotation is the rotation by minus
// the angle.
func rotateBackward(dx, cos, sin []float32) {
	half := len(cos)
	a, b, sin := dx[:half], dx[half:2*half], sin[:half]
	n := lead(half)
	if n > 0 {
		rotateBackwardAVX2(n, &a[0], &b[0], &cos[0], &sin[0])
	}
	for i := n; i < half; i++ {
		c, s := cos[i], sin[i]
		a[i], b[i] = a[i]*c+b[i]*s, b[i]*c-a[i]*s
	}
}

// widenHalf converts BF16 or F16 to float32, exactly.
func widenHalf(dst []float32, src []uint16, d tensor.DType) {
	if d == tensor.BF16 {
		linalg.WidenBF16(dst, src)
		return
	}
	linalg.WidenF16(dst, src)
}
