package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// digests collects SHA-256 sums of tensors, computed beside the copying.
type digests struct {
	wanted bool
	slots  chan struct{} // bounds the sums under way
	group  sync.WaitGroup
	mu     sync.Mutex
	sums   map[string]string
	err    error
}

func newDigests(wanted bool) *digests {
	return &digests{wanted: wanted, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), sums: map[string]string{}}
}

func (d *digests) set(name, sum string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sums[name] = sum
}

// region starts the sum of a tensor of a file. It waits while enough are under way.
func (d *digests) region(name string, f *File, e Entry) {
	if !d.wanted {
		return
	}
	d.slots <- struct{}{}
	d.group.Go(func() {
		defer func() { <-d.slots }()
		sum, err := f.sum(e)
		if err != nil {
			d.mu.Lock()
			d.err = errors.Join(d.err, err)
			d.mu.Unlock()
			return
		}
		d.set(name, sum)
	})
}

// wait returns the sums, nil if none were wanted.
func (d *digests) wait() (map[string]string, error) {
	d.group.Wait()
	if !d.wanted {
		return nil, nil
	}
	return d.sums, d.err
}

// sum reads a tensor's bytes by ReadAt, not through the mapping: nothing of it
// stays in the resident set.
func (s *File) sum(e Entry) (string, error) {
	h := sha256.New()
	r := io.NewSectionReader(s.f, s.start+e.Begin, e.End-e.Begin)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, copyBuffer)); err != nil {
		return "", fmt.Errorf("%s: tensor %q: %w", s.name, e.Name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Digests returns the SHA-256 of the bytes of the named tensors, of all if there
// are no names, in hex. They depend on the values alone, not on the files that
// hold them.
func (m *Model) Digests(ctx context.Context, names ...string) (map[string]string, error) {
	if len(names) == 0 {
		names = m.names
	}
	d := newDigests(true)
	for _, name := range names {
		f, e, err := m.region(name)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_, _ = d.wait()
			return nil, err
		}
		d.region(name, f, e)
	}
	return d.wait()
}
