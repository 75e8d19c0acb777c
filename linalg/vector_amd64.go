package linalg

import "golang.org/x/sys/cpu"

//go:noescape
func sdotAVX2(n int, x, y *float32) float32

//go:noescape
func sdotBF16AVX2(n int, a *uint16, x *float32) float32

//go:noescape
func sdotF16AVX2(n int, a *uint16, x *float32) float32

//go:noescape
func widenF16AVX2(n int, dst *float32, src *uint16)

//go:noescape
func sdotInt8GroupsAVX2(groups int, a *int8, scale, x *float32) float32

//go:noescape
func saxpyAVX2(n int, alpha float32, x, y *float32)

//go:noescape
func ddotAVX2(n int, x, y *float64) float64

//go:noescape
func daxpyAVX2(n int, alpha float64, x, y *float64)

//go:noescape
func drotAVX2(n int, cos, sin float64, x, y *float64)

// The fast… functions do a leading part of the vectors and return its length (and
// sum), 0 where there is no assembly; the caller does the rest in plain Go.

func fastSDOT(x, y []float32) (sum float32, done int) {
	if n := len(x) &^ 7; hasAVX2 && n > 0 {
		return sdotAVX2(n, &x[0], &y[0]), n
	}
	return 0, 0
}

func fastSDOTBF16(a []uint16, x []float32) (sum float32, done int) {
	if n := len(a) &^ 7; hasAVX2 && n > 0 {
		return sdotBF16AVX2(n, &a[0], &x[0]), n
	}
	return 0, 0
}

// hasF16C says whether the processor widens float16.
var hasF16C = hasAVX2 && cpu.X86.HasF16C

func fastSDOTF16(a []uint16, x []float32) (sum float32, done int) {
	if n := len(a) &^ 7; hasF16C && n > 0 {
		return sdotF16AVX2(n, &a[0], &x[0]), n
	}
	return 0, 0
}

func fastWidenF16(dst []float32, src []uint16) (done int) {
	n := len(dst) &^ 7
	if !hasF16C || n == 0 {
		return 0
	}
	widenF16AVX2(n, &dst[0], &src[0])
	return n
}

func fastSDOTInt8Groups(a []int8, scale, x []float32) (sum float32, done int) {
	if g := len(a) / Int8Group; hasAVX2 && g > 0 {
		return sdotInt8GroupsAVX2(g, &a[0], &scale[0], &x[0]), g * Int8Group
	}
	return 0, 0
}

func fastSAXPY(alpha float32, x, y []float32) (done int) {
	if n := len(x) &^ 7; hasAVX2 && n > 0 {
		saxpyAVX2(n, alpha, &x[0], &y[0])
		return n
	}
	return 0
}

func fastDDOT(x, y []float64) (sum float64, done int) {
	if n := len(x) &^ 3; hasAVX2 && n > 0 {
		return ddotAVX2(n, &x[0], &y[0]), n
	}
	return 0, 0
}

func fastDAXPY(alpha float64, x, y []float64) (done int) {
	if n := len(x) &^ 3; hasAVX2 && n > 0 {
		daxpyAVX2(n, alpha, &x[0], &y[0])
		return n
	}
	return 0
}

func fastDROT(cos, sin float64, x, y []float64) (done int) {
	if n := len(x) &^ 3; hasAVX2 && n > 0 {
		drotAVX2(n, cos, sin, &x[0], &y[0])
		return n
	}
	return 0
}
