package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"lep/internal/atomic"
	"lep/internal/hint"
)

// Files of a run folder.
const (
	LockedName  = "recipe.lock.yaml" // the recipe with all defaults, versions and digests
	EventsName  = "events.jsonl"
	ResultsName = "results.json"
	ReportName  = "report.html"
	stagesDir   = "stages"
	recordName  = "stage.json"
	digestsName = "digests.json"
	lockName    = ".lock"
)

// State is how far a stage is.
type State string

// The states of a stage.
const (
	Waiting  State = "waiting"
	Running  State = "running" // or it was when its process ended
	Done     State = "done"
	Failed   State = "failed"
	Outdated State = "outdated" // done, but for other inputs or settings
	Changed  State = "changed"  // done, and then changed by hand
	Stopped  State = "stopped"  // its process ended before it was done
)

// Record is stage.json: what was done, of what, and what came out.
type Record struct {
	Stage    string            `json:"stage"`
	Kind     Kind              `json:"kind"`
	State    State             `json:"state"`
	Hash     string            `json:"hash"`               // of all that the result follows from
	Accepted string            `json:"accepted,omitempty"` // digest of an output that was changed by hand and accepted
	Needs    map[string]string `json:"needs,omitempty"`    // identities of the stages before
	Inputs   map[string]string `json:"inputs,omitempty"`   // digests by path
	Options  json.RawMessage   `json:"options,omitempty"`
	Lep      string            `json:"lep,omitempty"` // version

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Seconds  float64   `json:"seconds"` // of work, earlier attempts included
	Attempts int       `json:"attempts"`
	Error    string    `json:"error,omitempty"`

	Outputs map[string]remembered `json:"outputs,omitempty"` // by path relative to the stage's folder
	Result  json.RawMessage       `json:"result,omitempty"`
}

func readRecord(dir string) (*Record, error) {
	path := filepath.Join(dir, recordName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, hint.Errorf("remove the stage's folder to do it again", "%s: %w", path, err)
	}
	return &r, nil
}

func (r *Record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomic.WriteFile(filepath.Join(dir, recordName), append(data, '\n'), true)
}

// lockFolder makes the run folder and keeps other processes out.
func lockFolder(dir string) (*flock.Flock, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 && !exists(filepath.Join(dir, LockedName)) && !exists(filepath.Join(dir, lockName)) {
		return nil, hint.Errorf("give another folder: --out DIR", "%s: holds files that are no run of lep", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, lockName))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be locked: %w", dir, err)
	}
	if !ok {
		return nil, hint.Errorf("wait for it, or give this run a folder of its own: --out DIR", "%s: another process is at work in this run folder", dir)
	}
	return lock, nil
}

// Event is a line of events.jsonl, and what a caller is told.
type Event struct {
	Time    string  `json:"time"`
	Event   string  `json:"event"` // start, resume, kept, done, failed, note
	Stage   string  `json:"stage,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Note    string  `json:"note,omitempty"`
	// Number of Count is the stage's place among those of this run.
	Number int `json:"number,omitempty"`
	Count  int `json:"count,omitempty"`
}

// events appends to events.jsonl, one write a line, so that lines never mix.
type events struct {
	mu   sync.Mutex
	file *os.File
	tell func(Event)
}

func openEvents(path string, tell func(Event)) (*events, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if tell == nil {
		tell = func(Event) {}
	}
	return &events{file: f, tell: tell}, nil
}

func (e *events) add(ev Event) error {
	ev.Time = time.Now().UTC().Format(time.RFC3339)
	line, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell(ev)
	_, err = e.file.Write(append(line, '\n'))
	return err
}
