package checkpoint

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// FS is what a Writer asks of the file system: an interface so that tests can let
// disks fill and writes fail.
type FS interface {
	// Create makes a new file; one that exists is an error.
	Create(name string) (Output, error)
	Remove(name string) error
	// Free returns the bytes that may be written to the file system of dir, or
	// errors.ErrUnsupported.
	Free(dir string) (int64, error)
}

// Output is a file being written. Bytes that were skipped read as zero.
type Output interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// osFS is the operating system's file system; the umask decides the file mode.
type osFS struct{}

func (osFS) Create(name string) (Output, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err // not a nil *os.File in an Output
	}
	return f, nil
}

func (osFS) Remove(name string) error       { return os.Remove(name) }
func (osFS) Free(dir string) (int64, error) { return freeBytes(dir) }

// extent is a range of a file that holds data; what lies between is a hole.
type extent struct{ from, to int64 }

// extents returns the parts of f[from:to] that are not holes, in order. Where the
// system cannot tell, that is all of it.
func extents(f *os.File, from, to int64) []extent {
	if from >= to {
		return nil
	}
	list, err := dataExtents(f, from, to)
	if err != nil {
		return []extent{{from, to}}
	}
	return list
}

// copyRange copies n bytes, holes left out: the output must be new, so that what
// is not written reads as zero. It does not move either file's position.
func copyRange(dst Output, dstAt int64, src *os.File, srcAt, n int64, buf []byte) error {
	for _, e := range extents(src, srcAt, srcAt+n) {
		if err := copyExtent(dst, dstAt+e.from-srcAt, src, e.from, e.to-e.from, buf); err != nil {
			return err
		}
	}
	return nil
}

// copyExtent lets the kernel copy (or share the blocks) where it can, and reads
// and writes the rest.
func copyExtent(dst Output, dstAt int64, src *os.File, srcAt, n int64, buf []byte) error {
	if f, ok := dst.(*os.File); ok {
		done, err := kernelCopy(f, dstAt, src, srcAt, n)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		dstAt, srcAt, n = dstAt+done, srcAt+done, n-done
	}
	for n > 0 {
		part := buf[:min(n, int64(len(buf)))]
		if _, err := src.ReadAt(part, srcAt); err != nil {
			return noEOF(err)
		}
		if err := writeAll(dst, part, dstAt); err != nil {
			return err
		}
		step := int64(len(part))
		dstAt, srcAt, n = dstAt+step, srcAt+step, n-step
	}
	return nil
}

func writeAll(dst io.WriterAt, p []byte, at int64) error {
	n, err := dst.WriteAt(p, at)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// noEOF turns the end of a file that was longer when it was opened into an error
// that says so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isNoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) }
