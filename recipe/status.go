package recipe

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"lep/internal/hint"
	"lep/internal/strictyaml"
)

// Status is how far a run folder is.
type Status struct {
	Dir    string        `json:"dir"`
	Recipe string        `json:"recipe"`
	Name   string        `json:"name"`
	Active bool          `json:"active"` // a process is at work in it
	Done   int           `json:"done"`
	Stages []StageStatus `json:"stages"`
}

// StageStatus is how far a stage is.
type StageStatus struct {
	Stage    string  `json:"stage"`
	Kind     Kind    `json:"kind"`
	State    State   `json:"state"`
	Seconds  float64 `json:"seconds"`
	Attempts int     `json:"attempts,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// ReadStatus looks at a run folder without touching it: the stages of the last run there, in order.
func ReadStatus(dir string) (*Status, error) {
	path := filepath.Join(dir, LockedName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, hint.Wrap(err, "name the run folder of lep run: runs/NAME, unless --out said otherwise")
	}
	root, err := strictyaml.Parse(path, data)
	if err != nil {
		return nil, err
	}
	s := &Status{Dir: dir, Active: active(dir)}
	for key, to := range map[string]*string{"recipe": &s.Recipe, "name": &s.Name} {
		if n := root.Get(key); n != nil {
			*to = n.Text
		}
	}
	stages := root.Get("stages")
	if stages == nil {
		return nil, fmt.Errorf("%s: stages: missing", path)
	}
	for _, p := range stages.Map {
		one, err := stageStatus(filepath.Join(dir, stagesDir, filepath.Base(p.Key.Text)), p, s.Active)
		if err != nil {
			return nil, err
		}
		if one.State == Done {
			s.Done++
		}
		s.Stages = append(s.Stages, one)
	}
	return s, nil
}

func stageStatus(dir string, p strictyaml.Pair, active bool) (StageStatus, error) {
	out := StageStatus{Stage: p.Key.Text, State: Waiting}
	if n := p.Value.Get("kind"); n != nil {
		out.Kind = Kind(n.Text)
	}
	rec, err := readRecord(dir)
	if err != nil || rec == nil {
		return out, err
	}
	out.State, out.Seconds, out.Attempts, out.Error = rec.State, rec.Seconds, rec.Attempts, rec.Error
	hash := p.Value.Get("hash")
	switch {
	case hash != nil && hash.Text != rec.Hash:
		out.State = Outdated
	case rec.State == Running && !active:
		out.State = Stopped
	}
	return out, nil
}

// active reports whether a process holds the folder's lock.
func active(dir string) bool {
	path := filepath.Join(dir, lockName)
	if !exists(path) {
		return false
	}
	lock := flock.New(path)
	ok, err := lock.TryRLock()
	if err == nil && ok {
		return lock.Close() != nil
	}
	return true
}
