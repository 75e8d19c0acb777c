package linalg

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:noescape
func sgemmTileAVX512(k int, alpha float32, a, b, c *float32, ldc int, add bool)

//go:noescape
func dgemmTileAVX512(k int, alpha float64, a, b, c *float64, ldc int, add bool)

//go:noescape
func sgemmTileAVX2(k int, alpha float32, a, b, c *float32, ldc int, add bool)

//go:noescape
func dgemmTileAVX2(k int, alpha float64, a, b, c *float64, ldc int, add bool)

//go:noescape
func bf16TileAVX512(k int, alpha float32, a, b, c *float32, ldc int, add bool)

//go:noescape
func pairBF16AVX512(pairs int, panel *float32, r int)

//go:noescape
func transpose4Float32(dst *float32, stride int, src *float32, ld, n int)

//go:noescape
func transpose4Float64(dst *float64, stride int, src *float64, ld, n int)

//go:noescape
func transpose4BF16(dst *float32, stride int, src *uint16, ld, n int)

//go:noescape
func copyRowsAVX2(dst, src unsafe.Pointer, panels, stride, width, ld, k int)

//go:noescape
func copyPairsAVX512(dst, src *float32, panels, stride, width, ld, pairs int)

//go:noescape
func transposePairs4(dst *float32, stride int, src *float32, ld, n int)

//go:noescape
func widenBF16AVX2(dst *float32, src *uint16, n int)

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ
)

// preferBuiltin reports whether builtin is faster than gonum: gonum has assembly for
// any amd64 processor, builtin only for those with AVX2 and FMA.
func preferBuiltin() bool { return hasAVX2 }

// hasAssembly reports whether the builtin kernels are assembly here.
func hasAssembly() bool { return hasAVX2 }

// availableKernels lists the kernels that this processor can run, the fastest first.
func availableKernels() []kernelPair {
	var out []kernelPair
	if hasAVX2 {
		out = append(out, kernelPair{
			&kernel[float32]{name: "avx2", mr: 4, nr: 24, kc: 320, mc: 96, block: 2048, tile: sgemmTileAVX2, transpose4: transpose4Float32, copyRows: copyRows[float32]},
			&kernel[float64]{name: "avx2", mr: 4, nr: 12, kc: 256, mc: 64, block: 1536, tile: dgemmTileAVX2, transpose4: transpose4Float64, copyRows: copyRows[float64]},
		})
	}
	if hasAVX512 {
		out = append([]kernelPair{{
			&kernel[float32]{name: "avx512", mr: 12, nr: 32, kc: 320, mc: 144, block: 3072, tile: sgemmTileAVX512, transpose4: transpose4Float32, copyRows: copyRows[float32], narrow: out[0].s},
			&kernel[float64]{name: "avx512", mr: 12, nr: 16, kc: 256, mc: 144, block: 2304, tile: dgemmTileAVX512, transpose4: transpose4Float64, copyRows: copyRows[float64], narrow: out[0].d},
		}}, out...)
	}
	return append(out, kernelPair{genericKernel[float32](), genericKernel[float64]()})
}

// bf16Kernel returns the kernel that rounds both operands to bf16, or nil where the
// processor has no instruction for their products (avx512_bf16: Intel from Cooper Lake,
// AMD from Zen 4 on).
func bf16Kernel() *kernel[float32] {
	if !hasAVX512 || !cpu.X86.HasAVX512BF16 {
		return nil
	}
	return &kernel[float32]{name: "avx512_bf16", mr: 12, nr: 32, kc: 640, mc: 144, block: 3072, tile: bf16TileAVX512, transpose4: transpose4Float32, pair: pairBF16, copyRows: copyPairs, packPairs: packPairs, packHalves: packHalves}
}

// copyRows is kernel.copyRows.
func copyRows[F Float](dst, src []F, panels, width, ld, k int) {
	size := int(unsafe.Sizeof(dst[0]))
	copyRowsAVX2(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), panels, width*k*size, width*size, ld*size, k)
}

// transposeBF16x4 widens 4 bf16 rows of length n into columns, or is nil.
var transposeBF16x4 = func() func(dst *float32, stride int, src *uint16, ld, n int) {
	if hasAVX2 {
		return transpose4BF16
	}
	return nil
}()

// widenBF16 converts len(dst) bf16 values.
func widenBF16(dst []float32, src []uint16) {
	src = src[:len(dst)]
	if len(dst) == 0 {
		return
	}
	if hasAVX2 {
		widenBF16AVX2(&dst[0], &src[0], len(dst))
		return
	}
	for i := range dst {
		dst[i] = bf16ToF32(src[i])
	}
}
