//go:build !amd64

package linalg

// availableKernels lists the kernels that this processor can run.
func availableKernels() []kernelPair {
	return []kernelPair{{genericKernel[float32](), genericKernel[float64]()}}
}

// preferBuiltin reports whether builtin is faster than gonum: neither has assembly
// here, and builtin keeps a block of C in registers.
func preferBuiltin() bool { return true }

// bf16Kernel returns the kernel that rounds both operands to bf16: there is none here.
func bf16Kernel() *kernel[float32] { return nil }

// hasAssembly reports whether the builtin kernels are assembly here.
func hasAssembly() bool { return false }

var transposeBF16x4 func(dst *float32, stride int, src *uint16, ld, n int)

// widenBF16 converts len(dst) bf16 values.
func widenBF16(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = bf16ToF32(src[i])
	}
}
