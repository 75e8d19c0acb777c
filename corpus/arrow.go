package corpus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// arrowRows reads one string column of an Arrow IPC stream, batch by batch, and
// passes over the bytes of all others. save_to_disk of Hugging Face's datasets
// writes such streams; an Arrow file is one between two marks. It is written out
// here because the usual library takes every length in a file at its word.
type arrowRows struct {
	name   string
	stream *stream
	opts   Options
	column arrowColumn

	offsets, data, valid []byte // of the present batch
	at, n                int64  // in the batch
	row                  int64
}

// arrowColumn is where the text lies among the buffers of a batch.
type arrowColumn struct {
	node, buffer int
	wide         bool // offsets of 64 bits
}

const (
	arrowMagic       = "ARROW1\x00\x00"
	maxArrowMetadata = 64 << 20
	maxArrowBuffer   = 2 << 30
	maxArrowFields   = 10000
)

func openArrow(name string, s *stream, opts Options) (rows, error) {
	a := &arrowRows{name: name, stream: s, opts: opts}
	err := a.open()
	if err != nil {
		s.close()
		return nil, err
	}
	return a, nil
}

func (a *arrowRows) open() error {
	if strings.HasPrefix(string(a.stream.head), arrowMagic) {
		if _, err := a.stream.buf.Discard(len(arrowMagic)); err != nil {
			return err
		}
	}
	m, err := a.message()
	if err != nil {
		return fmt.Errorf("no Arrow schema: %w", cutOff(err))
	}
	if m.kind != 1 {
		return fmt.Errorf("the first Arrow message is of type %d, want a schema", m.kind)
	}
	a.column, err = findColumn(m.header, a.opts.TextField)
	return err
}

func (a *arrowRows) place() (int64, int) { return a.row, int(a.row) }
func (a *arrowRows) close() error        { return a.stream.close() }

func (a *arrowRows) next() (Doc, error) {
	for a.at == a.n {
		m, err := a.message()
		if err != nil {
			return Doc{}, cutOff(err)
		}
		if m.kind != 3 { // a dictionary of another column
			err = a.skip(m.body)
		} else {
			err = a.batch(m)
		}
		if err != nil {
			return Doc{}, fmt.Errorf("batch behind row %d: %w", a.row, cutOff(err))
		}
	}
	i := a.at
	a.at++
	a.row++
	if len(a.valid) > 0 && a.valid[i/8]>>(i%8)&1 == 0 {
		return Doc{}, &RowError{a.name, 0, fmt.Errorf("row %d: column %q is null", a.row, a.opts.TextField)}
	}
	from, to := a.offset(i), a.offset(i+1)
	switch {
	case from < 0 || to < from || to > int64(len(a.data)):
		return Doc{}, fmt.Errorf("row %d: text from byte %d to %d of %d", a.row, from, to, len(a.data))
	case to-from > int64(a.opts.MaxDocBytes):
		return Doc{}, &RowError{a.name, 0, fmt.Errorf("row %d: text is longer than max_doc_bytes = %d", a.row, a.opts.MaxDocBytes)}
	}
	return Doc{Text: string(a.data[from:to]), Source: a.name, Line: int(a.row), Offset: a.row - 1}, nil
}

func (a *arrowRows) offset(i int64) int64 {
	if a.column.wide {
		return int64(binary.LittleEndian.Uint64(a.offsets[8*i:]))
	}
	return int64(int32(binary.LittleEndian.Uint32(a.offsets[4*i:])))
}

// arrowMessage is a message's metadata; its body of that many bytes follows.
type arrowMessage struct {
	kind   byte
	header table
	body   int64
}

// message reads the next message; io.EOF at the end of the stream.
func (a *arrowRows) message() (m arrowMessage, err error) {
	var word [4]byte
	size := uint32(0xFFFFFFFF) // the mark that stands before a size since version 0.15
	for n := 0; n < 2 && size == 0xFFFFFFFF; n++ {
		if _, err := io.ReadFull(a.stream, word[:]); err != nil {
			return m, err
		}
		size = binary.LittleEndian.Uint32(word[:])
	}
	if size == 0 {
		return m, io.EOF
	}
	if size > maxArrowMetadata {
		return m, fmt.Errorf("metadata of %d bytes, at most %d", size, maxArrowMetadata)
	}
	data, err := a.take(int64(size))
	if err != nil {
		return m, err
	}
	f := &flatbuffer{data: data}
	root := f.root()
	m.kind = root.byte(1)
	m.header = root.table(2)
	m.body = root.int64(3)
	if f.bad || m.body < 0 {
		return m, errors.New("broken metadata")
	}
	return m, nil
}

// take reads n bytes; memory grows with what is there, not with n.
func (a *arrowRows) take(n int64) ([]byte, error) {
	var b bytes.Buffer
	got, err := io.CopyN(&b, a.stream, n)
	if err == io.EOF && got < n {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

func (a *arrowRows) skip(n int64) error {
	_, err := io.CopyN(io.Discard, a.stream, n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// batch reads the column's buffers of a record batch and passes over the rest.
func (a *arrowRows) batch(m arrowMessage) error {
	h := m.header
	rows := h.int64(0)
	nodes, buffers := h.structs(1), h.structs(2)
	compressed, codec := false, byte(0)
	if t := h.table(3); t.at != 0 {
		compressed, codec = true, t.byte(0)
	}
	if h.f.bad || a.column.node >= len(nodes) || a.column.buffer+3 > len(buffers) || nodes[a.column.node][0] != rows || rows < 0 {
		return errors.New("broken metadata")
	}
	var parts [3][]byte
	at := int64(0)
	for i := range parts {
		from, n := buffers[a.column.buffer+i][0], buffers[a.column.buffer+i][1]
		if n == 0 {
			continue
		}
		if from < at || n < 0 || n > maxArrowBuffer || from > m.body-n {
			return fmt.Errorf("buffer of %d bytes at %d, body of %d", n, from, m.body)
		}
		if err := a.skip(from - at); err != nil {
			return err
		}
		var err error
		if parts[i], err = a.take(n); err != nil {
			return err
		}
		at = from + n
		if compressed {
			if parts[i], err = inflate(parts[i], codec); err != nil {
				return err
			}
		}
	}
	if err := a.skip(m.body - at); err != nil {
		return err
	}
	width := int64(4)
	if a.column.wide {
		width = 8
	}
	a.valid, a.offsets, a.data = parts[0], parts[1], parts[2]
	a.at, a.n = 0, 0
	if rows == 0 {
		return nil
	}
	if rows > maxArrowBuffer || int64(len(a.offsets)) < width*(rows+1) || len(a.valid) > 0 && int64(len(a.valid)) < (rows+7)/8 {
		return fmt.Errorf("%d rows, but offsets of %d bytes and validity of %d", rows, len(a.offsets), len(a.valid))
	}
	a.n = rows
	return nil
}

// inflate undoes the compression of a buffer: its size, -1 for none, and a frame.
func inflate(b []byte, codec byte) ([]byte, error) {
	if len(b) < 8 {
		return nil, errors.New("compressed buffer without a size")
	}
	size := int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	if size == -1 {
		return b, nil
	}
	if size < 0 || size > maxArrowBuffer {
		return nil, fmt.Errorf("compressed buffer of %d bytes", size)
	}
	var r io.Reader
	switch codec {
	case 0:
		r = lz4.NewReader(bytes.NewReader(b))
	case 1:
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("unknown compression %d", codec)
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("compressed buffer has %d bytes, want %d", n, size)
	}
	return out.Bytes(), err
}

// findColumn looks a string column up in a schema and counts what lies before it.
func findColumn(schema table, name string) (arrowColumn, error) {
	if schema.int16(0) != 0 {
		return arrowColumn{}, errors.New("numbers are big-endian")
	}
	var c arrowColumn
	var names []string
	fields := 0
	for _, field := range schema.tables(1) {
		kind := field.byte(2)
		if names = append(names, field.string(0)); names[len(names)-1] == name {
			switch {
			case field.table(4).at != 0:
				return c, fmt.Errorf("column %q is coded by a dictionary, want plain strings", name)
			case kind != arrowUtf8 && kind != arrowLargeUtf8:
				return c, fmt.Errorf("column %q is of type %d, want strings", name, kind)
			}
			c.wide = kind == arrowLargeUtf8
			if schema.f.bad {
				return c, errors.New("broken schema")
			}
			return c, nil
		}
		if err := c.pass(field, &fields); err != nil {
			return c, err
		}
	}
	if schema.f.bad {
		return c, errors.New("broken schema")
	}
	return c, fmt.Errorf("no column %q (columns: %s)", name, strings.Join(firstFew(names, 8), ", "))
}

// Numbers of the format's Type union.
const (
	arrowNull, arrowBinary, arrowUtf8, arrowList, arrowStruct, arrowUnion                             = 1, 4, 5, 12, 13, 14
	arrowFixedSizeList, arrowMap, arrowLargeBinary, arrowLargeUtf8, arrowLargeList, arrowRunEnds      = 16, 17, 19, 20, 21, 22
	arrowBinaryView, arrowUtf8View, arrowListView, arrowLargeListView                            byte = 23, 24, 25, 26
)

// pass counts the nodes and buffers of a field and its children.
func (c *arrowColumn) pass(field table, seen *int) error {
	if *seen++; *seen > maxArrowFields {
		return fmt.Errorf("more than %d fields", maxArrowFields)
	}
	c.node++
	if field.table(4).at != 0 { // the numbers that point into a dictionary
		c.buffer += 2
		return nil
	}
	switch kind := field.byte(2); kind {
	case arrowNull, arrowRunEnds:
	case arrowStruct, arrowFixedSizeList:
		c.buffer++
	case arrowUnion:
		c.buffer++
		if field.table(3).int16(0) == 1 { // dense: offsets too
			c.buffer++
		}
	case arrowBinary, arrowUtf8, arrowLargeBinary, arrowLargeUtf8, arrowListView, arrowLargeListView:
		c.buffer += 3
	case arrowBinaryView, arrowUtf8View:
		return fmt.Errorf("column %q before the text is of type %d (views), which is not read", field.string(0), kind)
	default:
		c.buffer += 2
	}
	for _, child := range field.tables(5) {
		if err := c.pass(child, seen); err != nil {
			return err
		}
	}
	return nil
}
