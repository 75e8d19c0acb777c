package checkpoint

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/tensor"
)

// WriterOptions say how weights are laid out in files.
type WriterOptions struct {
	// MaxShardSize is the most bytes of tensors in one file (bytes; HF's "5GB" is
	// 5e9). A single larger tensor gets a file of its own.
	MaxShardSize int64 `yaml:"max_shard_size"`
	// Digests asks for the SHA-256 of every tensor's bytes.
	Digests bool `yaml:"digests"`
	// BaseName is what the files are called before ".safetensors".
	BaseName string `yaml:"-"`
	// FS is the file system, nil the operating system's.
	FS FS `yaml:"-"`
}

// DefaultWriterOptions returns what save_pretrained does: shards of 5 GB named model.
func DefaultWriterOptions() WriterOptions {
	return WriterOptions{MaxShardSize: 5e9, BaseName: "model"}
}

// Validate reports the first option that cannot be.
func (o WriterOptions) Validate() error {
	if o.MaxShardSize <= 0 {
		return fmt.Errorf("max_shard_size: %d, want bytes above 0", o.MaxShardSize)
	}
	if o.BaseName == "" || !filepath.IsLocal(o.BaseName) || strings.ContainsAny(o.BaseName, `/\`) {
		return fmt.Errorf("base name %q, want a plain file name", o.BaseName)
	}
	return nil
}

// Source is a [Model] or a [File]: something whose tensors can be copied.
type Source interface {
	Tensor(name string) (tensor.View, error)
	region(name string) (*File, Entry, error)
}

func (s *File) region(name string) (*File, Entry, error) {
	i, ok := s.byName[name]
	if !ok {
		return nil, Entry{}, &TensorError{File: s.name, Tensor: name, What: "is not there"}
	}
	return s, s.entries[i], nil
}

func (m *Model) region(name string) (*File, Entry, error) {
	f := m.at[name]
	if f == nil {
		return nil, Entry{}, &TensorError{File: m.dir, Tensor: name, What: "is not there"}
	}
	return f.region(name)
}

// Writer writes the weights of a model folder. Tensors are announced first, in
// the order in which they are to be cut into shards; [Writer.Write] then streams
// them, one at a time.
type Writer struct {
	dir     string
	opts    WriterOptions
	tensors []pending
	names   map[string]bool
}

// pending is a tensor that will be written: produced, or copied from a file.
type pending struct {
	Entry
	produce func(io.Writer) error
	from    *File
	source  Entry
}

// NewWriter starts the weights of the folder dir, which must exist and should be
// one in the making (internal/atomic): Write gives files their final names.
func NewWriter(dir string, opts WriterOptions) *Writer {
	if opts.FS == nil {
		opts.FS = osFS{}
	}
	return &Writer{dir: dir, opts: opts, names: map[string]bool{}}
}

// Add announces a tensor whose rows produce writes in order: exactly the bytes
// that dtype and shape want, row-major and little-endian. It is called once, by
// Write; w is buffered.
func (w *Writer) Add(name string, dtype tensor.DType, shape []int, produce func(w io.Writer) error) error {
	return w.add(pending{Entry: Entry{Name: name, DType: dtype, Shape: slices.Clone(shape)}, produce: produce})
}

// AddView announces a tensor that is in memory (or mapped).
func (w *Writer) AddView(v tensor.View) error {
	return w.Add(v.Name, v.DType, v.Shape, func(out io.Writer) error {
		_, err := out.Write(v.Data)
		return err
	})
}

// Copy announces a tensor that is copied byte for byte from a source, which must
// stay open until Write returns. Holes of a sparse source stay holes.
func (w *Writer) Copy(from Source, name string) error { return w.CopyAs(name, from, name) }

// CopyAs is Copy with another name in the output.
func (w *Writer) CopyAs(name string, from Source, sourceName string) error {
	f, e, err := from.region(sourceName)
	if err != nil {
		return err
	}
	return w.add(pending{Entry: Entry{Name: name, DType: e.DType, Shape: e.Shape}, from: f, source: e})
}

func (w *Writer) add(p pending) error {
	n, ok := size(p.DType, p.Shape)
	if !utf8.ValidString(p.Name) {
		return &TensorError{File: w.dir, Tensor: p.Name, What: "has a name that is not UTF-8"}
	}
	if !ok || p.DType == tensor.Invalid {
		return &TensorError{File: w.dir, Tensor: p.Name, What: fmt.Sprintf("cannot be %s %v", p.DType, p.Shape)}
	}
	if w.names[p.Name] || p.Name == metadataKey {
		return &TensorError{File: w.dir, Tensor: p.Name, What: "is added twice"}
	}
	w.names[p.Name] = true
	p.End = n
	w.tensors = append(w.tensors, p)
	return nil
}

// Plan is what Write would do.
type Plan struct {
	Files     []PlannedFile
	TotalSize int64 // bytes of all tensors
	NewBytes  int64 // bytes that take room on the disk: holes of the sources do not
}

// PlannedFile is a file with its whole size in bytes.
type PlannedFile struct {
	Name string
	Size int64
}

// Plan returns the files that Write would write.
func (w *Writer) Plan() (Plan, error) {
	shards, err := w.plan()
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, s := range shards {
		p.Files = append(p.Files, PlannedFile{s.name, s.size})
		p.TotalSize += s.size - int64(len(s.header))
		p.NewBytes += int64(len(s.header))
		for _, t := range s.tensors {
			p.NewBytes += t.newBytes()
		}
	}
	return p, nil
}

func (t *pending) newBytes() int64 {
	if t.from == nil {
		return t.End - t.Begin
	}
	var n int64
	for _, e := range extents(t.from.f, t.from.start+t.source.Begin, t.from.start+t.source.End) {
		n += e.to - e.from
	}
	return n
}

// Written says what Write wrote.
type Written struct {
	Files           []PlannedFile
	TotalSize       int64             // bytes of all tensors
	TotalParameters int64             // elements of all tensors
	Digests         map[string]string // tensor → SHA-256 of its bytes in hex, if asked for
}

// Write writes and syncs the files and, if there are several, their index. On an
// error, or when ctx is done, it removes what it wrote.
func (w *Writer) Write(ctx context.Context) (Written, error) {
	out, made, err := w.write(ctx)
	if err != nil {
		for _, name := range made {
			err = errors.Join(err, w.opts.FS.Remove(name))
		}
		return Written{}, err
	}
	return out, nil
}

func (w *Writer) write(ctx context.Context) (out Written, made []string, err error) {
	shards, err := w.plan()
	if err != nil {
		return out, nil, err
	}
	if err := w.checkSpace(); err != nil {
		return out, nil, err
	}
	weightMap := map[string]string{}
	digests := newDigests(w.opts.Digests)
	defer digests.wait()
	for _, s := range shards {
		path := filepath.Join(w.dir, s.name)
		f, err := w.opts.FS.Create(path)
		if err != nil {
			return out, made, err
		}
		made = append(made, path)
		err = writeShard(ctx, f, s, digests)
		if err := errors.Join(err, f.Close()); err != nil {
			return out, made, explainWrite(s.name, err)
		}
		for _, t := range s.tensors {
			weightMap[t.Name] = s.name
			out.TotalSize += t.End - t.Begin
			out.TotalParameters += (t.End - t.Begin) / int64(t.DType.Size())
		}
		out.Files = append(out.Files, PlannedFile{s.name, s.size})
	}
	if out.Digests, err = digests.wait(); err != nil {
		return out, made, err
	}
	if len(shards) > 1 {
		path := filepath.Join(w.dir, w.opts.BaseName+".safetensors.index.json")
		index, err := encodeIndex(out, weightMap)
		if err != nil {
			return out, made, err
		}
		f, err := w.opts.FS.Create(path)
		if err != nil {
			return out, made, err
		}
		made = append(made, path)
		err = writeAll(f, index, 0)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return out, made, explainWrite(filepath.Base(path), err)
		}
	}
	return out, made, nil
}

func (w *Writer) checkSpace() error {
	free, err := w.opts.FS.Free(w.dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := w.Plan()
	if err != nil {
		return err
	}
	if p.NewBytes > free {
		return hint.Errorf("make room, or give an output on another disk", "%s: %s to write, %s free", w.dir, gigabytes(p.NewBytes), gigabytes(free))
	}
	return nil
}

func gigabytes(n int64) string { return fmt.Sprintf("%.3g GB", float64(n)/1e9) }

func explainWrite(name string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	if isNoSpace(err) {
		return hint.Wrap(err, "the disk is full: make room, or give an output on another disk")
	}
	return err
}

func encodeIndex(out Written, weightMap map[string]string) ([]byte, error) {
	index := orderedjson.New()
	err := errors.Join(
		index.Set("metadata", map[string]int64{"total_parameters": out.TotalParameters, "total_size": out.TotalSize}),
		index.Set("weight_map", weightMap)) // maps are written with sorted keys, as HF does
	if err != nil {
		return nil, err
	}
	return index.Indent()
}

const copyBuffer = 1 << 20

func writeShard(ctx context.Context, f Output, s shard, digests *digests) error {
	if err := writeAll(f, s.header, 0); err != nil {
		return err
	}
	buf := make([]byte, copyBuffer)
	start := int64(len(s.header))
	for i := 0; i < len(s.tensors); {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := s.tensors[i]
		if t.from == nil {
			if err := produce(f, start, t, digests); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			i++
			continue
		}
		n := run(s.tensors[i:])
		if err := copyRun(ctx, f, start, s.tensors[i:i+n], buf); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		for _, t := range s.tensors[i : i+n] {
			digests.region(t.Name, t.from, t.source)
		}
		i += n
	}
	if err := f.Truncate(s.size); err != nil { // the file may end in a hole
		return err
	}
	return f.Sync()
}

// copyStep bounds the time between two looks at the context.
const copyStep = 256 << 20

func copyRun(ctx context.Context, f Output, start int64, run []pending, buf []byte) error {
	first, last := run[0], run[len(run)-1]
	from := first.from.start + first.source.Begin
	to, n := start+first.Begin, last.End-first.Begin
	for done := int64(0); done < n; done += copyStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyRange(f, to+done, first.from.f, from+done, min(copyStep, n-done), buf); err != nil {
			return err
		}
	}
	return nil
}

func produce(f Output, start int64, t pending, digests *digests) error {
	size := t.End - t.Begin
	counted := &exactWriter{w: io.NewOffsetWriter(f, start+t.Begin), left: size}
	var h hash.Hash
	out := io.Writer(counted)
	if digests.wanted {
		h = sha256.New()
		out = io.MultiWriter(counted, h)
	}
	b := bufio.NewWriterSize(out, copyBuffer)
	if err := errors.Join(t.produce(b), b.Flush()); err != nil {
		return err
	}
	if counted.left != 0 {
		return fmt.Errorf("%d bytes were produced, shape %v of %s wants %d", size-counted.left, t.Shape, t.DType, size)
	}
	if h != nil {
		digests.set(t.Name, hex.EncodeToString(h.Sum(nil)))
	}
	return nil
}

// exactWriter refuses more bytes than a tensor has.
type exactWriter struct {
	w    io.Writer
	left int64
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, fmt.Errorf("%d bytes more than its shape wants", int64(len(p))-e.left)
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
