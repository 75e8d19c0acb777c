package linalg

import "unsafe"

// kernelPair is a set of kernels of one kind.
type kernelPair struct {
	s *kernel[float32]
	d *kernel[float64]
}

// builtinKernels returns the fastest kernels for this processor.
func builtinKernels() (*kernel[float32], *kernel[float64]) {
	best := availableKernels()[0]
	return best.s, best.d
}

// genericKernel is the micro-kernel in plain Go: for machines without assembly,
// and the oracle of those with it.
func genericKernel[F Float]() *kernel[F] {
	return &kernel[F]{name: "generic", mr: 4, nr: 4, kc: 256, mc: 64, block: 1024, tile: genericTile[F]}
}

func genericTile[F Float](k int, alpha F, a, b, c *F, ldc int, add bool) {
	pa, pb := unsafeSlice(a, 4*k), unsafeSlice(b, 4*k)
	pc := unsafeSlice(c, 3*ldc+4)
	var c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33 F
	for len(pa) >= 4 && len(pb) >= 4 {
		a0, a1, a2, a3 := pa[0], pa[1], pa[2], pa[3]
		b0, b1, b2, b3 := pb[0], pb[1], pb[2], pb[3]
		c00 += a0 * b0
		c01 += a0 * b1
		c02 += a0 * b2
		c03 += a0 * b3
		c10 += a1 * b0
		c11 += a1 * b1
		c12 += a1 * b2
		c13 += a1 * b3
		c20 += a2 * b0
		c21 += a2 * b1
		c22 += a2 * b2
		c23 += a2 * b3
		c30 += a3 * b0
		c31 += a3 * b1
		c32 += a3 * b2
		c33 += a3 * b3
		pa, pb = pa[4:], pb[4:]
	}
	for i, row := range [4][4]F{{c00, c01, c02, c03}, {c10, c11, c12, c13}, {c20, c21, c22, c23}, {c30, c31, c32, c33}} {
		out := pc[i*ldc : i*ldc+4]
		for j, v := range row {
			if add {
				out[j] += alpha * v
			} else {
				out[j] = alpha * v
			}
		}
	}
}

func unsafeSlice[F Float](p *F, n int) []F { return unsafe.Slice(p, n) }
