package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/tensor"
)

// File names of a model folder.
const (
	ConfigFile           = "config.json"
	GenerationConfigFile = "generation_config.json"
	weightsFile          = "model.safetensors"
	indexFile            = "model.safetensors.index.json"
)

// Limits on JSON files; the largest real ones are some tens of kilobytes and,
// for the index of a model with very many tensors, a few megabytes.
const (
	maxConfigSize = 16 << 20
	maxIndexSize  = maxHeaderSize
)

// Model is an open model folder. Its methods may be called from several
// goroutines at once, Close excepted.
type Model struct {
	dir        string
	root       *os.Root // nothing outside it is opened, not even through links
	sub        string   // the folder below root
	config     *orderedjson.Object
	generation *orderedjson.Object // nil if the folder has none
	files      []*File
	names      []string
	at         map[string]*File
	tiedOnce   sync.Once
	tied       bool
	tiedErr    error
	// Notes says what was odd but harmless: a mended config, unlisted tensors.
	Notes []string
}

// Open opens a model folder, or a hub id ("org/name", "org/name@revision") that
// [Resolve] finds in the hub cache. Every header is read and checked, no weights.
func Open(pathOrID string) (*Model, error) {
	dir, err := Resolve(pathOrID)
	if err != nil {
		return nil, err
	}
	m := &Model{dir: dir, at: map[string]*File{}}
	if err := m.open(); err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return m, nil
}

func (m *Model) open() (err error) {
	if m.root, m.sub, err = openRoot(m.dir); err != nil {
		return err
	}
	if m.config, err = m.object(ConfigFile); err != nil {
		return m.explainNoConfig(err)
	}
	m.generation, err = m.object(GenerationConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case m.exists(weightsFile):
		if m.exists(indexFile) {
			m.note("%s and %s are both there; the first is read, as transformers does", weightsFile, indexFile)
		}
		return m.openSingle()
	case m.exists(indexFile):
		return m.openSharded()
	}
	return m.explainNoWeights()
}

func (m *Model) note(format string, args ...any) {
	m.Notes = append(m.Notes, fmt.Sprintf(format, args...))
}

// openRoot confines a model to its folder. In the hub cache the files are links
// into blobs/ two levels up, so there the repository's folder is the root.
func openRoot(dir string) (root *os.Root, sub string, err error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, "", err
	}
	sub = "."
	if repo, commit, ok := cutSnapshot(real); ok {
		real, sub = repo, path.Join("snapshots", commit)
	}
	root, err = os.OpenRoot(real)
	return root, sub, err
}

func (m *Model) exists(name string) bool {
	_, err := m.root.Lstat(path.Join(m.sub, name))
	return err == nil
}

func (m *Model) openFile(name string) (*os.File, error) {
	f, err := m.root.Open(path.Join(m.sub, name))
	if err == nil {
		return f, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the path in it is relative to the root, not to the user
	}
	if info, lerr := m.root.Lstat(path.Join(m.sub, name)); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, hint.Errorf("put the file itself into the folder: links out of it are not followed",
			"%s: %w", name, err)
	}
	return nil, fmt.Errorf("%s: %w", name, err)
}

// read returns a small file of the folder.
func (m *Model) read(name string, limit int64) ([]byte, error) {
	f, err := m.openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, nil
}

func (m *Model) object(name string) (*orderedjson.Object, error) {
	data, err := m.read(name, maxConfigSize)
	if err != nil {
		return nil, err
	}
	o, err := orderedjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, n := range o.Notes {
		m.note("%s: %s", name, n)
	}
	return o, nil
}

func (m *Model) openShard(name string) (*File, error) {
	f, err := m.openFile(name)
	if err != nil {
		return nil, err
	}
	s, err := newFile(f, name)
	if err == nil {
		m.files = append(m.files, s)
	}
	return s, err
}

func (m *Model) openSingle() error {
	s, err := m.openShard(weightsFile)
	if err != nil {
		return err
	}
	m.names = s.Names()
	for _, name := range m.names {
		m.at[name] = s
	}
	return nil
}

// openSharded follows the index: its weight_map alone says which tensors there
// are and in which file.
func (m *Model) openSharded() error {
	data, err := m.read(indexFile, maxIndexSize)
	if err != nil {
		return err
	}
	weightMap, err := parseIndex(data)
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	shards := map[string][]string{}
	for tensor, shard := range weightMap {
		shards[shard] = append(shards[shard], tensor)
	}
	var missing []string
	for shard := range shards {
		if !m.exists(shard) {
			missing = append(missing, shard)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return hint.Errorf("the download is incomplete: fetch these files again",
			"%s names files that are not there: %s", indexFile, list(missing))
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		if err := m.addShard(shard, shards[shard], weightMap); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) addShard(shard string, listed []string, weightMap map[string]string) error {
	s, err := m.openShard(shard)
	if err != nil {
		return err
	}
	slices.Sort(listed)
	for _, name := range listed {
		if !s.Has(name) {
			return &TensorError{File: shard, Tensor: name, What: "is not there, " + indexFile + " says it is",
				Advice: "file and index are of different downloads: fetch both again"}
		}
		m.at[name] = s
	}
	var unlisted []string
	for _, name := range s.Names() {
		if weightMap[name] == shard {
			m.names = append(m.names, name)
		} else {
			unlisted = append(unlisted, name)
		}
	}
	if len(unlisted) > 0 {
		m.note("%s holds tensors that %s does not place there; ignored: %s", shard, indexFile, list(unlisted))
	}
	return nil
}

// parseIndex returns tensor name → file name of an index file. The file names
// are plain names that end in .safetensors.
func parseIndex(data []byte) (map[string]string, error) {
	o, err := orderedjson.Parse(data)
	if err != nil {
		return nil, err
	}
	raw := o.Raw("weight_map")
	if raw == nil {
		return nil, errors.New(`no "weight_map"`)
	}
	entries, err := orderedjson.Parse(raw) // refuses a tensor that stands twice
	if err != nil {
		return nil, fmt.Errorf("weight_map: %w", err)
	}
	m := make(map[string]string, len(entries.Keys()))
	for _, name := range entries.Keys() {
		var shard string
		if err := json.Unmarshal(entries.Raw(name), &shard); err != nil {
			return nil, fmt.Errorf("weight_map: tensor %q: want a file name", name)
		}
		if err := plainName(shard); err != nil {
			return nil, fmt.Errorf("weight_map: tensor %q: %w", name, err)
		}
		m[name] = shard
	}
	if len(m) == 0 {
		return nil, errors.New("weight_map: names no tensors")
	}
	return m, nil
}

// plainName refuses every shard name that could mean another folder on some system.
func plainName(name string) error {
	if !strings.HasSuffix(name, ".safetensors") {
		return fmt.Errorf("file name %q, want one that ends in .safetensors", name)
	}
	if strings.ContainsAny(name, "/\\:\x00") || !filepath.IsLocal(name) {
		return fmt.Errorf("file name %q points outside the folder, want a plain name", name)
	}
	return nil
}

func (m *Model) explainNoConfig(err error) error {
	if errors.Is(err, fs.ErrNotExist) && m.exists(AdapterConfigFile) {
		return hint.Errorf("give its base model, or merge the adapter into it first", "is a LoRA adapter, not a model: no %s", ConfigFile)
	}
	return err
}

func (m *Model) explainNoWeights() error {
	entries, err := fs.ReadDir(m.root.FS(), m.sub)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".bin", ".pth", ".pt", ".ckpt", ".pkl":
			return hint.Errorf("convert them where you trust them: python -c \"from transformers import AutoModelForCausalLM as M; "+
				"M.from_pretrained('"+m.dir+"').save_pretrained('"+filepath.Base(m.dir)+"-safe')\"",
				"%s: pickled weights are not read, for reading them can run any code", e.Name())
		case ".gguf":
			return hint.Errorf("give the folder that it was converted from", "%s: GGUF weights are not read, want %s", e.Name(), weightsFile)
		}
	}
	return fmt.Errorf("%s or %s: %w", weightsFile, indexFile, fs.ErrNotExist)
}

// Dir returns the folder, where the other files of the model lie.
func (m *Model) Dir() string { return m.dir }

// Config returns config.json; clone it to edit it.
func (m *Model) Config() *orderedjson.Object { return m.config }

// GenerationConfig returns generation_config.json, nil if there is none; clone it
// to edit it.
func (m *Model) GenerationConfig() *orderedjson.Object { return m.generation }

// Names returns the tensors, file by file in the order of their data; it is shared.
func (m *Model) Names() []string { return m.names }

// Has reports whether the model holds a tensor.
func (m *Model) Has(name string) bool { return m.at[name] != nil }

// Files returns the names of the weight files.
func (m *Model) Files() []string {
	names := make([]string, len(m.files))
	for i, f := range m.files {
		names[i] = f.name
	}
	return names
}

// Tensor returns a view into the mapped file, valid until Close. A missing tensor
// is a [TensorError].
func (m *Model) Tensor(name string) (tensor.View, error) {
	f := m.at[name]
	if f == nil {
		return tensor.View{}, &TensorError{File: m.dir, Tensor: name, What: "is not there"}
	}
	return f.Tensor(name)
}

// Release drops v's bytes from memory until they are touched again; see
// [File.Release].
func (m *Model) Release(v tensor.View) {
	for _, f := range m.files {
		f.Release(v)
	}
}

// Blocks walks a tensor in blocks of whole rows of some megabytes each, with the
// index of the first row, and releases each block when the loop goes on: however
// large the tensor, the resident size stays small.
func (m *Model) Blocks(v tensor.View) iter.Seq2[int, tensor.View] { return blocks(m, v) }

// Close unmaps and closes every file. Views must not be used any more.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	m.files = nil
	if m.root != nil {
		errs = append(errs, m.root.Close())
		m.root = nil
	}
	return errors.Join(errs...)
}
