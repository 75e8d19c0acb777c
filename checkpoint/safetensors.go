package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"

	"lep/internal/orderedjson"
	"lep/tensor"
)

// A safetensors file is an 8-byte little-endian header length, a JSON header
// and the data. These are the format's own limits.
const (
	prefixSize    = 8
	maxHeaderSize = 100_000_000
	headerAlign   = 8
	metadataKey   = "__metadata__"
)

// Entry is one tensor of a safetensors header. Begin and End are bytes from the
// start of the data, behind the header.
type Entry struct {
	Name       string
	DType      tensor.DType
	Shape      []int
	Begin, End int64
}

// size returns the bytes of a tensor, false if the product overflows an int64.
func size(d tensor.DType, shape []int) (int64, bool) {
	n := uint64(d.Size())
	zero := false
	for _, dim := range shape {
		if dim < 0 {
			return 0, false
		}
		if dim == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	if zero {
		return 0, true
	}
	return int64(n), true
}

// headerLength checks the first eight bytes of a file of fileSize bytes and
// returns the length of the header behind them.
func headerLength(prefix []byte, fileSize int64) (int, error) {
	if len(prefix) < prefixSize || fileSize < prefixSize {
		return 0, fmt.Errorf("%d bytes, a safetensors file has at least %d", fileSize, prefixSize+2)
	}
	n := binary.LittleEndian.Uint64(prefix)
	if n > maxHeaderSize {
		return 0, fmt.Errorf("header of %d bytes, at most %d are allowed", n, maxHeaderSize)
	}
	if int64(n) > fileSize-prefixSize {
		return 0, fmt.Errorf("header of %d bytes, the file has %d behind its length", n, fileSize-prefixSize)
	}
	if n < 2 {
		return 0, fmt.Errorf("header of %d bytes, an empty one has 2", n)
	}
	return int(n), nil
}

// parseHeader reads a header whose data has dataSize bytes. The entries come
// ordered by their place in the data, which they fill without gap or overlap.
func parseHeader(header []byte, dataSize int64) ([]Entry, map[string]string, error) {
	if header[0] != '{' {
		return nil, nil, fmt.Errorf("header begins with %q, want '{'", header[0])
	}
	if !utf8.Valid(header) {
		return nil, nil, errors.New("header is not UTF-8")
	}
	var entries []Entry
	metadata := map[string]string{}
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(header))
	err := object(d, func(name string) error {
		if seen[name] {
			return fmt.Errorf("tensor %q stands twice in the header", name)
		}
		seen[name] = true
		if name == metadataKey {
			return readMetadata(d, metadata)
		}
		e, err := readEntry(d)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		e.Name = name
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if rest := bytes.TrimSpace(header[d.InputOffset():]); len(rest) > 0 {
		return nil, nil, fmt.Errorf("header: text behind the object at byte %d", d.InputOffset())
	}
	return entries, metadata, contiguous(entries, dataSize)
}

// object walks one JSON object, calling value with the decoder in front of each
// value.
func object(d *json.Decoder, value func(key string) error) error {
	if err := delim(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if err := value(key.(string)); err != nil {
			return err
		}
	}
	return delim(d, '}')
}

func delim(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return fmt.Errorf("header: byte %d: %w", d.InputOffset(), err)
	}
	if got != want {
		return fmt.Errorf("header: byte %d: %v, want %q", d.InputOffset(), got, rune(want))
	}
	return nil
}

func readMetadata(d *json.Decoder, into map[string]string) error {
	return object(d, func(key string) error {
		if _, ok := into[key]; ok {
			return fmt.Errorf("%s: key %q stands twice", metadataKey, key)
		}
		var s *string
		if err := d.Decode(&s); err != nil || s == nil {
			return fmt.Errorf("%s: key %q: want a string", metadataKey, key)
		}
		into[key] = *s
		return nil
	})
}

func readEntry(d *json.Decoder) (Entry, error) {
	var (
		e       Entry
		offsets []int
		seen    = map[string]bool{}
	)
	err := object(d, func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("key %q stands twice", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			var name string
			if err := d.Decode(&name); err != nil {
				return fmt.Errorf("dtype: %w", err)
			}
			e.DType, err = tensor.ParseDType(name)
		case "shape":
			e.Shape, err = naturals(d, key)
		case "data_offsets":
			offsets, err = naturals(d, key)
		default:
			var ignored json.RawMessage
			err = d.Decode(&ignored)
		}
		return err
	})
	switch {
	case err != nil:
		return e, err
	case !seen["dtype"] || !seen["shape"] || !seen["data_offsets"]:
		return e, errors.New("want dtype, shape and data_offsets")
	case len(offsets) != 2 || offsets[0] > offsets[1]:
		return e, fmt.Errorf("data_offsets %v, want begin and end", offsets)
	}
	e.Begin, e.End = int64(offsets[0]), int64(offsets[1])
	want, ok := size(e.DType, e.Shape)
	if !ok {
		return e, fmt.Errorf("shape %v of %s: the number of bytes overflows", e.Shape, e.DType)
	}
	if got := e.End - e.Begin; got != want {
		return e, fmt.Errorf("data_offsets hold %d bytes, shape %v of %s wants %d", got, e.Shape, e.DType, want)
	}
	return e, nil
}

// naturals reads a list of integers from 0 on. The list is never longer than
// the header's text.
func naturals(d *json.Decoder, key string) ([]int, error) {
	var list []*int // a pointer, for null would pass as 0
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if list == nil {
		return nil, fmt.Errorf("%s: null, want a list", key)
	}
	out := make([]int, len(list))
	for i, n := range list {
		if n == nil || *n < 0 {
			return nil, fmt.Errorf("%s: element %d is no integer from 0 on", key, i)
		}
		out[i] = *n
	}
	return out, nil
}

// contiguous orders entries by their bytes and checks that they fill the data.
func contiguous(entries []Entry, dataSize int64) error {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End))
	})
	var at int64
	for i, e := range entries {
		switch {
		case e.Begin < at:
			return fmt.Errorf("tensor %q: begins at byte %d, inside tensor %q that ends at %d", e.Name, e.Begin, entries[i-1].Name, at)
		case e.Begin > at:
			return fmt.Errorf("tensor %q: begins at byte %d, the bytes from %d on belong to no tensor", e.Name, e.Begin, at)
		}
		at = e.End
	}
	if at > dataSize {
		return fmt.Errorf("tensors end at byte %d of the data, the file has %d: truncated?", at, dataSize)
	}
	if at < dataSize {
		return fmt.Errorf("tensors end at byte %d of the data, the file has %d: bytes that belong to no tensor", at, dataSize)
	}
	return nil
}

// encodeHeader writes the header of entries in their order, with its length in
// front, padded with spaces as the format's own library does.
func encodeHeader(entries []Entry, metadata map[string]string) ([]byte, error) {
	b := make([]byte, prefixSize, prefixSize+64+128*len(entries))
	b = append(b, '{')
	if len(metadata) > 0 {
		m, err := orderedjson.Marshal(metadata) // keys sorted
		if err != nil {
			return nil, err
		}
		b = append(append(b, `"`+metadataKey+`":`...), m...)
	}
	for _, e := range entries {
		name, err := orderedjson.Marshal(e.Name)
		if err != nil {
			return nil, err
		}
		if len(b) > prefixSize+1 {
			b = append(b, ',')
		}
		b = append(append(b, name...), `:{"dtype":"`+e.DType.String()+`","shape":[`...)
		for i, n := range e.Shape {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = append(b, `],"data_offsets":[`...)
		b = append(strconv.AppendInt(b, e.Begin, 10), ',')
		b = append(strconv.AppendInt(b, e.End, 10), `]}`...)
	}
	b = append(b, '}')
	for len(b)%headerAlign != 0 {
		b = append(b, ' ')
	}
	if len(b)-prefixSize > maxHeaderSize {
		return nil, fmt.Errorf("header of %d bytes, at most %d are allowed", len(b)-prefixSize, maxHeaderSize)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-prefixSize))
	return b, nil
}
