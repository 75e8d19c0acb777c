package checkpoint

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int, mark int64) {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = f.Truncate(int64(size))
		}
		if err == nil {
			_, err = f.WriteAt([]byte{1}, mark)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	step := func(what string, same string) {
		t.Helper()
		sum, err := Fingerprint(dir)
		if err != nil {
			t.Fatal(err)
		}
		if same != "" && seen[same] != sum {
			t.Errorf("%s: %s, want that of %s", what, sum, same)
		}
		for other, s := range seen {
			if same == "" && s == sum {
				t.Errorf("%s: the same as %s", what, other)
			}
		}
		seen[what] = sum
	}
	write("config.json", 100, 7)
	write("model.safetensors", 40<<20, 5)
	step("first", "")
	write("config.json", 100, 8)
	step("another config", "")
	write("config.json", 100, 7)
	step("as before", "first")
	write("model.safetensors", 40<<20, 16<<20)
	step("another weight", "")
	write("README.md", 10, 1)
	step("with a card", "another weight")
	if err := os.Rename(filepath.Join(dir, "config.json"), filepath.Join(dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	step("renamed", "")
}
