package model

import "golang.org/x/sys/cpu"

// hasAVX2 says whether the kernels below run on this processor; tests turn it off.
var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

//go:noescape
func expSumAVX2(n int, x *float32, shift float32) float32

//go:noescape
func expTotalAVX2(n int, x *float32, shift float32) float32

//go:noescape
func maximumAVX2(n int, x *float32) float32

//go:noescape
func scaleAVX2(n int, x *float32, k float32)

//go:noescape
func softmaxBackwardAVX2(n int, dp, p *float32, delta float32)

//go:noescape
func siluAVX2(n int, out, gate, up *float32)

//go:noescape
func siluBackwardAVX2(n int, dout, gate, up *float32)

//go:noescape
func sumSquaresAVX2(n int, x *float32) float64

//go:noescape
func normRowAVX2(n int, y, x, w *float32, plus, r float32)

//go:noescape
func normDotAVX2(n int, dy, x, w *float32, plus float32) float64

//go:noescape
func normRowBackwardAVX2(n int, dx, dy, x, w *float32, plus, r, k float32, assign bool)

//go:noescape
func addProductAVX2(n int, dw, dy, x *float32, r float32)

//go:noescape
func rotateAVX2(n int, a, b, cos, sin *float32)

//go:noescape
func rotateBackwardAVX2(n int, a, b, cos, sin *float32)

//go:noescape
func addBiasAVX2(n int, y, b *float32)

//go:noescape
func dots2x4AVX2(n int, w0, w1, x *float32, ldx int, sums *[8]float32)

//go:noescape
func dots2x4BF16AVX2(n int, w0, w1 *uint16, x *float32, ldx int, sums *[8]float32)
