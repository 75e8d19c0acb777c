//go:build unix

package recipe

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// freeDisk is what may be written below a folder, or where it will be; 0 if that is not known.
func freeDisk(dir string) int64 {
	for {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err == nil {
			return int64(s.Bavail) * int64(s.Bsize)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return 0
		}
		dir = parent
	}
}
