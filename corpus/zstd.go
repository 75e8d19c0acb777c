package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic     = 0xFD2FB528
	skippable     = 0x184D2A50 // the low four bits are free
	maxWindow     = 128 << 20  // what `zstd -d` accepts without --long, and --ultra -22 writes
	maxZstdMemory = 256 << 20
)

func isFrameMagic(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	m := binary.LittleEndian.Uint32(b)
	return m == zstdMagic || m&^0xF == skippable
}

// zstdReader decompresses the frames of a file one by one. It walks the frames'
// block headers itself (RFC 8878 §3.1), so that after a damaged frame it knows,
// or can search, where the next one begins: Read then returns one *DamageError,
// and goes on with the next frame at the next call.
type zstdReader struct {
	src     *counted
	dec     *zstd.Decoder
	frame   frameReader
	n       int // frames begun
	inFrame bool
	damage  bool // the last frame was damaged: find the next
	done    bool
}

func newZstdReader(src *counted) (*zstdReader, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxZstdMemory))
	if err != nil {
		return nil, err
	}
	return &zstdReader{src: src, dec: dec, frame: frameReader{src: bufio.NewReaderSize(src, 128<<10)}}, nil
}

func (z *zstdReader) Close() error {
	z.dec.Close()
	return nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	for {
		if z.done {
			return 0, io.EOF
		}
		if z.damage {
			z.damage = false
			if err := z.resync(); err != nil {
				z.done = true
				return 0, err
			}
		}
		if !z.inFrame {
			err := z.frame.begin()
			if err == io.EOF {
				z.done = true
				return 0, io.EOF
			}
			z.n++
			if err == nil {
				err = z.dec.Reset(&z.frame)
			}
			if err != nil {
				return 0, z.damaged(err)
			}
			z.inFrame = true
		}
		n, err := z.dec.Read(p)
		switch {
		case err == io.EOF:
			z.inFrame = false
			if n == 0 {
				continue
			}
			return n, nil
		case err != nil:
			return n, z.damaged(err)
		default:
			return n, nil
		}
	}
}

func (z *zstdReader) damaged(err error) error {
	z.inFrame, z.damage = false, true
	return &DamageError{fmt.Sprintf("zstd frame %d", z.n), z.frame.start, cutOff(err)}
}

// resync moves to the next frame: where the damaged one's blocks end, if another
// or the end of the file follows there, else to the next magic number behind the
// damaged one's own.
func (z *zstdReader) resync() error {
	f := &z.frame
	if _, err := io.Copy(io.Discard, f); err == nil {
		head, err := f.src.Peek(4)
		if len(head) == 0 && err == io.EOF || isFrameMagic(head) {
			return nil
		}
	}
	f.pos = f.start + 4
	if _, err := z.src.f.Seek(f.pos, io.SeekStart); err != nil {
		return err
	}
	f.src.Reset(z.src)
	for {
		head, err := f.src.Peek(4)
		if err != nil {
			return io.EOF // errors of the disk come up again at the end of reading
		}
		if binary.LittleEndian.Uint32(head) == zstdMagic {
			return nil
		}
		f.src.Discard(1)
		f.pos++
	}
}

// frameReader hands out the compressed bytes of one frame and then io.EOF.
type frameReader struct {
	src      *bufio.Reader
	start    int64 // of the frame, in the file
	pos      int64 // of src
	head     []byte
	left     int64 // bytes of the present block still to hand out
	last     bool  // the present block is the last
	checksum bool
	ended    bool
	err      error
}

// begin reads a frame header; io.EOF if the file ends here.
func (f *frameReader) begin() error {
	*f = frameReader{src: f.src, start: f.pos, pos: f.pos, head: f.head[:0]}
	head, err := f.src.Peek(5)
	if len(head) == 0 {
		f.ended = true
		return err
	}
	if f.err = f.parseHeader(head); f.err != nil {
		f.ended = true
	}
	return f.err
}

func (f *frameReader) parseHeader(head []byte) error {
	if len(head) < 5 {
		return io.ErrUnexpectedEOF
	}
	magic := binary.LittleEndian.Uint32(head)
	if magic&^0xF == skippable {
		if err := f.take(8); err != nil {
			return err
		}
		f.left, f.last = int64(binary.LittleEndian.Uint32(f.head[4:])), true
		return nil
	}
	if magic != zstdMagic {
		return errors.New("no zstd magic number")
	}
	flags := head[4]
	size := 5 + [4]int{0, 1, 2, 4}[flags&3] + [4]int{0, 2, 4, 8}[flags>>6]
	if single := flags&0x20 != 0; !single {
		size++
	} else if flags>>6 == 0 {
		size++
	}
	f.checksum = flags&4 != 0
	return f.take(size)
}

// take reads n bytes into head.
func (f *frameReader) take(n int) error {
	at := len(f.head)
	f.head = append(f.head, make([]byte, n)...)
	got, err := io.ReadFull(f.src, f.head[at:])
	f.pos += int64(got)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (f *frameReader) Read(p []byte) (int, error) {
	for len(f.head) == 0 && f.left == 0 {
		if f.err != nil {
			return 0, f.err
		}
		if f.ended {
			return 0, io.EOF
		}
		if f.err = f.nextBlock(); f.err != nil {
			return 0, f.err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[:copy(f.head, f.head[n:])]
		return n, nil
	}
	n, err := f.src.Read(p[:min(int64(len(p)), f.left)])
	f.pos += int64(n)
	f.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	f.err = err
	return n, err
}

// nextBlock reads a block's header, or the checksum behind the last block.
func (f *frameReader) nextBlock() error {
	if f.last {
		f.ended = true
		if f.checksum {
			return f.take(4)
		}
		return nil
	}
	if err := f.take(3); err != nil {
		return err
	}
	b := uint32(f.head[0]) | uint32(f.head[1])<<8 | uint32(f.head[2])<<16
	f.last = b&1 != 0
	switch b >> 1 & 3 {
	case 1: // RLE: one byte, repeated
		f.left = 1
	case 3:
		return errors.New("reserved block type")
	default:
		f.left = int64(b >> 3)
	}
	return nil
}
