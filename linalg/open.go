package linalg

import (
	"fmt"
	"strings"

	"lep/internal/hint"
)

// Names are the words that Open takes.
var Names = []string{"auto", "builtin", "openblas", "mkl", "accelerate", "gonum"}

// Open returns the named implementation working on up to threads processors
// (at least 1). "auto" takes the first that works of MKL, OpenBLAS, Accelerate,
// the builtin kernels and gonum; gonum only comes before builtin on processors
// for which builtin has no assembly. A library that is named but not found is an
// error that lists where it was looked for.
func Open(name string, threads int) (BLAS, error) {
	threads = max(threads, 1)
	switch name {
	case "auto", "":
		for _, lib := range []string{"mkl", "openblas", "accelerate"} {
			if b, err := openLibrary(lib, threads); err == nil {
				return b, nil
			}
		}
		if !fastBuiltin() {
			return gonumBLAS{}, nil
		}
		return openBuiltin(threads), nil
	case "builtin":
		return openBuiltin(threads), nil
	case "gonum":
		return gonumBLAS{}, nil
	case "mkl", "openblas", "accelerate":
		b, err := openLibrary(name, threads)
		if err != nil {
			return nil, hint.Errorf("--blas auto takes the best that is there; builtin needs nothing installed", "blas %s: %w", name, err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("blas %q: unknown, want one of %s", name, strings.Join(Names, ", "))
}

func openBuiltin(threads int) BLAS {
	s, d := builtinKernels()
	return newBuiltin(threads, s, d)
}
