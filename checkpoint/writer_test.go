package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tensor"
)

// referenceFiles are all safetensors files of the reference data.
func referenceFiles(t *testing.T) []string {
	t.Helper()
	folders := []string{golden.Shared(t, "reference", "models"), golden.Shared(t, "reference", "pocket")}
	archives, err := filepath.Glob(filepath.Join(golden.Shared(t, "reference", "lep"), "*", "*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, a := range archives {
		folders = append(folders, golden.Untar(t, a))
	}
	var files []string
	for _, dir := range folders {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".safetensors" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestRewriteGivesTheSameBytes(t *testing.T) {
	files := referenceFiles(t)
	if len(files) < 100 {
		t.Fatalf("%d reference files, want more than 100", len(files))
	}
	identical := 0
	for _, path := range files {
		f, err := OpenFile(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(f.Names()) == 0 { // a case whose modes all ended in an error
			f.Close()
			continue
		}
		out := t.TempDir()
		opts := DefaultWriterOptions()
		opts.FS = &faultyFS{} // copies by hand and does not sync; the tests below use the system's
		w := NewWriter(out, opts)
		for _, name := range f.Names() {
			if err := w.Copy(f, name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write(t.Context()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, want := read(t, filepath.Join(out, "model.safetensors")), read(t, path)
		if maps.Equal(f.Metadata(), map[string]string{"format": "pt"}) {
			identical++
			if !bytes.Equal(got, want) {
				t.Errorf("%s: rewritten file differs", path)
			}
		}
		again, err := OpenFile(filepath.Join(out, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range f.Names() {
			a, _ := f.Tensor(name)
			b, err := again.Tensor(name)
			if err != nil || !bytes.Equal(a.Data, b.Data) || a.DType != b.DType {
				t.Errorf("%s: tensor %q changed (%v)", path, name, err)
			}
		}
		again.Close()
		f.Close()
	}
	if identical < 50 {
		t.Errorf("only %d files were compared byte for byte", identical)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestShardsAsTransformersCutsThem(t *testing.T) {
	dir := golden.Shared(t, "reference", "models", "checkpoints", "qwen3-sharded-bf16")
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out := t.TempDir()
	opts := DefaultWriterOptions()
	opts.MaxShardSize = 150_000
	opts.Digests = true
	w := NewWriter(out, opts)
	for _, name := range ModuleOrder(m.Names()) {
		if err := w.Copy(m, name); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := w.Plan()
	if err != nil {
		t.Fatal(err)
	}
	written, err := w.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(plan.Files) != fmt.Sprint(written.Files) || plan.TotalSize != written.TotalSize {
		t.Errorf("planned %+v, wrote %+v", plan, written)
	}
	for _, name := range append(m.Files(), indexFile) {
		if !bytes.Equal(read(t, filepath.Join(out, name)), read(t, filepath.Join(dir, name))) {
			t.Errorf("%s differs from what save_pretrained wrote", name)
		}
	}
	sums, err := m.Digests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(sums, written.Digests) || len(sums) != len(m.Names()) {
		t.Errorf("digests of the writer and of the model differ")
	}
}

// produced announces a tensor of n rows of 4 float32 that counts up.
func produced(t *testing.T, w *Writer, name string, rows int) {
	t.Helper()
	err := w.Add(name, tensor.F32, []int{rows, 4}, func(out io.Writer) error {
		row := make([]byte, 16)
		for r := range rows {
			tensor.Encode32(row, []float32{float32(r), 1, 2, 3}, tensor.F32)
			if _, err := out.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestProducedTensors(t *testing.T) {
	out := t.TempDir()
	opts := DefaultWriterOptions()
	opts.Digests = true
	w := NewWriter(out, opts)
	produced(t, w, "b", 100_000) // more than one buffer
	produced(t, w, "a", 0)
	if err := w.AddView(tensor.View{Name: "i", DType: tensor.U8, Shape: nil, Data: []byte{7}}); err != nil {
		t.Fatal(err)
	}
	written, err := w.Write(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if written.TotalParameters != 400_001 || written.TotalSize != 1_600_001 || len(written.Files) != 1 {
		t.Errorf("wrote %+v", written)
	}
	f, err := OpenFile(filepath.Join(out, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := f.Tensor("b")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []int{0, 1, 65535, 99_999} {
		if got := v.Block(r, 1).Float32()[0]; got != float32(r) {
			t.Errorf("row %d begins with %v", r, got)
		}
	}
	if s, _ := f.Tensor("i"); len(s.Data) != 1 || s.Data[0] != 7 || s.Rows() != 1 {
		t.Errorf("scalar came back as %+v", s)
	}
}

func TestWriterRefuses(t *testing.T) {
	write := func(edit func(w *Writer) error) error {
		w := NewWriter(t.TempDir(), DefaultWriterOptions())
		if err := edit(w); err != nil {
			return err
		}
		_, err := w.Write(context.Background())
		return err
	}
	bytesOf := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	for _, tt := range []struct {
		want string
		edit func(w *Writer) error
	}{
		{"no tensors to write", func(*Writer) error { return nil }},
		{`tensor "x": 8 bytes were produced, shape [2 2] of F32 wants 16`, func(w *Writer) error {
			return w.Add("x", tensor.F32, []int{2, 2}, bytesOf(8))
		}},
		{`tensor "x": 4 bytes more than its shape wants`, func(w *Writer) error {
			return w.Add("x", tensor.F32, []int{2, 2}, bytesOf(20))
		}},
		{`tensor "x": is added twice`, func(w *Writer) error {
			return errors.Join(w.Add("x", tensor.F32, []int{1}, bytesOf(4)), w.Add("x", tensor.F32, []int{1}, bytesOf(4)))
		}},
		{"has a name that is not UTF-8", func(w *Writer) error { return w.Add("\xff", tensor.F32, []int{1}, nil) }},
		{`tensor "x": cannot be F32 [-1]`, func(w *Writer) error { return w.Add("x", tensor.F32, []int{-1}, nil) }},
		{`cannot be F64 [4294967296 4294967296]`, func(w *Writer) error {
			return w.Add("x", tensor.F64, []int{1 << 32, 1 << 32}, nil)
		}},
		{"max_shard_size: 0", func(w *Writer) error {
			w.opts.MaxShardSize = 0
			return w.Add("x", tensor.F32, []int{1}, bytesOf(4))
		}},
		{`base name "../x"`, func(w *Writer) error {
			w.opts.BaseName = "../x"
			return w.Add("x", tensor.F32, []int{1}, bytesOf(4))
		}},
	} {
		if err := write(tt.edit); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// faultyFS fails the operation number `at` on its files, counted over all.
type faultyFS struct {
	osFS
	at, done int
	err      error
	short    bool // write half of it and say nothing
	free     int64
}

type faultyFile struct {
	*os.File
	fs *faultyFS
}

func (f *faultyFS) fails() bool { f.done++; return f.done == f.at }

func (f *faultyFS) Create(name string) (Output, error) {
	if f.fails() {
		return nil, f.err
	}
	o, err := os.Create(name)
	return &faultyFile{o, f}, err
}

func (f *faultyFS) Free(string) (int64, error) {
	if f.free > 0 {
		return f.free, nil
	}
	return 0, errors.ErrUnsupported
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	if f.fs.fails() {
		if f.fs.short {
			return f.File.WriteAt(p[:len(p)/2], at)
		}
		return 0, f.fs.err
	}
	return f.File.WriteAt(p, at)
}

func (f *faultyFile) Truncate(n int64) error {
	if f.fs.fails() {
		return f.fs.err
	}
	return f.File.Truncate(n)
}

func (f *faultyFile) Sync() error {
	if f.fs.fails() {
		return f.fs.err
	}
	return nil // the real one takes long and is not what is tested
}

func (f *faultyFile) Close() error {
	err := f.File.Close()
	if f.fs.fails() {
		return f.fs.err
	}
	return err
}

func TestEveryFaultIsReportedAndLeavesNothing(t *testing.T) {
	source := filepath.Join(t.TempDir(), "s.safetensors")
	writeFile(t, source, tiny(t))
	f, err := OpenFile(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, fault := range []faultyFS{{err: syscall.ENOSPC}, {err: syscall.EIO}, {err: io.ErrShortWrite, short: true}} {
		ops := 0
		for at := 1; ; at++ {
			fsys := fault
			fsys.at = at
			dir := t.TempDir()
			opts := DefaultWriterOptions()
			opts.FS, opts.MaxShardSize = &fsys, 1_700_000
			w := NewWriter(dir, opts)
			produced(t, w, "p", 100_000)
			produced(t, w, "q", 10)
			for _, name := range f.Names() {
				if err := w.Copy(f, name); err != nil {
					t.Fatal(err)
				}
			}
			produced(t, w, "r", 100_000)
			_, err := w.Write(t.Context())
			if fsys.done < at { // every operation had its turn
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				break
			}
			ops++
			left, _ := os.ReadDir(dir)
			if len(left) > 0 {
				t.Errorf("fault at %d (%v): left %v", at, fault.err, left)
			}
			if fault.short && err == nil {
				t.Errorf("short write at %d: no error", at)
			}
			if !fault.short && !errors.Is(err, fault.err) {
				t.Errorf("fault at %d: error %v, want %v", at, err, fault.err)
			}
			if fault.err == syscall.ENOSPC && hint.Of(err) == "" && !strings.Contains(err.Error(), "no space") {
				t.Errorf("fault at %d: no word about the disk: %v", at, err)
			}
		}
		if ops < 12 {
			t.Errorf("only %d operations were tried", ops)
		}
	}
}

func TestFullDiskIsSeenBeforeWriting(t *testing.T) {
	dir := t.TempDir()
	opts := DefaultWriterOptions()
	opts.FS = &faultyFS{free: 1000}
	w := NewWriter(dir, opts)
	produced(t, w, "p", 1_000_000)
	_, err := w.Write(t.Context())
	if err == nil || !strings.Contains(err.Error(), "0.016 GB to write, 1e-06 GB free") || hint.Of(err) == "" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestCancelledWriteLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	w := NewWriter(dir, DefaultWriterOptions())
	err := w.Add("a", tensor.U8, []int{1}, func(out io.Writer) error {
		cancel()
		_, err := out.Write([]byte{1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	produced(t, w, "b", 10)
	produced(t, w, "c", 10)
	// U8 comes last in a file; a shard of its own puts it first.
	w.opts.MaxShardSize = 161
	if _, err := w.Write(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Whatever tensors and limit: the folder reads back as it was given, and no
// file but one with a single tensor passes the limit.
func TestWrittenFoldersReadBack(t *testing.T) {
	types := append([]tensor.DType(nil), fileOrder...)
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		opts := DefaultWriterOptions()
		opts.MaxShardSize = rapid.Int64Range(1, 400).Draw(t, "limit")
		opts.FS = &faultyFS{} // without sync
		w := NewWriter(dir, opts)
		want := map[string]tensor.View{}
		names := rapid.SliceOfNDistinct(rapid.StringN(1, 8, 20), 1, 12, rapid.ID).Draw(t, "names")
		for _, name := range names {
			d := rapid.SampledFrom(types).Draw(t, "dtype")
			shape := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 3).Draw(t, "shape")
			n, _ := size(d, shape)
			v := tensor.View{Name: name, DType: d, Shape: shape, Data: rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(t, "data")}
			if err := w.AddView(v); err != nil {
				t.Fatal(err)
			}
			want[name] = v
		}
		if _, err := w.Write(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if len(m.Names()) != len(want) || len(m.Notes) > 0 {
			t.Fatalf("names %q, notes %q", m.Names(), m.Notes)
		}
		for name, v := range want {
			got, err := m.Tensor(name)
			if err != nil || got.DType != v.DType || fmt.Sprint(got.Shape) != fmt.Sprint(v.Shape) || !bytes.Equal(got.Data, v.Data) {
				t.Fatalf("tensor %q: %+v, %v, want %+v", name, got, err, v)
			}
		}
		for _, f := range m.files {
			var sum int64
			for _, e := range f.Entries() {
				sum += e.End - e.Begin
			}
			if sum > opts.MaxShardSize && len(f.Entries()) > 1 {
				t.Fatalf("%s holds %d bytes in %d tensors, the limit is %d", f.name, sum, len(f.Entries()), opts.MaxShardSize)
			}
		}
	})
}
