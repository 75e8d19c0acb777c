package corpus

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lep/internal/hint"
)

// Spec is a parsed argument: files of one kind of text, and their share.
type Spec struct {
	Pattern string
	Files   []string // in the order of their names
	Weight  float64  // 0 where none was given
	Bytes   int64    // sum of the files' sizes on disk
}

// formats lists the kinds of file by ending; .gz and .zst may follow each.
var formats = []string{".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow"}

// formatOf returns the kind of a file by its name, "" if it is none of ours.
func formatOf(name string) string {
	name = strings.ToLower(name)
	for _, pack := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, pack)
	}
	if ext := path.Ext(filepath.ToSlash(name)); slices.Contains(formats, ext) {
		return ext
	}
	return ""
}

// ParseSpec reads an argument: a file, a folder (all files of known kinds in it
// and below, hidden ones apart), or a glob with *, ?, [a-z] and ** for any depth;
// behind it may stand a weight, "PATH=0.9". Errors name what was not found.
func ParseSpec(text string) (Spec, error) {
	spec := Spec{Pattern: text}
	if _, err := os.Stat(text); err != nil {
		if i := strings.LastIndexByte(text, '='); i > 0 {
			w, err := strconv.ParseFloat(text[i+1:], 64)
			if err != nil || !(w > 0) || math.IsInf(w, 0) {
				return spec, fmt.Errorf("corpus: %q: weight is %q, want a number above 0", text, text[i+1:])
			}
			spec.Pattern, spec.Weight = text[:i], w
		}
	}
	if err := spec.find(); err != nil {
		return spec, err
	}
	for _, f := range spec.Files {
		info, err := os.Stat(f)
		if err != nil {
			return spec, err
		}
		if !info.Mode().IsRegular() {
			return spec, fmt.Errorf("%s: not a regular file", f)
		}
		spec.Bytes += info.Size()
	}
	return spec, nil
}

func (s *Spec) find() error {
	info, err := os.Stat(s.Pattern)
	switch {
	case err == nil && info.IsDir():
		if s.Files, err = walk(s.Pattern, func(name string) bool { return formatOf(name) != "" }); err != nil {
			return err
		}
		s.Files = withoutDescriptions(s.Files)
		if len(s.Files) == 0 {
			return fmt.Errorf("%s: no file in this folder ends in %s (or these with .gz, .zst)", s.Pattern, strings.Join(formats, ", "))
		}
		return nil
	case err == nil:
		if formatOf(s.Pattern) == "" {
			return hint.Errorf("known endings: "+strings.Join(formats, ", ")+", each also with .gz or .zst",
				"%s: unknown kind of file", s.Pattern)
		}
		s.Files = []string{s.Pattern}
		return nil
	case !strings.ContainsAny(s.Pattern, "*?["):
		return err
	}
	return s.glob()
}

// withoutDescriptions leaves out the JSON files that save_to_disk of Hugging Face's
// datasets writes beside its Arrow files.
func withoutDescriptions(files []string) []string {
	arrow := map[string]bool{}
	for _, f := range files {
		if formatOf(f) == ".arrow" {
			arrow[filepath.Dir(f)] = true
		}
	}
	return slices.DeleteFunc(files, func(f string) bool {
		switch filepath.Base(f) {
		case "dataset_info.json", "state.json":
			return arrow[filepath.Dir(f)]
		case "dataset_dict.json":
			return len(arrow) > 0
		}
		return false
	})
}

func (s *Spec) glob() error {
	pattern := filepath.ToSlash(s.Pattern)
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("corpus: %q: %w", s.Pattern, err)
	}
	var found []string
	var err error
	if strings.Contains(pattern, "**") {
		fixed := pattern[:strings.IndexAny(pattern, "*?[")]
		root := fixed[:strings.LastIndexByte(fixed, '/')+1]
		if root == "" {
			root = "."
		}
		parts := strings.Split(path.Clean(pattern), "/")
		found, err = walk(root, func(name string) bool {
			return matchParts(parts, strings.Split(path.Clean(filepath.ToSlash(name)), "/"))
		})
	} else {
		found, err = filepath.Glob(s.Pattern)
	}
	if err != nil {
		return err
	}
	for _, f := range found {
		if formatOf(f) != "" {
			s.Files = append(s.Files, f)
		}
	}
	slices.Sort(s.Files)
	if len(s.Files) == 0 {
		return fmt.Errorf("%s: no file matches (%d of other kinds)", s.Pattern, len(found))
	}
	return nil
}

// matchParts matches path elements, "**" standing for any number of them.
func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := 0; i <= len(name); i++ {
				if matchParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], name[0]); !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// walk lists the files below root that want accepts, sorted, without hidden ones.
func walk(root string, want func(name string) bool) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden := strings.HasPrefix(d.Name(), ".") && name != root && d.Name() != "."; hidden {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.IsDir() && want(name) {
			files = append(files, name)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}
