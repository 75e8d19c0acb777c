package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unicode/utf8"

	"lep/internal/hint"
)

// maxHeader bounds the bytes of fields and tables: the largest vocabularies take a hundredth of it.
const maxHeader = 1 << 30

// maxDepth bounds arrays of arrays.
const maxDepth = 4

// File is a header that was read and checked, and the file it is of.
type File struct {
	Version   int
	Alignment int
	Fields    []Field  // in the order of the file
	Tensors   []Tensor // in the order of their data

	r     io.ReaderAt
	start int64 // of the data
	file  *os.File
}

// Open reads the header of a file.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a folder, want a .gguf file")
	}
	var out *File
	if err == nil {
		out, err = Read(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out.file = f
	return out, nil
}

// Close closes a file that [Open] opened.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// Field returns the value of a key, nil if there is none; see [Field] for its types.
func (f *File) Field(key string) any {
	for _, field := range f.Fields {
		if field.Key == key {
			return field.Value
		}
	}
	return nil
}

// Text returns the string of a key, "" if there is none or it is something else.
func (f *File) Text(key string) string {
	s, _ := f.Field(key).(string)
	return s
}

// Data returns the bytes of a tensor of f.Tensors.
func (f *File) Data(t Tensor) *io.SectionReader {
	return io.NewSectionReader(f.r, f.start+t.Offset, t.Size)
}

// Read reads a header from a file of size bytes. Every length is held against what is left of the file
// before memory is allocated for it; tensors must lie one behind the other, aligned, and end with the
// file. r is kept for [File.Data].
func Read(r io.ReaderAt, size int64) (*File, error) {
	limit := min(size, maxHeader)
	p := &parser{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, limit), 1<<16), left: limit}
	f := &File{r: r, Alignment: defaultAlignment}
	tensors, fields, err := p.preamble(f)
	if err != nil {
		return nil, err
	}
	if err := p.fields(f, fields); err != nil {
		return nil, err
	}
	if err := p.tensors(f, tensors); err != nil {
		return nil, err
	}
	f.start = align(limit-p.left, int64(f.Alignment))
	return f, f.checkData(size)
}

// parser reads the header and knows how many bytes are left.
type parser struct {
	r    *bufio.Reader
	left int64
	buf  [8]byte
}

func (p *parser) preamble(f *File) (tensors, fields uint64, err error) {
	var head [4]byte
	if err := p.read(head[:]); err != nil || string(head[:]) != magic {
		return 0, 0, fmt.Errorf("begins with %q, want %q: no GGUF file", head[:], magic)
	}
	v, err := p.uint32()
	switch {
	case err != nil:
		return 0, 0, err
	case v&0xffff == 0 && v != 0:
		return 0, 0, errors.New("is written for big-endian machines, want little-endian")
	case v != 2 && v != 3:
		return 0, 0, fmt.Errorf("version %d of the format, want 2 or 3", v)
	}
	f.Version = int(v)
	if tensors, err = p.uint64(); err != nil {
		return 0, 0, err
	}
	if fields, err = p.uint64(); err != nil {
		return 0, 0, err
	}
	// The smallest tensor entry has 32 bytes and the smallest field 13.
	if tensors > uint64(p.left)/32 || fields > uint64(p.left)/13 {
		return 0, 0, fmt.Errorf("%d tensors and %d fields are more than %d bytes can hold", tensors, fields, p.left)
	}
	return tensors, fields, nil
}

func (p *parser) fields(f *File, n uint64) error {
	seen := map[string]bool{}
	for i := range n {
		key, err := p.string(maxKey)
		if err != nil {
			return fmt.Errorf("field %d: key: %w", i, err)
		}
		if key == "" || !utf8.ValidString(key) || seen[key] {
			return fmt.Errorf("field %d: key %q is empty, no UTF-8 or there twice", i, key)
		}
		seen[key] = true
		code, err := p.uint32()
		if err != nil {
			return fmt.Errorf("field %q: %w", key, err)
		}
		value, err := p.value(code, 0)
		if err != nil {
			return fmt.Errorf("field %q: %w", key, err)
		}
		f.Fields = append(f.Fields, Field{key, value})
	}
	if v := f.Field(alignmentKey); v != nil {
		a, ok := v.(uint32)
		if !ok || a == 0 || a&(a-1) != 0 || a > maxAlignment {
			return fmt.Errorf("field %q: %v, want a power of two up to %d", alignmentKey, v, maxAlignment)
		}
		f.Alignment = int(a)
	}
	return nil
}

func (p *parser) value(code uint32, depth int) (any, error) {
	switch code {
	case codeString:
		return p.string(math.MaxInt64)
	case codeArray:
		return p.array(depth)
	case codeBool:
		v, err := scalar[uint8](p)
		if err == nil && v > 1 {
			return nil, fmt.Errorf("a boolean of %d", v)
		}
		return v == 1, err
	case codeUint8:
		return scalar[uint8](p)
	case codeInt8:
		return scalar[int8](p)
	case codeUint16:
		return scalar[uint16](p)
	case codeInt16:
		return scalar[int16](p)
	case codeUint32:
		return scalar[uint32](p)
	case codeInt32:
		return scalar[int32](p)
	case codeFloat32:
		return scalar[float32](p)
	case codeUint64:
		return scalar[uint64](p)
	case codeInt64:
		return scalar[int64](p)
	case codeFloat64:
		return scalar[float64](p)
	}
	return nil, fmt.Errorf("value type %d is not known", code)
}

func (p *parser) array(depth int) (any, error) {
	if depth == maxDepth {
		return nil, fmt.Errorf("arrays are nested more than %d deep", maxDepth)
	}
	code, err := p.uint32()
	if err != nil {
		return nil, err
	}
	n, err := p.uint64()
	if err != nil {
		return nil, err
	}
	if n > uint64(p.left) {
		return nil, fmt.Errorf("an array of %d elements in %d bytes", n, p.left)
	}
	switch code {
	case codeString:
		return list(p, n, 8, func() (string, error) { return p.string(math.MaxInt64) })
	case codeArray:
		return list(p, n, 12, func() (any, error) { return p.array(depth + 1) })
	case codeBool:
		return list(p, n, 1, func() (bool, error) {
			v, err := p.value(codeBool, 0)
			b, _ := v.(bool)
			return b, err
		})
	case codeUint8:
		return numbers[uint8](p, n)
	case codeInt8:
		return numbers[int8](p, n)
	case codeUint16:
		return numbers[uint16](p, n)
	case codeInt16:
		return numbers[int16](p, n)
	case codeUint32:
		return numbers[uint32](p, n)
	case codeInt32:
		return numbers[int32](p, n)
	case codeFloat32:
		return numbers[float32](p, n)
	case codeUint64:
		return numbers[uint64](p, n)
	case codeInt64:
		return numbers[int64](p, n)
	case codeFloat64:
		return numbers[float64](p, n)
	}
	return nil, fmt.Errorf("an array of value type %d, which is not known", code)
}

// list reads n elements of at least size bytes each.
func list[T any](p *parser, n uint64, size int64, one func() (T, error)) ([]T, error) {
	if n > uint64(p.left/size) {
		return nil, fmt.Errorf("an array of %d elements in %d bytes", n, p.left)
	}
	out := make([]T, 0, min(n, 1<<16)) // grown as elements really come
	for i := range n {
		v, err := one()
		if err != nil {
			return nil, fmt.Errorf("element %d of %d: %w", i, n, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// number are the fixed-size values of a header.
type number interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64 | float32 | float64
}

func numbers[T number](p *parser, n uint64) ([]T, error) {
	var zero T
	return list(p, n, int64(binary.Size(zero)), func() (T, error) { return scalar[T](p) })
}

func scalar[T number](p *parser) (v T, err error) {
	b := p.buf[:binary.Size(v)]
	if err := p.read(b); err != nil {
		return v, err
	}
	_, err = binary.Decode(b, binary.LittleEndian, &v)
	return v, err
}

func (p *parser) uint32() (uint32, error) { return scalar[uint32](p) }
func (p *parser) uint64() (uint64, error) { return scalar[uint64](p) }

func (p *parser) string(most uint64) (string, error) {
	n, err := p.uint64()
	if err != nil {
		return "", err
	}
	if n > most || n > uint64(p.left) {
		return "", fmt.Errorf("a string of %d bytes, at most %d", n, min(most, uint64(p.left)))
	}
	b := make([]byte, n)
	err = p.read(b)
	return string(b), err
}

// read fills b; the end of the file is an error that says so.
func (p *parser) read(b []byte) error {
	if int64(len(b)) > p.left {
		return errors.New("the file ends in the middle of its header")
	}
	n, err := io.ReadFull(p.r, b)
	p.left -= int64(n)
	return err
}

func (p *parser) tensors(f *File, n uint64) error {
	seen := map[string]bool{}
	for i := range n {
		t, err := p.tensor()
		if err != nil {
			return fmt.Errorf("tensor %d %q: %w", i, t.Name, err)
		}
		if t.Name == "" || seen[t.Name] {
			return fmt.Errorf("tensor %d: name %q is empty or there twice", i, t.Name)
		}
		seen[t.Name] = true
		f.Tensors = append(f.Tensors, t)
	}
	return nil
}

func (p *parser) tensor() (t Tensor, err error) {
	if t.Name, err = p.string(maxName); err != nil {
		return t, err
	}
	dims, err := p.uint32()
	if err != nil {
		return t, err
	}
	if dims == 0 || dims > maxDims {
		return t, fmt.Errorf("%d dimensions, want 1 to %d", dims, maxDims)
	}
	for range dims {
		d, err := p.uint64()
		if err != nil {
			return t, err
		}
		if d == 0 || d > math.MaxInt32 {
			return t, fmt.Errorf("a dimension of %d, want 1 to %d", d, math.MaxInt32)
		}
		t.Shape = append(t.Shape, int(d))
	}
	slices.Reverse(t.Shape)
	code, err := p.uint32()
	if err != nil {
		return t, err
	}
	offset, err := p.uint64()
	if err != nil {
		return t, err
	}
	if offset > math.MaxInt64/2 {
		return t, fmt.Errorf("offset %d is beyond any file", offset)
	}
	t.Type, t.Offset = Type(code), int64(offset)
	t.Size, err = tensorSize(t.Type, t.Shape)
	return t, err
}

// tensorSize returns the bytes of a tensor.
func tensorSize(t Type, shape []int) (int64, error) {
	if _, ok := layouts[t]; !ok {
		return 0, fmt.Errorf("%v is not known", t)
	}
	cols := shape[len(shape)-1]
	row, ok := t.RowSize(cols)
	if !ok {
		block, _ := t.Block()
		return 0, fmt.Errorf("%v has rows of a multiple of %d elements, not %d", t, block, cols)
	}
	size := int64(row)
	for _, d := range shape[:len(shape)-1] {
		if size > math.MaxInt64/4/int64(d) {
			return 0, fmt.Errorf("shape %v is beyond any file", shape)
		}
		size *= int64(d)
	}
	return size, nil
}

// checkData holds the table of tensors against the size of the file: one behind the other, each
// aligned, without gaps, overlaps or bytes behind the last.
func (f *File) checkData(size int64) error {
	end := int64(0)
	for _, t := range f.Tensors {
		if t.Offset != end {
			return fmt.Errorf("tensor %q: begins at %d, want %d (behind the one before, aligned to %d)", t.Name, t.Offset, end, f.Alignment)
		}
		if t.Size > size-f.start-t.Offset {
			return hint.Errorf("the file is cut off: copy or download it again", "tensor %q: ends at byte %d, the file has %d", t.Name, f.start+t.Offset+t.Size, size)
		}
		end = align(t.Offset+t.Size, int64(f.Alignment))
	}
	if extra := size - f.start - end; extra > 0 {
		return fmt.Errorf("%d bytes behind the last tensor", extra)
	}
	return nil
}
