//go:build !linux

package checkpoint

import (
	"errors"
	"os"
)

func dataExtents(_ *os.File, _, _ int64) ([]extent, error) { return nil, errors.ErrUnsupported }

func kernelCopy(_ *os.File, _ int64, _ *os.File, _, _ int64) (int64, error) {
	return 0, errors.ErrUnsupported
}

func freeBytes(_ string) (int64, error) { return 0, errors.ErrUnsupported }
