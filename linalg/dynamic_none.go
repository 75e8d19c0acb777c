package linalg

import "errors"

func openLibrary(name string, threads int) (BLAS, error) {
	return nil, errors.New("not supported in this build")
}
