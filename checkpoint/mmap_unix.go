//go:build unix

package checkpoint

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file for reading, nil where that is not possible (an odd file
// system, an address space too small): the caller then reads.
func mapFile(f *os.File, size int64) []byte {
	if size == 0 || size > math.MaxInt {
		return nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	return b
}

func unmapFile(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

// releasePages drops the pages of b[at:at+n] from the resident set. The range is
// widened to whole pages: neighbours are read again when touched, nothing is lost.
func releasePages(b []byte, at, n int) {
	page := os.Getpagesize()
	from := at / page * page
	to := min(len(b), (at+n+page-1)/page*page)
	// Advice that the system does not take costs memory, not correctness.
	_ = unix.Madvise(b[from:to], unix.MADV_DONTNEED)
}
