package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"lep/tensor"
)

func TestHolesStayHoles(t *testing.T) {
	const size = 16 << 20
	dir := t.TempDir()
	source := filepath.Join(dir, "sparse.safetensors")
	header, err := encodeHeader([]Entry{
		{Name: "a", DType: tensor.BF16, Shape: []int{size / 4096, 2048}, Begin: 0, End: size},
		{Name: "b", DType: tensor.BF16, Shape: []int{4}, Begin: size, End: size + 8}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, source, header)
	if err := os.Truncate(source, int64(len(header))+size+8); err != nil {
		t.Fatal(err)
	}
	raw, err := os.OpenFile(source, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.WriteAt([]byte("something in the middle"), size/2); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	f, err := OpenFile(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(dir, DefaultWriterOptions())
	for _, name := range f.Names() {
		if err := w.Copy(f, name); err != nil {
			t.Fatal(err)
		}
	}
	produced(t, w, "p", 3) // moves the copies to other offsets
	plan, err := w.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if plan.NewBytes == plan.TotalSize+int64(plan.Files[0].Size-plan.TotalSize) {
		t.Skip("this file system does not tell where files have holes")
	}
	if plan.NewBytes > 1<<20 {
		t.Errorf("plan counts %d bytes, the source holds a few blocks", plan.NewBytes)
	}
	if _, err := w.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "model.safetensors")
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("output takes %d bytes on the disk", used)
	}
	g, err := OpenFile(out)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if a, b := f.start, g.start+g.entries[g.byName["a"]].Begin; (a-b)%blockSize != 0 {
		t.Errorf("data at byte %d was copied to %d: no block can be shared", a, b)
	}
	a, _ := f.Tensor("a")
	b, _ := g.Tensor("a")
	if !bytes.Equal(a.Data, b.Data) {
		t.Error("the copy differs")
	}
	sum, err := g.sum(g.entries[g.byName["a"]])
	if want := fmt.Sprintf("%x", sha256.Sum256(a.Data)); err != nil || sum != want {
		t.Errorf("digest over holes %s, %v, want %s", sum, err, want)
	}
}
