//go:build !lep_static && linux && amd64

package linalg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBrokenLibraries(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "libopenblas.so.0")
	if err := os.WriteFile(file, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := libraryPaths("openblas", []string{dir}); got[0] != file {
		t.Errorf("first place is %s, want %s: a given folder comes before the system's", got[0], file)
	}
	if _, err := openPath("openblas", file, 1); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is no library: %v, want an error that names it", err)
	}
	if _, err := openPath("openblas", "libm.so.6", 1); err == nil || !strings.Contains(err.Error(), "no sgemm") {
		t.Errorf("a library of something else: %v", err)
	}
	mkl := filepath.Join(dir, "libmkl_rt.so.2")
	if err := os.WriteFile(mkl, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openPath("mkl", mkl, 1); err == nil || !strings.Contains(err.Error(), "libmkl_core is not beside it") {
		t.Errorf("MKL without its parts: %v", err)
	}
}

// wrongBLAS multiplies, but not what it is asked to.
type wrongBLAS struct{ gonumBLAS }

func (w wrongBLAS) SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	w.gonumBLAS.SGEMM(transA, transB, m, n, k, -alpha, a, lda, b, ldb, beta, c, ldc)
}

func TestSelfTest(t *testing.T) {
	if err := selfTest(gonumBLAS{}); err != nil {
		t.Error(err)
	}
	if selfTest(wrongBLAS{}) == nil {
		t.Error("a library with wrong products passed")
	}
}
