package torch

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"lep/train"
)

// relay hands the driver's events on to the run's metrics until done is closed and all are read.
type relay struct {
	path string
	note func(train.Record) error
	file *os.File
	in   *bufio.Reader
	part []byte // of a line that is not ended
}

// relayInterval is how often the events are looked at: on a shared file system nothing tells of new ones.
const relayInterval = 100 * time.Millisecond

func (r *relay) run(done <-chan struct{}) error {
	defer func() {
		if r.file != nil {
			r.file.Close()
		}
	}()
	tick := time.NewTicker(relayInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return r.read()
		case <-tick.C:
			if err := r.read(); err != nil {
				return err
			}
		}
	}
}

// read hands on the lines that are there.
func (r *relay) read() error {
	if r.file == nil {
		f, err := os.Open(r.path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		r.file, r.in = f, bufio.NewReader(f)
	}
	for {
		piece, err := r.in.ReadBytes('\n')
		r.part = append(r.part, piece...)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var rec train.Record
		if err := json.Unmarshal(r.part, &rec); err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
		r.part = r.part[:0]
		if err := r.note(rec); err != nil {
			return err
		}
	}
}
