// Package atomic makes outputs appear whole or not at all: a file or a folder is
// written under a temporary name beside its place, synced, checked by the caller,
// and renamed. A process that is killed leaves its temporary folder behind; the
// next one that writes to the same place removes it.
package atomic

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2/maybe"

	"lep/internal/hint"
)

const lockName = ".lock"

// ErrExists is what an output that is already there is reported as.
var ErrExists = errors.New("already exists")

// WriteFile writes data to path whole or not at all. An existing file is an
// error unless force is set.
func WriteFile(path string, data []byte, force bool) error {
	if err := refuse(path, force); err != nil {
		return err
	}
	if err := maybe.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func refuse(path string, force bool) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return hint.Errorf("give another place, or --force to replace it", "%s: %w", path, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A Dir is an output folder in the making.
type Dir struct {
	final, temp string
	force       bool
	lock        *flock.Flock
}

// NewDir starts a folder that will get the name path. It fails at once if path
// exists and force is unset, or if path exists and does not look like something
// that lep or transformers wrote (then not even force replaces it).
func NewDir(path string, force bool) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := refuse(path, force); err != nil {
		return nil, err
	}
	if err := replaceable(path); err != nil {
		return nil, err
	}
	temp, lock, err := newTemp(path)
	if err != nil {
		return nil, err
	}
	return &Dir{final: path, temp: temp, force: force, lock: lock}, nil
}

// newTemp makes the locked temporary folder that the output path is made in, beside its place, and
// removes those that killed processes left there.
func newTemp(path string) (temp string, lock *flock.Flock, err error) {
	parent, base := filepath.Split(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", nil, err
	}
	prefix := "." + base + ".lep-"
	removeStale(parent, prefix)
	if temp, err = os.MkdirTemp(parent, prefix); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", nil, err
	}
	lock = flock.New(filepath.Join(temp, lockName))
	if ok, err := lock.TryLock(); err != nil || !ok {
		os.RemoveAll(temp)
		return "", nil, fmt.Errorf("%s: cannot be locked: %w", temp, err)
	}
	return temp, lock, nil
}

// replaceable guards against --out pointing at a folder of something else.
func replaceable(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "config.json", "tokenizer.json", "adapter_config.json", "lep.json", "lep_vocab.json", "results.json":
			return nil
		}
	}
	return hint.Errorf("give another place: --force replaces results, not other folders",
		"%s: holds files that are no model, tokenizer or result of lep", path)
}

func removeStale(parent, prefix string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		temp := filepath.Join(parent, e.Name())
		lock := flock.New(temp)
		if e.IsDir() {
			lock = flock.New(filepath.Join(temp, lockName))
		}
		if ok, err := lock.TryLock(); err == nil && ok {
			lock.Close()
			os.RemoveAll(temp)
		}
	}
}

// Path returns the temporary folder, to write into.
func (d *Dir) Path() string { return d.temp }

// Final returns the place that Commit will rename to.
func (d *Dir) Final() string { return d.final }

// Commit syncs everything and gives the folder its name. With force, an existing
// folder is exchanged in one step where the system can, and then removed.
func (d *Dir) Commit() error {
	if err := os.Remove(d.lock.Path()); err != nil {
		return err
	}
	defer d.lock.Close()
	err := filepath.WalkDir(d.temp, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
	if err != nil {
		return err
	}
	if err := replaceDir(d.temp, d.final, d.force); err != nil {
		return fmt.Errorf("%s: %w", d.final, err)
	}
	return syncDir(filepath.Dir(d.final))
}

// Abort removes what was written. After Commit it does nothing.
func (d *Dir) Abort() {
	os.RemoveAll(d.temp)
	d.lock.Close()
}

func replaceDir(temp, final string, force bool) error {
	if !force {
		return os.Rename(temp, final)
	}
	if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(temp, final)
	}
	if err := exchange(temp, final); err == nil {
		return os.RemoveAll(temp) // temp now names the replaced folder
	}
	old := temp + "-replaced"
	if err := os.Rename(final, old); err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		return errors.Join(err, os.Rename(old, final))
	}
	return os.RemoveAll(old)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	if dir == "" {
		dir = "."
	}
	return syncFile(dir)
}
