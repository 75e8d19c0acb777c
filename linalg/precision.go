package linalg

import (
	"fmt"

	"lep/internal/hint"
)

// Precision says in what the large products of a model multiply.
type Precision string

// The precisions.
const (
	Float32 Precision = "float32"
	// BF16 rounds both sides of the large products to bf16 as they are packed and adds in
	// float32, as PyTorch's autocast does; see [OpenBF16].
	BF16 Precision = "bf16"
)

// ParsePrecision reads a Precision; "" is Float32.
func ParsePrecision(s string) (Precision, error) {
	switch p := Precision(s); p {
	case "":
		return Float32, nil
	case Float32, BF16:
		return p, nil
	}
	return "", fmt.Errorf("%q, want one of %s, %s", s, Float32, BF16)
}

// OpenPrecision is [Open], or [OpenBF16] for BF16.
func OpenPrecision(name string, p Precision, threads int) (BLAS, error) {
	if p == BF16 {
		return OpenBF16(name, threads)
	}
	return Open(name, threads)
}

// OpenBF16 returns an implementation whose SGEMM rounds A and B to bf16 and adds their
// products in float32, at up to twice the speed; its other products are as ever. Only the
// builtin kernels have it, on processors with avx512_bf16; name is what [Open] takes.
func OpenBF16(name string, threads int) (BLAS, error) {
	if name != "auto" && name != "" && name != "builtin" {
		return nil, hint.Errorf("--blas builtin has one", "blas %s: lep calls no bf16 product of it", name)
	}
	s := bf16Kernel()
	if s == nil {
		return nil, hint.Errorf("use float32, which is as fast here", "bf16: this processor has no products of bf16 (avx512_bf16)")
	}
	_, d := builtinKernels()
	return newBuiltin(threads, s, d), nil
}
