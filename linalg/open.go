package linalg

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"lep/internal/hint"
)

// Names are the words that Open takes.
var Names = []string{"auto", "builtin", "openblas", "mkl", "accelerate", "gonum"}

// preference is the order in which "auto" tries. The builtin kernels come before OpenBLAS where
// they have assembly: they are as fast (measured, see docs/LOG.md), do not spin while they
// wait, and give the same bits whatever the number of threads. Accelerate uses matrix units
// that nothing else reaches, and MKL was not measured against.
func preference() []string {
	switch {
	case hasAssembly():
		return []string{"mkl", "builtin", "openblas", "accelerate", "gonum"}
	case preferBuiltin():
		return []string{"mkl", "openblas", "accelerate", "builtin", "gonum"}
	}
	return []string{"mkl", "openblas", "accelerate", "gonum", "builtin"}
}

// Open returns the named implementation, working on up to threads processors (at
// least 1). "auto" takes the first that is found and multiplies correctly: MKL, then the
// builtin kernels on amd64 with AVX2, else OpenBLAS, Accelerate, builtin; gonum comes
// before builtin only on amd64 processors without AVX2. A library is looked for in dirs
// (folders of libraries, or roots of Python environments), then as the system's
// loader does, then where distributions and wheels keep theirs. It is an error if
// a library was named and none of that name works.
func Open(name string, threads int, dirs ...string) (BLAS, error) {
	threads = max(threads, 1)
	switch name {
	case "auto", "":
		for _, name := range preference() {
			if b, err := Open(name, threads, dirs...); err == nil {
				return b, nil
			}
		}
	case "builtin":
		return openBuiltin(threads), nil
	case "gonum":
		return gonumBLAS{}, nil
	case "mkl", "openblas", "accelerate":
		found, err := findLibrary(name, threads, dirs)
		if err != nil {
			return nil, hint.Errorf("--blas auto takes the best that is there; builtin needs nothing installed", "blas %s: %w", name, err)
		}
		return found.blas, nil
	}
	return nil, fmt.Errorf("blas %q: unknown, want one of %s", name, strings.Join(Names, ", "))
}

func openBuiltin(threads int) BLAS {
	s, d := builtinKernels()
	return newBuiltin(threads, s, d)
}

// Found is an implementation that Probe looked for.
type Found struct {
	Name    string
	Path    string  // file or loader's name of a library, else ""
	Version string  // as the library states it; the kernels' name for builtin
	Err     error   // why it can't be used, else nil
	SGEMM   float64 // GFLOP/s in float32 at 768³, best of three
	DGEMM   float64 // the same in float64
}

// Probe tries all implementations and measures those that work, in about a second.
// The order is that of Open's preference.
func Probe(threads int, dirs ...string) []Found {
	threads = max(threads, 1)
	var out []Found
	for _, name := range preference() {
		f := Found{Name: name}
		var b BLAS
		switch name {
		case "builtin":
			s, d := builtinKernels()
			f.Version, b = s.name, newBuiltin(threads, s, d)
		case "gonum":
			b = gonumBLAS{}
		default:
			var lib libraryFound
			lib, f.Err = findLibrary(name, threads, dirs)
			f.Path, f.Version, b = lib.path, lib.version, lib.blas
		}
		if f.Err == nil {
			f.measure(b)
		}
		out = append(out, f)
	}
	return out
}

func (f *Found) measure(b BLAS) {
	const n = 768
	r := rand.New(rand.NewPCG(1, 1))
	x, y := make([]float64, n*n), make([]float32, n*n)
	for i := range x {
		x[i] = r.Float64()
		y[i] = float32(x[i])
	}
	c, c32 := make([]float64, n*n), make([]float32, n*n)
	for range 3 {
		start := time.Now()
		b.SGEMM(false, true, n, n, n, 1, y, n, y, n, 0, c32, n)
		f.SGEMM = max(f.SGEMM, 2*n*n*n/float64(time.Since(start).Nanoseconds()))
		start = time.Now()
		b.DGEMM(false, true, n, n, n, 1, x, n, x, n, 0, c, n)
		f.DGEMM = max(f.DGEMM, 2*n*n*n/float64(time.Since(start).Nanoseconds()))
	}
}
