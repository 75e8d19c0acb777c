package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"lep/checkpoint"
	"lep/corpus"
	"lep/internal/atomic"
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
