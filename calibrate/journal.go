package calibrate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gofrs/flock"

	"lep/infer"
	"lep/internal/hint"
)

// journal keeps answers as they come: a line that says what is asked, then a conversation a line,
// each synced before the next is asked for. A line that a kill cut off is dropped.
type journal struct {
	path  string
	f     *os.File
	lock  *flock.Flock
	at    map[int]place // by talk.Index
	end   int64
	ready bool // the head is written
}

// place is where a line of the journal lies.
type place struct {
	offset int64
	length int
}

type head struct {
	Journal string `json:"journal"` // what is asked of whom: see settingsDigest
	Lep     string `json:"format"`
}

const journalFormat = "lep-calibrate-1"

// maxTalk bounds a line of a journal.
const maxTalk = 256 << 20

// settingsDigest tells whether a journal's answers are those that a run would get: it covers who is
// asked, all prompts and how they are sampled. Filters are not part of it; they come behind.
func settingsDigest(o *Options, a Asked, p *prompts) (string, error) {
	precision := string(o.Engine.Precision)
	if o.Engine.Precision == infer.DefaultOptions().Precision {
		precision = "" // journals were written before there was another
	}
	text, err := json.Marshal(struct {
		Asked     Asked
		Prompts   string
		Sampling  sampling
		Samples   int
		Batch     int
		Int8      bool
		Precision string `json:",omitempty"`
	}{a, p.digest, o.sampling(), o.SamplesPerPrompt, o.BatchSize, o.Engine.Int8, precision})
	return fmt.Sprintf("%x", sha256.Sum256(text)), err
}

// openJournal opens the journal beside out, and reads what an earlier run left there. A journal of
// other settings is an error, unless force drops it.
func openJournal(out, settings string, force bool) (*journal, error) {
	j := &journal{path: out + ".journal", at: map[int]place{}}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	j.f, j.lock = f, flock.New(j.path)
	if ok, err := j.lock.TryLock(); err != nil || !ok {
		f.Close()
		return nil, errors.Join(fmt.Errorf("%s: another run writes it", j.path), err)
	}
	if err = j.read(settings); errors.Is(err, errOtherSettings) && force {
		j.at, j.end, j.ready, err = map[int]place{}, 0, false, nil
	}
	if err == nil {
		err = f.Truncate(j.end)
	}
	if err == nil && !j.ready {
		err = j.append(head{settings, journalFormat})
	}
	if err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

var errOtherSettings = errors.New("holds answers to other prompts, of another model or by other settings")

func (j *journal) read(settings string) error {
	r := bufio.NewReaderSize(j.f, 1<<20)
	for number := 1; ; number++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return nil // the end, or a line that was cut off
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", j.path, number, err)
		}
		if number == 1 {
			var h head
			if json.Unmarshal(line, &h) != nil || h.Lep != journalFormat || h.Journal != settings {
				return hint.Wrap(fmt.Errorf("%s: %w", j.path, errOtherSettings), "--force drops it and begins anew")
			}
			j.ready = true
		} else {
			var t talk
			if err := json.Unmarshal(line, &t); err != nil {
				return hint.Wrap(fmt.Errorf("%s:%d: %w", j.path, number, err), "the file is damaged: remove it to begin anew")
			}
			j.at[t.Index] = place{j.end, len(line)}
		}
		j.end += int64(len(line)) + 1
	}
}

// readLine returns the next line without its end, io.EOF if it has none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxTalk:
			return nil, fmt.Errorf("a line of more than %d bytes", maxTalk)
		}
	}
}

// add saves conversations.
func (j *journal) add(talks ...talk) error {
	for _, t := range talks {
		at := j.end
		if err := j.append(t); err != nil {
			return err
		}
		j.at[t.Index] = place{at, int(j.end-at) - 1}
	}
	return j.f.Sync()
}

func (j *journal) append(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	if _, err := j.f.WriteAt(b.Bytes(), j.end); err != nil {
		return err
	}
	j.end += int64(b.Len())
	return nil
}

// open lists the conversations below n that are to be asked: whole batches of together, where one
// of a batch is missing.
func (j *journal) open(n, together int) []int {
	var list []int
	for from := 0; from < n; from += together {
		batch := make([]int, 0, together)
		missing := false
		for i := from; i < min(from+together, n); i++ {
			_, saved := j.at[i]
			batch, missing = append(batch, i), missing || !saved
		}
		if missing {
			list = append(list, batch...)
		}
	}
	return list
}

// get reads a conversation back.
func (j *journal) get(index int) (talk, error) {
	at, ok := j.at[index]
	if !ok {
		return talk{}, fmt.Errorf("%s: conversation %d is missing", j.path, index)
	}
	line := make([]byte, at.length)
	if _, err := j.f.ReadAt(line, at.offset); err != nil {
		return talk{}, fmt.Errorf("%s: %w", j.path, err)
	}
	var t talk
	if err := json.Unmarshal(line, &t); err != nil {
		return talk{}, fmt.Errorf("%s: conversation %d: %w", j.path, index, err)
	}
	return t, nil
}

func (j *journal) close() error { return errors.Join(j.lock.Close(), j.f.Close()) }

// remove ends a journal whose answers have been written out.
func (j *journal) remove() error { return errors.Join(os.Remove(j.path), j.close()) }
