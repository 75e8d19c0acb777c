package atomic

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"lep/internal/hint"
)

func TestDirAppearsWhole(t *testing.T) {
	out := filepath.Join(t.TempDir(), "sub", "out")
	d, err := NewDir(out, false)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Path(), "config.json"), "one")
	if _, err := os.Stat(out); err == nil {
		t.Fatal("the folder has its name before Commit")
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	d.Abort()
	if got := read(t, filepath.Join(out, "config.json")); got != "one" {
		t.Errorf("content %q after Commit and Abort", got)
	}
	wantOnly(t, out, "config.json")
	wantOnly(t, filepath.Dir(out), "out")
}

func TestDirRefusesAndReplaces(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	os.Mkdir(out, 0o755)
	write(t, filepath.Join(out, "config.json"), "old")
	if _, err := NewDir(out, false); !errors.Is(err, ErrExists) || hint.Of(err) == "" {
		t.Errorf("existing folder without force: %v, hint %q", err, hint.Of(err))
	}
	d, err := NewDir(out, true)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Path(), "config.json"), "new")
	if got := read(t, filepath.Join(out, "config.json")); got != "old" {
		t.Errorf("before Commit the old folder holds %q", got)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(out, "config.json")); got != "new" {
		t.Errorf("after Commit: %q", got)
	}
	wantOnly(t, filepath.Dir(out), "out")
}

func TestForceSparesOtherFolders(t *testing.T) {
	out := t.TempDir()
	write(t, filepath.Join(out, "thesis.tex"), "years of work")
	if _, err := NewDir(out, true); err == nil {
		t.Error("a folder that is no result was accepted for replacement")
	}
}

func TestStaleFolderIsRemovedLiveOneIsNot(t *testing.T) {
	parent := t.TempDir()
	out := filepath.Join(parent, "out")
	live, err := NewDir(out, false)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Abort()
	dead := filepath.Join(parent, ".out.lep-dead")
	os.Mkdir(dead, 0o755)
	write(t, filepath.Join(dead, lockName), "")
	d, err := NewDir(out, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abort()
	if _, err := os.Stat(dead); err == nil {
		t.Error("the folder of a dead process is still there")
	}
	if _, err := os.Stat(live.Path()); err != nil {
		t.Error("the folder of a living process is gone")
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	if err := WriteFile(path, []byte("1"), false); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("2"), false); !errors.Is(err, ErrExists) {
		t.Errorf("second write without force: %v", err)
	}
	if err := WriteFile(path, []byte("3"), true); err != nil || read(t, path) != "3" {
		t.Errorf("write with force: %v, content %q", err, read(t, path))
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "out.jsonl")
	f, err := NewFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("1"); err != nil {
		t.Fatal(err)
	}
	if other, err := NewFile(path, false); err != nil {
		t.Fatal("a second writer:", err)
	} else if _, err := os.Stat(f.Name()); err != nil {
		t.Error("the second writer removed the first one's file, which is locked")
	} else {
		other.Abort()
	}
	if err := f.Commit(); err != nil || read(t, path) != "1" {
		t.Errorf("commit: %v, content %q", err, read(t, path))
	}
	f.Abort()
	wantOnly(t, filepath.Dir(path), "out.jsonl")
	write(t, filepath.Join(dir, "sub", ".out.jsonl.lep-1"), "of a killed process")
	if _, err := NewFile(path, false); !errors.Is(err, ErrExists) {
		t.Errorf("without force: %v", err)
	}
	if f, err = NewFile(path, true); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil || read(t, path) != "" {
		t.Errorf("with force: %v, content %q", err, read(t, path))
	}
	wantOnly(t, filepath.Dir(path), "out.jsonl")
}

func write(t *testing.T, path, s string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantOnly(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%s holds %v, want %s alone", dir, entries, name)
	}
}
