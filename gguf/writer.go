package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Writer makes a GGUF file. Fields and tensors are announced first; [Writer.WriteTo] then writes the
// file from its beginning to its end, one tensor at a time.
type Writer struct {
	fields  []Field
	tensors []pending
	names   map[string]bool
	end     int64 // of the data so far, aligned
}

type pending struct {
	Tensor
	produce func(io.Writer) error
}

// NewWriter starts a file whose general.architecture is arch.
func NewWriter(arch string) *Writer {
	return &Writer{fields: []Field{{"general.architecture", arch}, {alignmentKey, uint32(defaultAlignment)}}, names: map[string]bool{}}
}

// Set adds a field, or replaces the value of one. The types of value are those of [Field], arrays of
// arrays excepted.
func (w *Writer) Set(key string, value any) error {
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) || key == alignmentKey {
		return fmt.Errorf("gguf: field %q cannot be set", key)
	}
	if _, err := appendValue(nil, value, false); err != nil {
		return fmt.Errorf("gguf: field %q: %w", key, err)
	}
	for i, f := range w.fields {
		if f.Key == key {
			w.fields[i].Value = value
			return nil
		}
	}
	w.fields = append(w.fields, Field{key, value})
	return nil
}

// Add announces a tensor of shape (rows, cols) or (cols), whose rows produce writes in order: exactly
// the bytes that type and shape want. It is called once, by WriteTo.
func (w *Writer) Add(name string, t Type, shape []int, produce func(io.Writer) error) error {
	if name == "" || len(name) > maxName || w.names[name] {
		return fmt.Errorf("gguf: tensor %q: the name is empty, longer than %d bytes or there twice", name, maxName)
	}
	if len(shape) == 0 || len(shape) > maxDims || slices.Min(shape) < 1 {
		return fmt.Errorf("gguf: tensor %q: shape %v, want 1 to %d positive dimensions", name, shape, maxDims)
	}
	size, err := tensorSize(t, shape)
	if err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", name, err)
	}
	w.names[name] = true
	w.tensors = append(w.tensors, pending{Tensor{name, t, slices.Clone(shape), w.end, size}, produce})
	w.end = align(w.end+size, defaultAlignment)
	return nil
}

// Size returns the bytes of the whole file.
func (w *Writer) Size() (int64, error) {
	header, err := w.header()
	return int64(len(header)) + w.end, err
}

// WriteTo writes the file and returns its size in bytes. It holds the header in memory, and of the
// tensors what their producers hold.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	header, err := w.header()
	if err != nil {
		return 0, err
	}
	c := &counter{w: bufio.NewWriterSize(out, 1<<20)}
	if _, err := c.Write(header); err != nil {
		return c.n, err
	}
	for _, t := range w.tensors {
		from := c.n
		if err := t.produce(c); err != nil {
			return c.n, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if got := c.n - from; got != t.Size {
			return c.n, fmt.Errorf("tensor %q: %d bytes were written, want %d", t.Name, got, t.Size)
		}
		if err := c.pad(); err != nil {
			return c.n, err
		}
	}
	return c.n, c.w.Flush()
}

// header returns everything before the data, aligned.
func (w *Writer) header() ([]byte, error) {
	out := []byte(magic)
	le := binary.LittleEndian
	out = le.AppendUint32(out, version)
	out = le.AppendUint64(out, uint64(len(w.tensors)))
	out = le.AppendUint64(out, uint64(len(w.fields)))
	var err error
	for _, f := range w.fields {
		out = appendString(out, f.Key)
		if out, err = appendValue(out, f.Value, true); err != nil {
			return nil, fmt.Errorf("gguf: field %q: %w", f.Key, err)
		}
	}
	for _, t := range w.tensors {
		out = appendString(out, t.Name)
		out = le.AppendUint32(out, uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			out = le.AppendUint64(out, uint64(d))
		}
		out = le.AppendUint32(out, uint32(t.Type))
		out = le.AppendUint64(out, uint64(t.Offset))
	}
	return append(out, make([]byte, align(int64(len(out)), defaultAlignment)-int64(len(out)))...), nil
}

func appendString(out []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(s))), s...)
}

// appendValue appends the code and the bytes of a value; without write it only checks the type.
func appendValue(out []byte, value any, write bool) ([]byte, error) {
	code, array, ok := codeOf(value)
	if !ok {
		return nil, fmt.Errorf("a value of type %T, which GGUF has not", value)
	}
	if !write {
		return nil, nil
	}
	le := binary.LittleEndian
	if array {
		out = le.AppendUint32(out, codeArray)
	}
	out = le.AppendUint32(out, code)
	switch v := value.(type) {
	case string:
		return appendString(out, v), nil
	case []string:
		out = le.AppendUint64(out, uint64(len(v)))
		for _, s := range v {
			out = appendString(out, s)
		}
		return out, nil
	}
	if array {
		out = le.AppendUint64(out, uint64(arrayLen(value, code)))
	}
	return binary.Append(out, le, value)
}

// arrayLen returns the elements of an array of fixed-size values.
func arrayLen(value any, code uint32) int {
	return binary.Size(value) / fixedSize[code]
}

// fixedSize are the bytes of one value by code.
var fixedSize = map[uint32]int{codeUint8: 1, codeInt8: 1, codeBool: 1, codeUint16: 2, codeInt16: 2,
	codeUint32: 4, codeInt32: 4, codeFloat32: 4, codeUint64: 8, codeInt64: 8, codeFloat64: 8}

// codeOf returns the code of a value, or of the elements of an array.
func codeOf(value any) (code uint32, array, ok bool) {
	switch value.(type) {
	case uint8:
		return codeUint8, false, true
	case int8:
		return codeInt8, false, true
	case uint16:
		return codeUint16, false, true
	case int16:
		return codeInt16, false, true
	case uint32:
		return codeUint32, false, true
	case int32:
		return codeInt32, false, true
	case uint64:
		return codeUint64, false, true
	case int64:
		return codeInt64, false, true
	case float32:
		return codeFloat32, false, true
	case float64:
		return codeFloat64, false, true
	case bool:
		return codeBool, false, true
	case string:
		return codeString, false, true
	case []uint8:
		return codeUint8, true, true
	case []int8:
		return codeInt8, true, true
	case []uint16:
		return codeUint16, true, true
	case []int16:
		return codeInt16, true, true
	case []uint32:
		return codeUint32, true, true
	case []int32:
		return codeInt32, true, true
	case []uint64:
		return codeUint64, true, true
	case []int64:
		return codeInt64, true, true
	case []float32:
		return codeFloat32, true, true
	case []float64:
		return codeFloat64, true, true
	case []bool:
		return codeBool, true, true
	case []string:
		return codeString, true, true
	}
	return 0, false, false
}

// counter counts the bytes that pass.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// pad writes zeros up to the next alignment of the file, whose header is aligned.
func (c *counter) pad() error {
	var zeros [defaultAlignment]byte
	_, err := c.Write(zeros[:align(c.n, defaultAlignment)-c.n])
	return err
}
