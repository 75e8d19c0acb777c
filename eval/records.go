package eval

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"lep/internal/hint"
)

// Data says where data sets lie: the folders of --data, and the hub's cache.
type Data struct {
	Dirs []string
	Hub  string // folder with datasets--OWNER--NAME, "" for none
}

// Record is one row of a data set.
type Record struct {
	File string
	Line int // of the file, from 1; the row for parquet and JSON arrays
	JSON json.RawMessage
}

// ErrNoData is what missing data is, so that a run can go on with its other tasks.
var ErrNoData = errors.New("no data")

// Place is where the record stands, for errors.
func (r Record) Place() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// Decode reads the record into v. required are fields that must be there and not null,
// "inputs.question" inside another.
func (r Record) Decode(v any, required ...string) error {
	for _, path := range required {
		raw := r.JSON
		for part := range strings.SplitSeq(path, ".") {
			var object map[string]json.RawMessage
			if err := json.Unmarshal(raw, &object); err != nil {
				return fmt.Errorf("%s: %w", r.Place(), err)
			}
			if raw = object[part]; raw == nil || string(raw) == "null" {
				return fmt.Errorf("%s: no field %q", r.Place(), path)
			}
		}
	}
	if err := json.Unmarshal(r.JSON, v); err != nil {
		return fmt.Errorf("%s: %w", r.Place(), err)
	}
	return nil
}

// Dataset names a data set: on the hub, its configuration, and the folder it is kept in.
type Dataset struct {
	Hub    string // "owner/name"
	Folder string // below a folder of Data.Dirs
	Config string // "" for none
	// Files are further names of the splits' files, relative to the data set's folder: a split
	// may be several, one after another.
	Files map[string][]string
}

// Read returns the records of a split. It looks in each folder for the hub's layouts
// (data/CONFIG/SPLIT.jsonl, CONFIG/SPLIT/0000.parquet) and for plain ones.
func (d Data) Read(set Dataset, split string) ([]Record, error) {
	var roots []string
	for _, dir := range d.Dirs {
		roots = append(roots, filepath.Join(dir, set.Folder), filepath.Join(dir, "parquet", set.Folder), dir)
	}
	if d.Hub != "" {
		found, err := filepath.Glob(filepath.Join(d.Hub, "datasets--"+strings.ReplaceAll(set.Hub, "/", "--"), "snapshots", "*"))
		if err != nil {
			return nil, err
		}
		roots = append(roots, found...)
	}
	for i, root := range roots {
		files, err := set.files(root, split, i%3 == 2 && i < 3*len(d.Dirs))
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			return ReadFiles(files)
		}
	}
	name := set.Hub
	if set.Config != "" {
		name += " " + set.Config
	}
	return nil, hint.Wrap(fmt.Errorf("%w: %s, split %s, in %s", ErrNoData, name, split, strings.Join(append(slices.Clone(d.Dirs), d.Hub), ", ")),
		"download it from the hub, or give --data a folder with "+filepath.ToSlash(filepath.Join(set.Folder, "data", set.Config, split+".jsonl")))
}

var extensions = []string{".jsonl", ".json", ".csv", ".tsv", ".parquet"}

// files returns the files of a split below root. bare is true for a folder that may hold other
// data sets: only names with the configuration count there.
func (set Dataset) files(root, split string, bare bool) ([]string, error) {
	bases := []string{filepath.Join(root, "data", set.Config, split), filepath.Join(root, set.Config, split)}
	switch {
	case bare && set.Config == "":
		return nil, nil
	case set.Config == "":
		bases = append(bases, filepath.Join(root, "default", split))
	}
	for _, base := range bases {
		for _, ext := range extensions {
			if _, err := os.Stat(base + ext); err == nil {
				return []string{base + ext}, nil
			}
		}
		for _, pattern := range []string{base + "/*.parquet", base + "-*.parquet"} {
			if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
				return found, err
			}
		}
	}
	if bare {
		return nil, nil
	}
	var found []string
	for _, name := range set.Files[split] {
		for _, folder := range []string{"", "csv", "data"} {
			path := filepath.Join(root, folder, name)
			if _, err := os.Stat(path); err == nil {
				found = append(found, path)
				break
			}
		}
	}
	if len(found) > 0 && len(found) < len(set.Files[split]) {
		return nil, fmt.Errorf("%s: split %s is %s, found only %s", root, split, strings.Join(set.Files[split], " and "), strings.Join(found, ", "))
	}
	return found, nil
}

// maxFileBytes bounds a data file that is read whole.
const maxFileBytes = 4 << 30

// ReadFiles reads the records of files one after another, by their names' ends: .jsonl, .json (a
// list of objects), .csv, .tsv or .parquet. No record at all is an error.
func ReadFiles(files []string) ([]Record, error) {
	var list []Record
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.Size() > maxFileBytes {
			return nil, fmt.Errorf("%s: %d bytes, more than %d", name, info.Size(), int64(maxFileBytes))
		}
		var records []Record
		switch filepath.Ext(name) {
		case ".jsonl":
			records, err = readLines(name)
		case ".json":
			records, err = readArray(name)
		case ".csv":
			records, err = readCSV(name, ',')
		case ".tsv":
			records, err = readCSV(name, '\t')
		case ".parquet":
			records, err = readParquet(name)
		default:
			err = fmt.Errorf("%s: unknown kind of file, want %s", name, strings.Join(extensions, ", "))
		}
		if err != nil {
			return nil, err
		}
		list = append(list, records...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no records", strings.Join(files, ", "))
	}
	return list, nil
}

func readLines(name string) ([]Record, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return scanLines(name, f)
}

// scanLines reads JSON objects, one a line; blank lines are skipped.
func scanLines(name string, r io.Reader) ([]Record, error) {
	var list []Record
	s := bufio.NewScanner(r)
	s.Buffer(nil, 256<<20)
	for line := 1; s.Scan(); line++ {
		data := bytes.TrimSpace(bytes.TrimPrefix(s.Bytes(), []byte("\ufeff")))
		if len(data) == 0 {
			continue
		}
		rec := Record{File: name, Line: line, JSON: bytes.Clone(data)}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil {
			return nil, fmt.Errorf("%s: %w", rec.Place(), err)
		}
		list = append(list, rec)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func readArray(name string) ([]Record, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &rows); err != nil {
		return nil, fmt.Errorf("%s: want a list of objects: %w", name, err)
	}
	list := make([]Record, len(rows))
	for i, row := range rows {
		list[i] = Record{File: name, Line: i + 1, JSON: row}
	}
	return list, nil
}

// readCSV makes an object of strings of each row.
func readCSV(name string, comma rune) ([]Record, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	r.Comma = comma
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	var list []Record
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		object := map[string]string{}
		for i, value := range row {
			object[head[i]] = value
		}
		list = append(list, Record{File: name, Line: line, JSON: mustJSON(object)})
	}
}

func readParquet(name string) (list []Record, err error) {
	defer func() { // the library panics on damaged files
		if r := recover(); r != nil {
			list, err = nil, fmt.Errorf("%s: damaged parquet file: %v", name, r)
		}
	}()
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := parquet.NewGenericReader[any](file, file.Schema())
	defer r.Close()
	rows := make([]any, 64)
	for {
		n, err := r.Read(rows)
		for _, row := range rows[:n] {
			data, err := json.Marshal(plain(row))
			if err != nil {
				return nil, fmt.Errorf("%s: row %d: %w", name, len(list)+1, err)
			}
			list = append(list, Record{File: name, Line: len(list) + 1, JSON: data})
		}
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		clear(rows)
	}
}

// plain turns parquet's way of writing lists, {"list": [{"element": x}]}, into lists, and byte
// strings into strings.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case map[string]any:
		if list, ok := v["list"].([]any); ok && len(v) == 1 {
			out := make([]any, len(list))
			for i, e := range list {
				if m, ok := e.(map[string]any); ok && len(m) == 1 {
					for _, inner := range m {
						e = inner
					}
				}
				out[i] = plain(e)
			}
			return out
		}
		for k := range v {
			v[k] = plain(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
