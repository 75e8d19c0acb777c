package shard

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"lep/corpus"
	"lep/internal/atomic"
)

// fileTokens is how many tokens a file holds at most, padding included.
const fileTokens = 16 << 20

// Writer writes blocks into files, each whole or not at all. It keeps some buffers in
// memory, whatever the number of blocks.
type Writer struct {
	dir    string
	prefix string
	m      Manifest
	limit  int64 // blocks of a file
	file   *file // nil between files
}

// Create begins shards in a folder that exists, whose files will be called PREFIX-00000.bin and so on.
func Create(dir, prefix string, s Settings) (*Writer, error) {
	return Continue(dir, prefix, Manifest{Format: format, Version: version, Settings: s, DType: s.dtype()})
}

// Continue goes on behind the files that an earlier writer of the same folder and prefix has finished.
func Continue(dir, prefix string, m Manifest) (*Writer, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	m.Shards = slices.Clone(m.Shards)
	return &Writer{dir: dir, prefix: prefix, limit: max(1, fileTokens/int64(m.BlockSize)), m: m}, nil
}

// Add writes a block. Its ids must be below vocab_size; what the settings have no room for (labels, a
// second document, padding) is an error.
func (w *Writer) Add(b corpus.Block) error {
	if err := w.check(b); err != nil {
		return err
	}
	if w.file == nil {
		f, err := newFile(w.dir, &w.m.Settings, w.limit)
		if err != nil {
			return err
		}
		w.file = f
	}
	w.file.add(b)
	w.m.Tokens += int64(len(b.IDs))
	if w.file.blocks == w.limit {
		return w.Flush()
	}
	return nil
}

func (w *Writer) check(b corpus.Block) error {
	place := fmt.Sprintf("%s:%d: block of %d tokens", b.Source, b.Line, len(b.IDs))
	switch {
	case len(b.IDs) == 0 || len(b.IDs) > w.m.BlockSize:
		return fmt.Errorf("%s, want 1 to %d", place, w.m.BlockSize)
	case b.Labels != nil && len(b.Labels) != len(b.IDs):
		return fmt.Errorf("%s has %d labels", place, len(b.Labels))
	case !w.m.HasLabels && (b.Labels != nil || b.Context > 0):
		return fmt.Errorf("%s has labels, shards without (has_labels)", place)
	case !w.m.HasDocuments && len(b.IDs) < w.m.BlockSize:
		return fmt.Errorf("%s needs padding, which shards without documents cannot tell (has_documents)", place)
	case len(b.Starts) >= padding:
		return fmt.Errorf("%s has %d documents, want below %d", place, len(b.Starts), padding)
	}
	for i, id := range b.IDs {
		if id < 0 || int(id) >= w.m.VocabSize {
			return fmt.Errorf("%s: token %d has id %d, vocab_size is %d", place, i, id, w.m.VocabSize)
		}
	}
	return nil
}

// Flush ends the file that is being written, if any: what was added so far is on the disk.
func (w *Writer) Flush() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	name := fmt.Sprintf("%s-%05d.bin", w.prefix, len(w.m.Shards))
	digest, err := f.finish(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	w.m.Shards = append(w.m.Shards, File{Name: name, Blocks: f.blocks, SHA256: digest})
	w.m.Blocks += f.blocks
	return nil
}

// CountBytes notes bytes of text that the blocks were made of.
func (w *Writer) CountBytes(n int64) { w.m.Bytes += n }

// Filled is the share of the file being written that is used, 0 between files.
func (w *Writer) Filled() float64 {
	if w.file == nil {
		return 0
	}
	return float64(w.file.blocks) / float64(w.limit)
}

// Manifest describes the files that are finished.
func (w *Writer) Manifest() Manifest {
	m := w.m
	m.Shards = slices.Clone(m.Shards)
	return m
}

// Finish writes shards.json for all files of the parts, in their order: with it the folder is complete.
// The parts must have the same settings. source identifies what the shards were made of.
func Finish(dir string, source json.RawMessage, parts ...Manifest) (*Manifest, error) {
	m := parts[0]
	m.Source, m.Shards = source, slices.Clone(m.Shards)
	for i, p := range parts[1:] {
		if p.Settings != m.Settings {
			return nil, fmt.Errorf("part %d of the shards has settings %+v, the first %+v", i+2, p.Settings, m.Settings)
		}
		m.Shards = append(m.Shards, p.Shards...)
		m.Blocks, m.Tokens, m.Bytes = m.Blocks+p.Blocks, m.Tokens+p.Tokens, m.Bytes+p.Bytes
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return &m, atomic.WriteFile(filepath.Join(dir, ManifestFile), append(data, '\n'), true)
}

// Abort removes the file that is being written.
func (w *Writer) Abort() {
	if w.file != nil {
		w.file.abort()
		w.file = nil
	}
}

// file is a shard being written: each array is at its place for the largest number of
// blocks, and moves down if there are fewer in the end.
type file struct {
	s      *Settings
	limit  int64
	blocks int64
	f      *os.File
	parts  []*part
	row    []byte
}

// part is one of a shard's arrays.
type part struct {
	start   int64 // in the file, for limit blocks
	element int64 // bytes
	w       *bufio.Writer
}

func newFile(dir string, s *Settings, limit int64) (*file, error) {
	f, err := os.CreateTemp(dir, ".shard-*")
	if err != nil {
		return nil, err
	}
	sf := &file{s: s, limit: limit, f: f}
	token, labels, documents := s.layout()
	var start int64
	for _, element := range []int64{token, labels, documents} {
		sf.parts = append(sf.parts, &part{start, element, bufio.NewWriterSize(io.NewOffsetWriter(f, start), 256<<10)})
		start += limit * int64(s.BlockSize) * element
	}
	return sf, nil
}

// add encodes a block's arrays; errors of the buffers come with finish.
func (f *file) add(b corpus.Block) {
	f.blocks++
	f.row = f.row[:0]
	for i := range f.s.BlockSize {
		var id int32
		if i < len(b.IDs) {
			id = b.IDs[i]
		}
		if f.parts[0].element == 2 {
			f.row = binary.LittleEndian.AppendUint16(f.row, uint16(id))
		} else {
			f.row = binary.LittleEndian.AppendUint32(f.row, uint32(id))
		}
	}
	f.parts[0].w.Write(f.row)
	if f.s.HasLabels {
		f.row = f.row[:0]
		for i := range f.s.BlockSize {
			f.row = binary.LittleEndian.AppendUint32(f.row, uint32(label(b, i)))
		}
		f.parts[1].w.Write(f.row)
	}
	if f.s.HasDocuments {
		f.row = f.row[:0]
		document := uint16(0)
		for i := range f.s.BlockSize {
			for int(document)+1 < len(b.Starts) && i >= int(b.Starts[document+1]) {
				document++
			}
			d := document
			if i >= len(b.IDs) {
				d = padding
			}
			f.row = binary.LittleEndian.AppendUint16(f.row, d)
		}
		f.parts[2].w.Write(f.row)
	}
}

// label returns the label of a block's token.
func label(b corpus.Block, i int) int32 {
	switch {
	case i >= len(b.IDs):
		return corpus.NoLabel
	case b.Labels != nil:
		return b.Labels[i]
	case i < b.Context:
		return corpus.NoLabel
	}
	return b.IDs[i]
}

// finish closes up the arrays, syncs and renames, and returns the file's SHA-256.
func (f *file) finish(path string) (digest string, err error) {
	defer func() {
		if err != nil {
			f.abort()
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	var end int64
	for _, p := range f.parts {
		if err := p.w.Flush(); err != nil {
			return "", err
		}
		n := f.blocks * int64(f.s.BlockSize) * p.element
		if end != p.start {
			if _, err := io.Copy(io.NewOffsetWriter(f.f, end), io.NewSectionReader(f.f, p.start, n)); err != nil {
				return "", err
			}
		}
		end += n
	}
	if err := f.f.Truncate(end); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f.f, 0, end)); err != nil {
		return "", err
	}
	if err := f.f.Chmod(0o644); err != nil {
		return "", err
	}
	if err := f.f.Sync(); err != nil {
		return "", err
	}
	if err := f.f.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), os.Rename(f.f.Name(), path)
}

func (f *file) abort() {
	f.f.Close()
	os.Remove(f.f.Name())
}
