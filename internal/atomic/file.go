package atomic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// A File is an output file in the making, for what is too large to be held in memory. It is written
// as an *os.File is.
type File struct {
	*os.File
	final string
	force bool
	done  bool
	lock  *flock.Flock
}

// NewFile starts a file that will get the name path. It fails at once if path exists and force is
// unset.
func NewFile(path string, force bool) (*File, error) {
	if err := refuse(path, force); err != nil {
		return nil, err
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	prefix := "." + base + ".lep-"
	removeStale(dir, prefix)
	temp := filepath.Join(dir, fmt.Sprintf("%s%d", prefix, rand.Uint64()))
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	d := &File{File: f, final: path, force: force, lock: flock.New(temp)}
	if ok, err := d.lock.TryLock(); err != nil || !ok {
		d.Abort()
		return nil, errors.Join(fmt.Errorf("%s: cannot be locked", temp), err)
	}
	return d, nil
}

// Commit syncs the file and gives it its name; where that fails, nothing is left of it.
func (d *File) Commit() error {
	defer d.Abort()
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return err
	}
	if err := refuse(d.final, d.force); err != nil {
		return err
	}
	if err := os.Rename(d.Name(), d.final); err != nil {
		return err
	}
	d.done = true
	d.lock.Close()
	return syncDir(filepath.Dir(d.final))
}

// Abort removes what was written. After Commit it does nothing.
func (d *File) Abort() {
	if d.done {
		return
	}
	d.done = true
	d.Close()
	os.Remove(d.Name())
	d.lock.Close()
}
