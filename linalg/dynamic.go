//go:build !lep_static && (linux || darwin) && (amd64 || arm64)

package linalg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libraryBLAS calls the Fortran interface of a library that was opened at run time:
// every argument is a pointer, so that a call needs no conversion of floats. All
// integers are passed as pointers to 64-bit ones, which on these little-endian
// machines suits libraries built for 32-bit (LP64) and 64-bit (ILP64) integers alike.
// A row-major product is the column-major product of the transposes.
type libraryBLAS struct {
	name                string
	threads             int
	sgemm, dgemm, dsyrk uintptr
	setThreads          func(int)
	args                sync.Pool // of *fortranArgs
}

// fortranArgs keeps the arguments of a call where C may point at them.
type fortranArgs struct {
	transA, transB, uplo   byte
	m, n, k, lda, ldb, ldc int64
	alpha, beta            float64
	alpha32, beta32        float32
}

// libraryFound is what the search for a library gave.
type libraryFound struct {
	blas          BLAS
	path, version string
}

// spelling is a way in which libraries decorate the names of BLAS routines.
type spelling struct{ prefix, suffix string }

var spellings = []spelling{{"scipy_", "_64_"}, {"", "_64_"}, {"scipy_", "_"}, {"", "_"}, {"", ""}}

// findLibrary opens the first working library of a name: those in dirs, then where
// the system's loader looks, then where distributions and Python wheels put them.
func findLibrary(name string, threads int, dirs []string) (libraryFound, error) {
	var tried []error
	for _, path := range libraryPaths(name, dirs) {
		found, err := openPath(name, path, threads)
		if err == nil {
			return found, nil
		}
		if filepath.IsAbs(path) { // it exists: why it was refused matters
			tried = append(tried, err)
		}
	}
	if len(tried) > 0 {
		return libraryFound{}, errors.Join(tried...)
	}
	return libraryFound{}, errors.New("no such library on this machine")
}

// libraryPaths lists where a library may be: files in dirs, names for the loader, and
// files in the usual folders.
func libraryPaths(name string, dirs []string) []string {
	var given []string // dirs may be roots of Python environments
	for _, d := range dirs {
		given = append(given, d, filepath.Join(d, "lib"))
		given = append(given, wheelFolders(filepath.Join(d, "lib/python3*/site-packages"))...)
	}
	home, _ := os.UserHomeDir() // "" only loses the folders below it
	usual := []string{"/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"}
	for _, packages := range []string{"/usr/lib/python3*/*-packages", "/usr/local/lib/python3*/*-packages", filepath.Join(home, ".local/lib/python3*/site-packages")} {
		usual = append(usual, wheelFolders(packages)...)
	}
	switch {
	case runtime.GOOS == "darwin" && name == "accelerate":
		return []string{"/System/Library/Frameworks/Accelerate.framework/Accelerate"}
	case runtime.GOOS == "darwin" && name == "openblas":
		return append(append(glob("libopenblas*.dylib", given), "libopenblas.dylib"),
			glob("libopenblas*.dylib", []string{"/opt/homebrew/opt/openblas/lib", "/usr/local/opt/openblas/lib"})...)
	case runtime.GOOS == "darwin" && name == "mkl":
		return append(glob("libmkl_rt*.dylib", given), glob("libmkl_rt*.dylib", []string{"/opt/intel/oneapi/mkl/latest/lib"})...)
	case name == "openblas":
		return append(append(glob("lib*openblas*.so*", given), "libopenblas.so.0", "libopenblas.so", "libopenblas64_.so.0"),
			glob("lib*openblas*.so*", usual)...)
	case name == "mkl": // by full path only: see checkMKL
		usual = append([]string{"/opt/intel/oneapi/mkl/latest/lib", "/opt/intel/oneapi/mkl/latest/lib/intel64", "/opt/intel/mkl/lib/intel64", filepath.Join(home, ".local/lib")}, usual...)
		return append(glob("libmkl_rt.so*", given), glob("libmkl_rt.so*", usual)...)
	}
	return nil
}

// wheelFolders returns where numpy, scipy and scipy_openblas64 keep their OpenBLAS.
func wheelFolders(packages string) []string {
	return []string{filepath.Join(packages, "numpy.libs"), filepath.Join(packages, "scipy.libs"), filepath.Join(packages, "scipy_openblas64/lib")}
}

// glob returns the files in dirs that match the pattern, each only once under its links.
func glob(pattern string, dirs []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, d := range dirs {
		found, _ := filepath.Glob(filepath.Join(d, pattern)) // a pattern that is none finds nothing
		for _, f := range found {
			if real, err := filepath.EvalSymlinks(f); err == nil && !seen[real] {
				seen[real] = true
				out = append(out, f)
			}
		}
	}
	return out
}

// openPath opens one library and holds it to a small product before it is trusted.
func openPath(name, path string, threads int) (libraryFound, error) {
	if name == "mkl" {
		if err := checkMKL(path); err != nil {
			return libraryFound{}, err
		}
	}
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return libraryFound{}, err
	}
	if name == "mkl" {
		if err := layerMKL(lib, path); err != nil {
			return libraryFound{}, err
		}
	}
	for _, s := range spellings {
		b := &libraryBLAS{name: name, threads: threads}
		b.args.New = func() any { return new(fortranArgs) }
		b.sgemm, b.dgemm, b.dsyrk = symbol(lib, s.prefix+"sgemm"+s.suffix), symbol(lib, s.prefix+"dgemm"+s.suffix), symbol(lib, s.prefix+"dsyrk"+s.suffix)
		if b.sgemm == 0 || b.dgemm == 0 || b.dsyrk == 0 {
			continue
		}
		version := b.configure(lib, s)
		if err := selfTest(b); err != nil {
			return libraryFound{}, fmt.Errorf("%s: %w", path, err)
		}
		return libraryFound{blas: b, path: path, version: version}, nil
	}
	return libraryFound{}, fmt.Errorf("%s: no sgemm, dgemm and dsyrk in it", path)
}

func symbol(lib uintptr, name string) uintptr {
	s, err := purego.Dlsym(lib, name)
	if err != nil {
		return 0
	}
	return s
}

// configure finds how to set the number of threads and asks for the version.
func (b *libraryBLAS) configure(lib uintptr, s spelling) (version string) {
	var set uintptr
	mark := strings.TrimSuffix(s.suffix, "_") // 64 or nothing between name and end
	switch b.name {
	case "openblas":
		for _, n := range []string{s.prefix + "openblas_set_num_threads" + strings.TrimPrefix(s.suffix, "_"), s.prefix + "openblas_set_num_threads" + s.suffix, "openblas_set_num_threads" + mark, "openblas_set_num_threads"} {
			if set = symbol(lib, n); set != 0 {
				break
			}
		}
		for _, n := range []string{s.prefix + "openblas_get_config" + strings.TrimPrefix(s.suffix, "_"), "openblas_get_config"} {
			if f := symbol(lib, n); f != 0 {
				p, _, _ := purego.SyscallN(f)
				version = cString(p)
				break
			}
		}
	case "mkl":
		set = symbol(lib, "MKL_Set_Num_Threads")
		if f := symbol(lib, "MKL_Get_Version_String"); f != 0 {
			buf := make([]byte, 256)
			purego.SyscallN(f, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)-1))
			version, _, _ = strings.Cut(string(buf), "\x00")
			version = strings.TrimSpace(version)
		}
	case "accelerate":
		version = "macOS"
	}
	b.setThreads = func(n int) {
		if set != 0 {
			purego.SyscallN(set, uintptr(n))
		}
	}
	return version
}

// cString copies a C string of at most 256 bytes.
func cString(p uintptr) string {
	if p == 0 {
		return ""
	}
	base := *(*unsafe.Pointer)(unsafe.Pointer(&p)) // C memory: the collector does not move it
	var out []byte
	for i := range 256 {
		c := *(*byte)(unsafe.Add(base, i))
		if c == 0 {
			break
		}
		out = append(out, c)
	}
	return strings.TrimSpace(string(out))
}

// selfTest multiplies small matrices in all three ways, to know that the library's
// integers and conventions are what they were taken for.
func selfTest(b BLAS) error {
	a := []float64{1, 2, 3, 4, 5, 6}    // (2, 3) or (3, 2)
	c := []float64{7, 8, 9, 10, 11, 12} // (3, 2)
	want := []float64{58, 64, 139, 154} // A·C
	syrk := []float64{35, 44, 0, 56}    // upper of BᵀB, B (3, 2) = a
	out, out32 := make([]float64, 4), make([]float32, 4)
	b.DGEMM(false, false, 2, 2, 3, 1, a, 3, c, 2, 0, out, 2)
	b.SGEMM(false, false, 2, 2, 3, 1, []float32{1, 2, 3, 4, 5, 6}, 3, []float32{7, 8, 9, 10, 11, 12}, 2, 0, out32, 2)
	up := make([]float64, 4)
	b.DSYRK(2, 3, 1, a, 2, 0, up, 2)
	for i := range want {
		if out[i] != want[i] || float64(out32[i]) != want[i] || up[i] != syrk[i] {
			return errors.New("its products are wrong")
		}
	}
	return nil
}
