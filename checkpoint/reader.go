package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"unsafe"

	"lep/tensor"
)

// File is an open safetensors file. Where the system can, it is mapped: views
// then alias the mapping and are valid until Close. A file that another process
// shortens while it is mapped ends the program, as with every mapping.
type File struct {
	name     string // as errors call it
	f        *os.File
	mapped   []byte // the whole file; nil where it is read instead
	start    int64  // of the data
	entries  []Entry
	byName   map[string]int
	metadata map[string]string
}

// OpenFile opens one safetensors file of any content.
func OpenFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return newFile(f, filepath.Base(path))
}

// newFile takes over f and closes it on error.
func newFile(f *os.File, name string) (*File, error) {
	s := &File{name: name, f: f}
	if err := s.readHeader(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s *File) readHeader() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	prefix := make([]byte, min(prefixSize, info.Size()))
	if _, err := s.f.ReadAt(prefix, 0); err != nil {
		return err
	}
	n, err := headerLength(prefix, info.Size())
	if err != nil {
		return err
	}
	header := make([]byte, n)
	if _, err := s.f.ReadAt(header, prefixSize); err != nil {
		return err
	}
	s.start = prefixSize + int64(n)
	s.entries, s.metadata, err = parseHeader(header, info.Size()-s.start)
	if err != nil {
		return err
	}
	s.byName = make(map[string]int, len(s.entries))
	for i, e := range s.entries {
		s.byName[e.Name] = i
	}
	s.mapped = mapFile(s.f, info.Size())
	return nil
}

// Entries returns what the header says, in the order of the data; it is shared.
func (s *File) Entries() []Entry { return s.entries }

// Metadata returns the header's __metadata__; it is shared.
func (s *File) Metadata() map[string]string { return s.metadata }

// Has reports whether the file holds a tensor.
func (s *File) Has(name string) bool { _, ok := s.byName[name]; return ok }

// Names returns the tensors in the order of their data.
func (s *File) Names() []string {
	names := make([]string, len(s.entries))
	for i, e := range s.entries {
		names[i] = e.Name
	}
	return names
}

// Tensor returns a tensor. Its Data aliases the mapped file; on systems without
// mapping it is read into memory by each call.
func (s *File) Tensor(name string) (tensor.View, error) {
	i, ok := s.byName[name]
	if !ok {
		return tensor.View{}, &TensorError{File: s.name, Tensor: name, What: "is not there"}
	}
	e := s.entries[i]
	v := tensor.View{Name: name, DType: e.DType, Shape: e.Shape}
	if s.mapped != nil {
		v.Data = s.mapped[s.start+e.Begin : s.start+e.End : s.start+e.End]
		return v, nil
	}
	v.Data = make([]byte, e.End-e.Begin)
	if _, err := s.f.ReadAt(v.Data, s.start+e.Begin); err != nil && !errors.Is(err, io.EOF) {
		return tensor.View{}, fmt.Errorf("%s: tensor %q: %w", s.name, name, err)
	}
	return v, nil
}

// Release tells the system that the bytes of v are not needed in memory for
// now; they are read again at the next touch. It keeps the resident size small
// while a large file is streamed. Views that this file did not hand out are
// left alone.
func (s *File) Release(v tensor.View) {
	if len(v.Data) == 0 || len(s.mapped) == 0 {
		return
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(v.Data)))
	base := uintptr(unsafe.Pointer(unsafe.SliceData(s.mapped)))
	if at < base || at+uintptr(len(v.Data)) > base+uintptr(len(s.mapped)) {
		return
	}
	releasePages(s.mapped, int(at-base), len(v.Data))
}

// Close unmaps and closes the file. Its views must not be used any more.
func (s *File) Close() error {
	err := unmapFile(s.mapped)
	s.mapped = nil
	return errors.Join(err, s.f.Close())
}

// releaser is a File or a Model.
type releaser interface{ Release(tensor.View) }

// blockBytes is how much of a tensor is streamed before its pages are released.
const blockBytes = 16 << 20

// blocks cuts v into blocks of whole rows of about blockBytes, yields each with
// the index of its first row, and releases it afterwards.
func blocks(from releaser, v tensor.View) iter.Seq2[int, tensor.View] {
	return func(yield func(int, tensor.View) bool) {
		if len(v.Data) == 0 {
			return
		}
		rows := v.Rows()
		step := max(1, blockBytes/max(1, len(v.Data)/rows))
		for r := 0; r < rows; r += step {
			b := v.Block(r, min(step, rows-r))
			ok := yield(r, b)
			from.Release(b)
			if !ok {
				return
			}
		}
	}
}
