package checkpoint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"lep/tensor"
)

// resident returns the resident memory of this process in bytes, and skips the
// test where /proc does not tell.
func resident(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Fscan(bytes.NewReader(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// A model far larger than the limit is read, checked, compared, and rewritten; it
// is sparse, so that the test needs no disk.
func TestLargeModelsStayOutOfMemory(t *testing.T) {
	const (
		tensorBytes = 40 << 20
		tensors     = 4
		limit       = 60 << 20 // of 160 MiB
	)
	before := resident(t)
	dir, out := t.TempDir(), t.TempDir()
	var entries []Entry
	for i := range tensors {
		entries = append(entries, Entry{Name: fmt.Sprintf("model.layers.%d.w", i), DType: tensor.BF16, Shape: []int{tensorBytes / 8192, 4096},
			Begin: int64(i) * tensorBytes, End: int64(i+1) * tensorBytes})
	}
	header, err := encodeHeader(entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, ConfigFile), []byte("{}"))
	writeFile(t, filepath.Join(dir, weightsFile), header)
	if err := os.Truncate(filepath.Join(dir, weightsFile), int64(len(header))+tensors*tensorBytes); err != nil {
		t.Fatal(err)
	}
	m := openModel(t, dir)

	peak := int64(0)
	look := func(what string) {
		if now := resident(t) - before; now > peak {
			peak = now
			if peak > limit {
				t.Fatalf("%s: %d MB resident, want below %d", what, peak>>20, limit>>20)
			}
		}
	}
	row := make([]float64, 4096)
	for _, name := range m.Names() {
		v, err := m.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range m.Blocks(v) {
			for r := range b.Rows() {
				if r%64 == 0 {
					tensor.Decode64(row, b.Row(r), b.DType)
				}
			}
			look("streaming")
		}
	}
	if err := m.CheckFinite(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("checking")
	opts := DefaultWriterOptions()
	opts.MaxShardSize = 50 << 20
	w := NewWriter(out, opts)
	for _, name := range m.Names() {
		if err := w.Copy(m, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("copying")
	writeFile(t, filepath.Join(out, ConfigFile), []byte("{}"))
	copied := openModel(t, out)
	if len(copied.Files()) != 4 {
		t.Errorf("%d files, want 4", len(copied.Files()))
	}
	if d, err := Compare(t.Context(), m, copied, m.Names()); err != nil || len(d) != 0 {
		t.Errorf("the copy differs: %v, %v", d, err)
	}
	look("comparing")
	runtime.KeepAlive(row)
	t.Logf("at most %d MB above the start", peak>>20)
}
