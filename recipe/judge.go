package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/modelcard"
)

// look compares every stage with what its folder holds.
func (r *Run) look() error {
	again := map[*Stage]bool{}
	for _, s := range r.graph.Stages {
		st := &stageState{}
		r.state[s] = st
		var err error
		if st.record, err = readRecord(s.dir); err != nil {
			return err
		}
		if st.hash, st.inputs, err = r.hash(s); err != nil {
			return err
		}
		st.identity = st.hash
		again[s] = r.opts.From != "" && s.named(r.opts.From) || slices.ContainsFunc(s.Needs, func(n *Stage) bool { return again[n] })
		if err := r.judge(s, st, again[s]); err != nil {
			return err
		}
	}
	return nil
}

// judge decides whether a stage's result can be kept.
func (r *Run) judge(s *Stage, st *stageState, again bool) error {
	rec := st.record
	switch {
	case rec == nil:
		st.state = Waiting
		return nil
	case rec.Hash != st.hash:
		st.state, st.why = Outdated, r.difference(s, st)
		return nil
	case rec.State != Done:
		st.state = rec.State
		return nil
	}
	if s.Kind == KindReport && !(exists(filepath.Join(r.recipe.RunDir, ReportName)) && exists(filepath.Join(r.recipe.RunDir, ResultsName))) {
		st.state = Waiting
		return nil
	}
	if again { // what is made anew is no longer what was accepted
		st.state, st.why = Outdated, "--from"
		return nil
	}
	st.state = Done
	changed, err := r.changedOutputs(s, rec)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return r.changedByHand(s, st, changed)
	}
	if rec.Accepted != "" {
		st.identity = mix(st.hash, rec.Accepted)
	}
	return nil
}

// changedByHand accepts or redoes a stage whose output is not what it made.
func (r *Run) changedByHand(s *Stage, st *stageState, changed []string) error {
	what := fmt.Sprintf("%s: %s", s.dir, strings.Join(changed[:min(3, len(changed))], ", "))
	st.state, st.why = Changed, what
	switch {
	case r.opts.Redo:
		st.state, st.why = Outdated, "it was changed by hand"
	case r.opts.Accept:
		return r.accept(s, st)
	}
	return nil
}

// accept takes an output that was changed by hand; stages behind it follow from it anew.
func (r *Run) accept(s *Stage, st *stageState) error {
	outputs, err := r.outputs(s)
	if err != nil {
		return err
	}
	st.record.Outputs, st.record.Accepted = outputs, outputsDigest(outputs)
	st.identity, st.state = mix(st.hash, st.record.Accepted), Done
	if r.lock == nil { // only looking
		return nil
	}
	return st.record.write(s.dir)
}

// difference says in a few words what has changed since the stage was done.
func (r *Run) difference(s *Stage, st *stageState) string {
	known := slices.Collect(maps.Values(st.record.Inputs))
	for _, path := range sortedKeys(st.inputs) { // those of another place count by what they hold
		if !slices.Contains(known, st.inputs[path]) {
			return path + " has changed"
		}
	}
	for _, n := range s.Needs {
		if old, ok := st.record.Needs[n.Name]; ok && old != r.state[n].identity {
			return "stage " + n.Name + " runs again"
		}
	}
	if why := s.changedSetting(st); why != "" {
		return why
	}
	return "its settings or inputs have changed"
}

// changedSetting names a setting that the record has otherwise, places of inputs apart; "" for none that is short
// enough to be told.
func (s *Stage) changedSetting(st *stageState) string {
	now, err := settings(s.options)
	if err != nil {
		return ""
	}
	defaults, err := settings(sectionOf(s.Kind.section()).value)
	if err != nil {
		return ""
	}
	var before, after map[string]any // what an older lep's record lacks was as the defaults are
	if json.Unmarshal(defaults, &before) != nil || json.Unmarshal(st.record.Options, &before) != nil || json.Unmarshal(now, &after) != nil {
		return ""
	}
	for _, key := range sortedKeys(after) {
		was, is := fmt.Sprint(before[key]), fmt.Sprint(after[key])
		place := slices.ContainsFunc(s.inputs, func(in input) bool { return strings.Contains(is, in.path) })
		if was != is && !place && len(was)+len(is) < 80 {
			return fmt.Sprintf("%s was %s and is %s", key, was, is)
		}
	}
	return ""
}

// mix makes the identity of an accepted change.
func mix(hash, accepted string) string {
	h := sha256.Sum256([]byte(hash + " " + accepted))
	return hex.EncodeToString(h[:])
}

func outputsDigest(outputs map[string]remembered) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		fmt.Fprintln(h, name, outputs[name].SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tells reports that a file of a stage only tells of the model: its card, which is completed later, and the records
// of paths, which lep publish tidies.
func (s *Stage) tells(name string) bool {
	dir, file := filepath.Split(name)
	return s.output == "model" && filepath.Clean(dir) == s.output && slices.Contains([]string{modelcard.File, "lep.json", "recipe.yaml"}, file)
}

// outputs lists what a stage has made, with digests; what only tells of it is left out.
func (r *Run) outputs(s *Stage) (map[string]remembered, error) {
	if s.output == "" {
		return nil, nil
	}
	files, err := below(s.Out(), func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	out := map[string]remembered{}
	for _, f := range files {
		name, err := filepath.Rel(s.dir, f)
		if err != nil {
			return nil, err
		}
		if s.tells(name) {
			continue
		}
		if out[name], err = r.digests.file(f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// changedOutputs names the files of a stage that are not as it made them.
func (r *Run) changedOutputs(s *Stage, rec *Record) ([]string, error) {
	if s.output == "" {
		return nil, nil
	}
	var changed []string
	now, err := r.outputs(s)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for name, was := range rec.Outputs {
		is, ok := now[name]
		switch {
		case s.tells(name): // in records of earlier versions
		case !ok:
			changed = append(changed, name+" is gone")
		case is.SHA256 != was.SHA256:
			changed = append(changed, name+" has other content")
		}
	}
	for name := range now {
		if _, ok := rec.Outputs[name]; !ok {
			changed = append(changed, name+" is new")
		}
	}
	slices.Sort(changed)
	return changed, nil
}
