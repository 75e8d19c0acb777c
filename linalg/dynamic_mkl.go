//go:build !lep_static && (linux || darwin) && (amd64 || arm64)

package linalg

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ebitengine/purego"
)

// libmkl_rt is a shell that loads its parts at the first call, and ends the process
// if one is missing. So they are looked for before it is called.

// checkMKL makes sure that the parts lie beside libmkl_rt.
func checkMKL(path string) error {
	for _, part := range []string{"libmkl_core", "libmkl_intel_lp64", "libmkl_sequential", "libmkl_def", "libmkl_avx2", "libmkl_avx512"} {
		if !besideMKL(path, part) {
			return fmt.Errorf("%s: %s is not beside it", path, part)
		}
	}
	return nil
}

func besideMKL(path, part string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(real), part+".*")) // the pattern is sound
	return len(found) > 0
}

// layerMKL chooses 32-bit integers and the threading layer whose OpenMP runtime is at
// hand: Intel's, GNU's, or none, which works on one processor.
func layerMKL(lib uintptr, path string) error {
	const (
		intel      = 0
		sequential = 1
		gnu        = 3
		lp64       = 0
	)
	setLayer, setInterface := symbol(lib, "MKL_Set_Threading_Layer"), symbol(lib, "MKL_Set_Interface_Layer")
	if setLayer == 0 || setInterface == 0 {
		return fmt.Errorf("%s: it has no MKL_Set_Threading_Layer", path)
	}
	layer := sequential
	switch {
	case besideMKL(path, "libmkl_intel_thread") && opens(path, "libiomp5"):
		layer = intel
	case besideMKL(path, "libmkl_gnu_thread") && opens(path, "libgomp"):
		layer = gnu
	}
	purego.SyscallN(setInterface, lp64)
	if got, _, _ := purego.SyscallN(setLayer, uintptr(layer)); int32(got) != int32(layer) {
		return fmt.Errorf("%s: threading layer %d, want %d", path, int32(got), layer)
	}
	return nil
}

// opens loads an OpenMP runtime from MKL's folder or by the loader's own search, for
// MKL to find it in the process.
func opens(path, name string) bool {
	near, _ := filepath.Glob(filepath.Join(filepath.Dir(path), name+".*"))
	system := []string{name + ".so", name + ".so.1", name + ".dylib"}
	for _, f := range append(near, system...) {
		if strings.HasSuffix(f, ".a") {
			continue
		}
		if _, err := purego.Dlopen(f, purego.RTLD_NOW|purego.RTLD_GLOBAL); err == nil {
			return true
		}
	}
	return false
}
