package corpus

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"lep/internal/hint"
)

// DamageError is a stretch of compressed data that cannot be read. Reading may
// go on behind it.
type DamageError struct {
	What   string // "zstd frame 3", "gzip data"
	Offset int64  // where it begins in the file on disk
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s at byte %d is damaged: %v", e.What, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// counted is a file that reports what was read of it.
type counted struct {
	f    *os.File
	read *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.f.ReadAt(p, off)
	c.read.Add(int64(n))
	return n, err
}

// headed is a reader whose first bytes have been read ahead; the error that came
// with them comes again in its turn.
type headed struct {
	head []byte
	err  error
	src  io.Reader
}

func (h *headed) Read(p []byte) (int, error) {
	if len(h.head) > 0 {
		n := copy(p, h.head)
		h.head = h.head[n:]
		return n, nil
	}
	if err := h.err; err != nil {
		h.err = nil
		return 0, err
	}
	return h.src.Read(p)
}

// stream is a file's decompressed bytes with a place in them.
type stream struct {
	raw    *counted
	buf    *bufio.Reader
	head   []byte    // the first bytes, up to headSize
	unpack io.Closer // nil if the file is not compressed
	offset int64     // bytes handed out, decompressed
}

const (
	bufferSize = 256 << 10
	headSize   = 64 << 10
)

// openStream opens a file and decompresses it by its first bytes, whatever its
// name says.
func openStream(name string, read *atomic.Int64) (*stream, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &stream{raw: &counted{f, read}}
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	var src io.Reader = s.raw
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z := &gzipReader{src: s.raw}
		src, s.unpack = z, z
	case isFrameMagic(head):
		z, err := newZstdReader(s.raw)
		if err != nil {
			f.Close()
			return nil, err
		}
		src, s.unpack = z, z
	}
	s.head = make([]byte, headSize)
	n, err = io.ReadFull(src, s.head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // src says so again
	}
	s.head = s.head[:n]
	s.buf = bufio.NewReaderSize(&headed{s.head, err, src}, bufferSize)
	return s, nil
}

func (s *stream) close() error {
	if s.unpack != nil {
		s.unpack.Close()
	}
	return s.raw.f.Close()
}

// Read implements io.Reader for the formats that parse a stream.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.buf.Read(p)
	s.offset += int64(n)
	return n, err
}

// seek moves forward to a byte of the decompressed data.
func (s *stream) seek(offset int64) error {
	if s.unpack == nil {
		if _, err := s.raw.f.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		s.buf.Reset(s.raw)
		s.offset = offset
		return nil
	}
	_, err := io.CopyN(io.Discard, s, offset-s.offset)
	return err
}

// what names the bytes that offset counts.
func (s *stream) what() string {
	if s.unpack != nil {
		return "decompressed file"
	}
	return "file"
}

// checkHead skips a UTF-8 byte order mark and refuses what is no UTF-8 text.
func (s *stream) checkHead() error {
	switch {
	case bytes.HasPrefix(s.head, []byte("\xef\xbb\xbf")):
		s.buf.Discard(3)
		s.offset = 3
	case bytes.HasPrefix(s.head, []byte{0xff, 0xfe}), bytes.HasPrefix(s.head, []byte{0xfe, 0xff}):
		return hint.Errorf("convert it: iconv -f UTF-16 -t UTF-8", "text in UTF-16 (byte order mark % x), want UTF-8", s.head[:2])
	}
	if i := bytes.IndexByte(s.head[:min(len(s.head), 8<<10)], 0); i >= 0 {
		return fmt.Errorf("not a text: a NUL at byte %d", i)
	}
	return nil
}

// gzipReader reads gzip members. A damaged one ends the data: gzip has no marks
// to start again from.
type gzipReader struct {
	src  *counted
	z    *gzip.Reader
	done bool
}

func (g *gzipReader) Read(p []byte) (n int, err error) {
	if g.done {
		return 0, io.EOF
	}
	if g.z == nil {
		g.z, err = gzip.NewReader(bufio.NewReaderSize(g.src, 64<<10))
	}
	if err == nil {
		n, err = g.z.Read(p)
	}
	if err != nil {
		g.done = true
		if err != io.EOF {
			at, _ := g.src.f.Seek(0, io.SeekCurrent)
			err = &DamageError{"gzip data before", at, cutOff(err)}
		}
	}
	return n, err
}

func (g *gzipReader) Close() error {
	if g.z != nil {
		return g.z.Close()
	}
	return nil
}

// cutOff words the error of data that ends too early.
func cutOff(err error) error {
	if err == io.ErrUnexpectedEOF {
		return fmt.Errorf("cut off: %w", err)
	}
	return err
}

// invalidAt returns the first byte of s that begins no UTF-8 sequence, len(s) if none.
func invalidAt(s []byte) int {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(s)
}

// invalidUTF8 is the error of a byte that begins no UTF-8 sequence; where says
// what at counts in.
func invalidUTF8(b byte, at int64, where string) error {
	return hint.Errorf("the text may be in an older encoding (iconv -f WINDOWS-1251 -t UTF-8); or replace such bytes by choice: --replace-invalid",
		"invalid UTF-8 at byte %d of the %s (0x%02x)", at, where, b)
}
