//go:build amd64

package linalg

// builtinKernels returns the fastest kernels for this processor; until
// assembly for it, so the plain ones.
func builtinKernels() (*kernel[float32], *kernel[float64]) {
	return genericKernel[float32](), genericKernel[float64]()
}

// fastBuiltin reports whether builtin has assembly for this processor.
func fastBuiltin() bool { return false }

var transposeBF16x4 func(dst *float32, stride int, src *uint16, ld, n int)

func widenBF16(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = bf16ToF32(src[i])
	}
}
