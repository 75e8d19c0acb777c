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

// sum reads a tensor's bytes by ReadAt, not through the mapping, so that nothing
// of it stays in the resident set. Holes are not read: they are known to be zero.
func (s *File) sum(e Entry) (string, error) {
	h := sha256.New()
	buf, zero := make([]byte, copyBuffer), make([]byte, copyBuffer)
	at, end := s.start+e.Begin, s.start+e.End
	for _, x := range append(extents(s.f, at, end), extent{end, end}) {
		for n := x.from - at; n > 0; n -= copyBuffer {
			h.Write(zero[:min(n, copyBuffer)])
		}
		r := io.NewSectionReader(s.f, x.from, x.to-x.from)
		if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, buf); err != nil {
			return "", fmt.Errorf("%s: tensor %q: %w", s.name, e.Name, err)
		}
		at = x.to
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

// FileDigests returns the SHA-256 of whole files of the model's folder in hex: of
// its config files and weight files, and of those named in also ("tokenizer.json")
// that are there.
func (m *Model) FileDigests(ctx context.Context, also ...string) (map[string]string, error) {
	sums := map[string]string{}
	names := append([]string{ConfigFile, GenerationConfigFile, indexFile}, also...)
	for _, name := range append(names, m.Files()...) {
		if !m.exists(name) {
			continue
		}
		sum, err := m.fileDigest(ctx, name)
		if err != nil {
			return nil, err
		}
		sums[name] = sum
	}
	return sums, nil
}

func (m *Model) fileDigest(ctx context.Context, name string) (string, error) {
	f, err := m.openFile(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
}
