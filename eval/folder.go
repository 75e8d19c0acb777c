package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"lep/internal/atomic"
	"lep/internal/hint"
)

// folder is a results folder: run.json says whose, answers.jsonl keeps every answer as it comes,
// samples/TASK.jsonl and results.json stand at the end.
type folder struct {
	dir    string // "" for none
	lock   *flock.Flock
	own    *answerLog // nil without a folder
	shared *answerLog // of Options.Cache, nil for none
}

// runFile says whose results a folder holds.
type runFile struct {
	Model  string `json:"model"`
	Digest string `json:"digest"`
}

const (
	runName     = "run.json"
	lockName    = ".lock"
	answersName = "answers.jsonl"
	// ResultsName and SamplesDir are what readers look for in a results folder.
	ResultsName = "results.json"
	SamplesDir  = "samples"
)

func openFolder(o Options, m Description) (*folder, error) {
	f := &folder{dir: o.Out}
	if f.dir != "" {
		if err := f.open(o, m); err != nil {
			f.close()
			return nil, err
		}
	}
	if o.Cache != "" {
		var err error
		if f.shared, err = openAnswers(o.Cache, true); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// open makes or continues the results folder.
func (f *folder) open(o Options, m Description) error {
	path := filepath.Join(f.dir, runName)
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if entries, err := os.ReadDir(f.dir); err == nil && !o.Force && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != lockName }) {
			return hint.Errorf("choose another folder, or --force to write into this one", "%s: the folder is not empty and holds no results of lep eval", f.dir)
		}
	case err != nil:
		return err
	case o.Resume:
		var was runFile
		if err := json.Unmarshal(old, &was); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if was.Digest != m.Digest {
			return hint.Errorf("choose another folder, or --force to begin anew", "%s: the results there are of another model: %s (%.12s), want %s (%.12s)", f.dir, was.Model, was.Digest, m.Name, m.Digest)
		}
	case !o.Force:
		return hint.Errorf("--resume to continue, --force to begin anew", "%s: there are results already", f.dir)
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	if err := f.claim(); err != nil {
		return err
	}
	// First of all: a folder with run.json can be continued, whatever else is missing.
	err = atomic.WriteFile(path, append(mustJSON(runFile{m.Name, m.Digest}), '\n'), true)
	if err == nil {
		err = os.MkdirAll(filepath.Join(f.dir, SamplesDir), 0o755)
	}
	if err == nil {
		f.own, err = openAnswers(filepath.Join(f.dir, answersName), o.Resume)
	}
	return err
}

// claim keeps a second run out of the folder; the system lets go when the process ends.
func (f *folder) claim() error {
	f.lock = flock.New(filepath.Join(f.dir, lockName))
	ok, err := f.lock.TryLock()
	if err == nil && !ok {
		err = hint.Errorf("wait for it to end, or choose another folder", "%s: another run writes there", f.dir)
	}
	return err
}

// recall returns a kept answer. One from the shared file is kept in the folder too.
func (f *folder) recall(key, task string) (a Answer, ok bool, err error) {
	if a, ok = f.own.get(key); ok {
		return a, true, nil
	}
	if a, ok = f.shared.get(key); ok {
		err = f.own.add(key, task, a)
	}
	return a, ok, err
}

// keep writes an answer down.
func (f *folder) keep(key, task string, a Answer) error {
	return errors.Join(f.own.add(key, task, a), f.shared.add(key, task, a))
}

// samples writes the samples of a task.
func (f *folder) samples(task string, list []Sample) error {
	if f.dir == "" {
		return nil
	}
	var b bytes.Buffer
	for _, s := range list {
		line, err := s.MarshalJSON()
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	return atomic.WriteFile(filepath.Join(f.dir, SamplesDir, task+".jsonl"), b.Bytes(), true)
}

// finish writes the results.
func (f *folder) finish(r *Result) error {
	if f.dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return atomic.WriteFile(filepath.Join(f.dir, ResultsName), append(data, '\n'), true)
}

func (f *folder) close() {
	f.own.close()
	f.shared.close()
	if f.lock != nil {
		f.lock.Unlock()
	}
}

// ReadSamples reads a file of samples or predictions, one JSON object a line.
func ReadSamples(path string) ([]Sample, error) {
	records, err := readLines(path)
	if err != nil {
		return nil, err
	}
	list := make([]Sample, len(records))
	for i, r := range records {
		list[i].Index = i
		if err := list[i].UnmarshalJSON(r.JSON); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Place(), err)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no lines", path)
	}
	return list, nil
}

// ReadResult reads the results of a folder.
func ReadResult(dir string) (*Result, error) {
	path := filepath.Join(dir, ResultsName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}
