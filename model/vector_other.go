//go:build !amd64

package model

// There is no assembly for this processor: vector.go does all in plain Go and calls none of these.
const hasAVX2 = false

const noAssembly = "model: no assembly for this processor"

func expSumAVX2(n int, x *float32, shift float32) float32        { panic(noAssembly) }
func expTotalAVX2(n int, x *float32, shift float32) float32      { panic(noAssembly) }
func maximumAVX2(n int, x *float32) float32                      { panic(noAssembly) }
func scaleAVX2(n int, x *float32, k float32)                     { panic(noAssembly) }
func softmaxBackwardAVX2(n int, dp, p *float32, delta float32)   { panic(noAssembly) }
func siluAVX2(n int, out, gate, up *float32)                     { panic(noAssembly) }
func siluBackwardAVX2(n int, dout, gate, up *float32)            { panic(noAssembly) }
func sumSquaresAVX2(n int, x *float32) float64                   { panic(noAssembly) }
func normRowAVX2(n int, y, x, w *float32, plus, r float32)       { panic(noAssembly) }
func normDotAVX2(n int, dy, x, w *float32, plus float32) float64 { panic(noAssembly) }
func normRowBackwardAVX2(n int, dx, dy, x, w *float32, plus, r, k float32, assign bool) {
	panic(noAssembly)
}
func addProductAVX2(n int, dw, dy, x *float32, r float32)                          { panic(noAssembly) }
func rotateAVX2(n int, a, b, cos, sin *float32)                                    { panic(noAssembly) }
func rotateBackwardAVX2(n int, a, b, cos, sin *float32)                            { panic(noAssembly) }
func addBiasAVX2(n int, y, b *float32)                                             { panic(noAssembly) }
func dots2x4AVX2(n int, w0, w1, x *float32, ldx int, sums *[8]float32)             { panic(noAssembly) }
func dots2x4BF16AVX2(n int, w0, w1 *uint16, x *float32, ldx int, sums *[8]float32) { panic(noAssembly) }
