// Package golden finds and reads the reference data that tests compare with.
// The data lies beside the repository (../shared from its root, or the folder
// that LEP_SHARED names), because its licences differ from ours. Where it is
// absent a test is skipped with a plain message; with CI=true it fails instead.
package golden

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Root returns the repository's root: the nearest folder upwards with a go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Shared returns the path of a file or folder of the shared reference data,
// Shared(t, "reference", "lep", "lep", "a.tar.gz"). If the data is not there the
// test is skipped, or fails when CI=true. With -short (the race detector's run, which is
// ten times slower) such tests are left to the full run.
func Shared(t testing.TB, parts ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: comparing with reference data is left to the full run")
	}
	dir := os.Getenv("LEP_SHARED")
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared")
	}
	path := filepath.Join(append([]string{dir}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("reference data %s is absent (CI=true)", filepath.Join(parts...))
		}
		t.Skipf("reference data %s is absent: set LEP_SHARED to its folder", filepath.Join(parts...))
	}
	return path
}

// Read returns a file's content; .gz and .zst are decompressed.
func Read(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Lines calls fn with each line of a (possibly compressed) file, without its LF.
func Lines(t testing.TB, path string, fn func(line []byte)) {
	t.Helper()
	s := bufio.NewScanner(bytes.NewReader(Read(t, path)))
	s.Buffer(nil, 1<<30)
	for s.Scan() {
		fn(s.Bytes())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// Untar unpacks a .tar.gz into a temporary folder and returns the folder.
func Untar(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	r := tar.NewReader(bytes.NewReader(Read(t, path)))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.FileInfo().IsDir() {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Unpack copies a reference folder whose files may be gzipped (x.json.gz) into a
// temporary folder as users have it (x.json), and returns that folder.
func Unpack(t testing.TB, dir string) string {
	t.Helper()
	out := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		name := filepath.Join(out, strings.TrimSuffix(e.Name(), ".gz"))
		if err := os.WriteFile(name, Read(t, filepath.Join(dir, e.Name())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
