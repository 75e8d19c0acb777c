// Package linalg is the linear algebra under lep: matrix products and the
// streaming least squares that learned embedding propagation rests on.
//
// [Open] picks a matrix library at run time ([BLAS]): MKL, OpenBLAS or
// Accelerate where the system has one (opened with dlopen, no cgo), else the
// builtin kernels of this package, AVX-512 and AVX2 assembly on amd64 and plain
// Go elsewhere. [OpenBF16] opens products of bf16, where the processor has them. A [Crew] runs
// products and whatever else is shared out among processors. [SGEMV] and its relatives serve generation at batch 1, where the
// weights are read once and memory bandwidth is the limit.
//
// [Fit] solves min ||S W - G|| over rows that are streamed in blocks, in float64
// and in memory O(dim²), with a rank decided by the rounding noise of the stored
// rows (reference/lep 3.2: W = I + S⁺(G - S)). [NormalEquations] is its first
// half and serves folds, ridge and several targets at once:
//
//	blas, err := linalg.Open("auto", runtime.NumCPU())
//	…
//	sol, err := linalg.Fit(ctx, blas, dim, 1, tensor.BF16.UnitRoundoff(), blocks)
//	linalg.Project(blas, dst, rows, donor, sol[0].W, dim)
//
// A program that may open libraries needs the system's dynamic loader; built with
// the tag lep_static it is a static file that has the builtin kernels and gonum only.
//
// All matrices are row-major. Results of the builtin kernels do not depend on
// the number of threads, bit for bit; those of foreign libraries may.
package linalg
