//go:build lep_static || !((linux || darwin) && (amd64 || arm64))

package linalg

import "errors"

// libraryFound is what the search for a library gave.
type libraryFound struct {
	blas          BLAS
	path, version string
}

// findLibrary finds nothing: this build opens no libraries, so that it is fully
// static (tag lep_static) or because dlopen is not supported on the platform.
func findLibrary(name string, threads int, dirs []string) (libraryFound, error) {
	return libraryFound{}, errors.New("this build of lep opens no libraries")
}
