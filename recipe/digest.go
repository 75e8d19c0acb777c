package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"lep/checkpoint"
	"lep/corpus"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/train"
)

// digests knows the SHA-256 of files. Those of unchanged files (by size and time) are remembered
// in the run folder, so that a second run reads none of them.
type digests struct {
	path string
	mu   sync.Mutex
	memo map[string]remembered
	new  bool
}

type remembered struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"`
	SHA256  string `json:"sha256"`
}

func openDigests(path string) *digests {
	d := &digests{path: path, memo: map[string]remembered{}}
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &d.memo) != nil {
		d.memo = map[string]remembered{} // torn or foreign: only time is lost
	}
	return d
}

// save keeps what was learned.
func (d *digests) save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.new {
		return nil
	}
	data, err := json.MarshalIndent(d.memo, "", " ")
	if err != nil {
		return err
	}
	d.new = false
	return atomic.WriteFile(d.path, append(data, '\n'), true)
}

// file returns a file's digest, by memory if it has not changed.
func (d *digests) file(path string) (remembered, error) {
	info, err := os.Stat(path)
	if err != nil {
		return remembered{}, err
	}
	now := remembered{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	d.mu.Lock()
	old, known := d.memo[path]
	d.mu.Unlock()
	if known && old.Size == now.Size && old.ModTime == now.ModTime {
		return old, nil
	}
	if now.SHA256, err = sum(path); err != nil {
		return remembered{}, err
	}
	d.mu.Lock()
	d.memo[path], d.new = now, true
	d.mu.Unlock()
	return now, nil
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// input returns the digest of something from outside the run: of the names and contents of its files.
func (d *digests) input(in input) (string, error) {
	files, err := in.files()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		one, err := d.file(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %s\n", filepath.Base(f), one.SHA256)
	}
	if in.kind == dataPath { // the weight counts too
		if i := strings.LastIndexByte(in.path, '='); i >= 0 && !exists(in.path) {
			fmt.Fprintln(h, in.path[i:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// files lists the files of an input.
func (in input) files() ([]string, error) {
	switch in.kind {
	case dataPath:
		spec, err := corpus.ParseSpec(in.path)
		return spec.Files, err
	case taskPath:
		if filepath.Ext(in.path) == "" {
			return nil, nil // a task's name
		}
		return []string{in.path}, nil
	}
	path := in.path
	if in.kind == modelPath && !exists(path) {
		dir, err := checkpoint.Resolve(path)
		if err != nil {
			return nil, err
		}
		path = dir
	}
	return below(path, func(name string) bool { return in.kind != modelPath || modelFile(name) })
}

// modelFile reports whether a file of a model folder has part in what the model does.
func modelFile(name string) bool {
	switch filepath.Ext(name) {
	case ".json", ".jinja", ".model", ".tiktoken", ".safetensors":
		return !strings.HasPrefix(filepath.Base(name), "lep.")
	}
	return false
}

// below lists the files of a folder, hidden ones and checkpoints apart; a file is its own list.
func below(root string, want func(name string) bool) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{root}, nil
	}
	var out []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if path != root && (strings.HasPrefix(name, ".") || e.IsDir() && name == "checkpoints") {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if linked, err := os.Stat(path); err != nil || linked.IsDir() {
			return err
		}
		if want(path) {
			out = append(out, path)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// settings spells a stage's options with their YAML keys.
func settings(options any) (json.RawMessage, error) {
	raw, err := yaml.MarshalWithOptions(options, yaml.JSON())
	return bytes.TrimSpace(raw), err
}

// versions count the changes of what a stage makes of the same inputs: a higher number runs it again.
var versions = map[Kind]int{KindVocab: 1, KindInit: 1, KindTrain: 1, KindPropagate: 1, KindCalibrate: 1, KindTune: 1, KindInstruct: 1,
	KindExport: 1, KindEval: 1, KindReport: 1}

// hash is what a stage's result follows from: its kind, options, inputs and the stages before it. Paths
// count by what they hold, so that a folder may be moved.
func (r *Run) hash(s *Stage) (string, map[string]string, error) {
	text, err := settings(thatMatter(s.options))
	if err != nil {
		return "", nil, fmt.Errorf("stage %s: %w", s.Name, err)
	}
	spelled := string(text)
	inputs := map[string]string{}
	list := slices.Clone(s.inputs)
	slices.SortFunc(list, func(a, b input) int { return len(b.path) - len(a.path) })
	for _, in := range list {
		digest, err := r.digests.input(in)
		if err != nil {
			return "", nil, in.missing(s, err)
		}
		inputs[in.path] = digest
		quoted, err := json.Marshal(in.path)
		if err != nil {
			return "", nil, err
		}
		spelled = strings.ReplaceAll(spelled, string(quoted), `"`+digest+`"`)
	}
	spelled = strings.ReplaceAll(spelled, r.recipe.RunDir, "${run.dir}")
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n%s\n", s.Kind, versions[s.Kind], spelled)
	for _, digest := range sortedValues(inputs) {
		fmt.Fprintln(h, digest)
	}
	for _, n := range s.Needs {
		fmt.Fprintln(h, n.Name, r.state[n].identity)
	}
	return hex.EncodeToString(h.Sum(nil)), inputs, nil
}

// thatMatter are a stage's options without those that change no result: where a training runs and how
// often it saves.
func thatMatter(options any) any {
	switch o := options.(type) {
	case Train:
		o.Torch = train.Torch{}
		o.SaveSteps, o.SaveMinutes, o.SaveTotalLimit, o.LoggingSteps, o.TensorBoard = 0, 0, 0, 0, false
		return o
	case Calibrate:
		if o.API != "" { // the same model may answer at another address
			o.API = "server"
		}
		o.Concurrency, o.Timeout = 0, 0
		return o
	}
	return options
}

// missing says which setting of which stage named what is not there.
func (in input) missing(s *Stage, err error) error {
	advice := hint.Of(err)
	if advice == "" && errors.Is(err, fs.ErrNotExist) && in.kind != modelPath {
		advice = "paths in a recipe are relative to the recipe's folder"
	}
	return hint.Wrap(fmt.Errorf("stage %s: %s: %w", s.Name, in.name, err), advice)
}

func sortedValues(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}
