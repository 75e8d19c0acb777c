package checkpoint

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// dataExtents asks the file system where f[from:to] holds data.
func dataExtents(f *os.File, from, to int64) ([]extent, error) {
	var list []extent
	for at := from; at < to; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= to {
			break // a hole up to the end
		}
		if err != nil {
			return nil, err
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		list = append(list, extent{data, min(hole, to)})
		at = hole
	}
	return list, nil
}

// kernelCopy returns how many bytes copy_file_range copied; on file systems with
// shared blocks it copies none of them. errors.ErrUnsupported means that the rest
// must be copied by hand.
func kernelCopy(dst *os.File, dstAt int64, src *os.File, srcAt, n int64) (int64, error) {
	var done int64
	for done < n {
		from, to := srcAt+done, dstAt+done
		k, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(min(n-done, math.MaxInt32)), 0)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG), errors.Is(err, unix.EIO):
			return done, &os.PathError{Op: "copy_file_range", Path: dst.Name(), Err: err}
		case err != nil || k == 0:
			return done, errors.ErrUnsupported
		default:
			done += int64(k)
		}
	}
	return done, nil
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if s.Bavail > math.MaxInt64/uint64(max(1, s.Bsize)) {
		return math.MaxInt64, nil
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
