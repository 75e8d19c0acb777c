package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/tensor"
)

const (
	adapterFile   = "adapter_model.safetensors"
	adapterPrefix = "base_model.model."
)

// LoRA is the low-rank term of one matrix, W + Scale·B·A.
type LoRA struct {
	Module string      // path in the base model, without ".weight"
	A      tensor.View // (r, in)
	B      tensor.View // (out, r)
	Alpha  float64     // lora_alpha, or its pattern
	Scale  float64     // alpha/r, or alpha/sqrt(r)
	// Transposed says that the base matrix is (in, out): an embedding, or a Conv1D.
	Transposed bool
	embedding  bool // lora_embedding_A and _B
}

// Adapter is a LoRA adapter of PEFT: low-rank terms, and tensors that replace
// those of the base as a whole.
type Adapter struct {
	Config  LoRAConfig
	Modules []LoRA
	// Saved holds the replacing tensors under their names in the base model:
	// modules_to_save, resized embeddings, biases.
	Saved []tensor.View

	dir  string
	file *File // nil for an adapter made in memory
	part bool  // of another adapter, which closes the file
}

// IsAdapter reports whether a folder holds a LoRA adapter rather than a model.
func IsAdapter(dir string) bool {
	_, errA := os.Stat(filepath.Join(dir, AdapterConfigFile))
	_, errM := os.Stat(filepath.Join(dir, ConfigFile))
	return errA == nil && errors.Is(errM, fs.ErrNotExist)
}

// OpenAdapter opens the folder that PEFT's save_pretrained wrote, or a hub id in
// the cache. Every tensor must be one that the config explains.
func OpenAdapter(pathOrID string) (*Adapter, error) {
	dir, err := Resolve(pathOrID)
	if err != nil {
		return nil, err
	}
	a := &Adapter{dir: dir}
	if err := a.open(); err != nil {
		a.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return a, nil
}

func (a *Adapter) open() error {
	folder := &Model{dir: a.dir}
	defer folder.Close()
	var err error
	if folder.root, folder.sub, err = openRoot(a.dir); err != nil {
		return err
	}
	data, err := folder.read(AdapterConfigFile, maxConfigSize)
	if err != nil {
		return err
	}
	if a.Config, err = parseLoRAConfig(data); err != nil {
		return fmt.Errorf("%s: %w", AdapterConfigFile, err)
	}
	if !folder.exists(adapterFile) && folder.exists("adapter_model.bin") {
		return hint.Errorf("convert it where you trust it: load it with PEFT and save_pretrained it again",
			"adapter_model.bin: pickled weights are not read, for reading them can run any code")
	}
	f, err := folder.openFile(adapterFile)
	if err != nil {
		return err
	}
	if a.file, err = newFile(f, adapterFile); err != nil {
		return err
	}
	return a.readTensors()
}

// halves are the two tensors of a low-rank term while a file is read.
type halves struct {
	a, b      *tensor.View
	embedding bool
}

// loraSuffixes are the ends of the names of a module's two tensors.
var loraSuffixes = []struct {
	suffix       string
	b, embedding bool
}{
	{".lora_A.weight", false, false}, {".lora_B.weight", true, false},
	{".lora_embedding_A", false, true}, {".lora_embedding_B", true, true},
}

func (a *Adapter) readTensors() error {
	terms := map[string]*halves{}
	var order []string
	for _, name := range a.file.Names() {
		v, err := a.file.Tensor(name)
		if err != nil {
			return err
		}
		path, ok := strings.CutPrefix(name, adapterPrefix)
		if !ok {
			return &TensorError{File: adapterFile, Tensor: name, What: "want a name that begins with " + adapterPrefix}
		}
		if !v.DType.IsFloat() {
			return &TensorError{File: adapterFile, Tensor: name, What: fmt.Sprintf("dtype %s, want F64, F32, F16 or BF16", v.DType)}
		}
		if module, ok := addHalf(terms, path, v); ok {
			if h := terms[module]; h.a == nil || h.b == nil {
				order = append(order, module) // its first half
			}
			continue
		}
		v.Name = strings.Replace(path, ".base_layer.", ".", 1)
		if err := a.maySave(name, v.Name); err != nil {
			return err
		}
		a.Saved = append(a.Saved, v)
	}
	for _, module := range order {
		l, err := a.term(module, terms[module])
		if err != nil {
			return err
		}
		a.Modules = append(a.Modules, l)
	}
	if len(a.Modules)+len(a.Saved) == 0 {
		return fmt.Errorf("%s: holds no tensors", adapterFile)
	}
	return nil
}

// addHalf files a tensor under its module if it is half of a low-rank term.
func addHalf(terms map[string]*halves, path string, v tensor.View) (module string, ok bool) {
	for _, s := range loraSuffixes {
		module, ok := strings.CutSuffix(path, s.suffix)
		if !ok {
			continue
		}
		if terms[module] == nil {
			terms[module] = &halves{}
		}
		h := terms[module]
		h.embedding = s.embedding
		if s.b {
			h.b = &v
		} else {
			h.a = &v
		}
		return module, true
	}
	return "", false
}

// maySave checks that a tensor that replaces another is one that PEFT would save.
func (a *Adapter) maySave(fileName, name string) error {
	module, kind := name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		module, kind = name[:i], name[i+1:]
	}
	switch {
	case slices.ContainsFunc(a.Config.ModulesToSave, endOf(module)):
	case kind == "weight" && isEmbedding(module): // PEFT saves them unasked when they were resized
	case kind == "bias" && a.Config.Bias != "none":
	default:
		return &TensorError{File: adapterFile, Tensor: fileName, What: "is neither a LoRA matrix nor of a module in modules_to_save",
			Advice: "the adapter is of a kind that is not read: merge it with PEFT (merge_and_unload) and give the merged model"}
	}
	return nil
}

// isEmbedding reports whether a module or tensor is an input or output matrix.
func isEmbedding(name string) bool {
	for _, part := range []string{"embed_tokens", "lm_head", "wte", "embed_in", "embed_out"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func (a *Adapter) term(module string, h *halves) (l LoRA, err error) {
	fail := func(format string, args ...any) (LoRA, error) {
		return l, fmt.Errorf("%s: module %q: %s", adapterFile, module, fmt.Sprintf(format, args...))
	}
	if h.a == nil || h.b == nil {
		return fail("one of its two LoRA matrices is missing")
	}
	l = LoRA{Module: module, A: *h.a, B: *h.b, embedding: h.embedding, Transposed: h.embedding || a.Config.FanInFanOut}
	r, alpha, err := a.Config.rankAndAlpha(module)
	if err != nil {
		return l, fmt.Errorf("%s: %w", AdapterConfigFile, err)
	}
	if len(l.A.Shape) != 2 || len(l.B.Shape) != 2 || l.A.Rows() != r || l.B.Cols() != r {
		return fail("A is %v and B %v, want [%d in] and [out %d] (rank of %s)", l.A.Shape, l.B.Shape, r, r, AdapterConfigFile)
	}
	ok, err := a.Config.targets(module)
	if err != nil {
		return l, fmt.Errorf("%s: target_modules: %w", AdapterConfigFile, err)
	}
	if !ok {
		return fail("is none of the target_modules of %s", AdapterConfigFile)
	}
	l.Alpha, l.Scale = alpha, a.Config.scale(alpha, r)
	return l, nil
}

func (c *LoRAConfig) scale(alpha float64, r int) float64 {
	if c.UseRSLoRA {
		return alpha / math.Sqrt(float64(r))
	}
	return alpha / float64(r)
}

// Dir returns the adapter's folder, "" for one made in memory.
func (a *Adapter) Dir() string { return a.dir }

// EmbeddingPart returns the terms and saved tensors of embed_tokens and lm_head;
// it shares the adapter's data, and only the whole adapter is closed.
func (a *Adapter) EmbeddingPart() *Adapter { return a.split(true) }

// LayerPart returns all but the [Adapter.EmbeddingPart].
func (a *Adapter) LayerPart() *Adapter { return a.split(false) }

func (a *Adapter) split(embeddings bool) *Adapter {
	p := &Adapter{Config: a.Config, dir: a.dir, file: a.file, part: true}
	for _, m := range a.Modules {
		if isEmbedding(m.Module) == embeddings {
			p.Modules = append(p.Modules, m)
		}
	}
	for _, v := range a.Saved {
		if isEmbedding(v.Name) == embeddings {
			p.Saved = append(p.Saved, v)
		}
	}
	return p
}

// Release drops the bytes of a view from memory until they are touched again; see
// [File.Release].
func (a *Adapter) Release(v tensor.View) {
	if a.file != nil {
		a.file.Release(v)
	}
}

// Close closes the adapter's file; its views must not be used any more.
func (a *Adapter) Close() error {
	if a.file == nil || a.part {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// Write writes the adapter as PEFT does, adapter_config.json and
// adapter_model.safetensors, into a folder in the making.
func (a *Adapter) Write(ctx context.Context, dir string) error {
	config, err := a.Config.object()
	if err != nil {
		return err
	}
	text, err := config.Indent()
	if err != nil {
		return err
	}
	w := NewWriter(dir, WriterOptions{MaxShardSize: math.MaxInt64, BaseName: strings.TrimSuffix(adapterFile, ".safetensors")})
	add := func(v tensor.View, name string) error {
		v.Name = adapterPrefix + name
		return w.AddView(v)
	}
	for _, m := range a.Modules {
		nameA, nameB := loraSuffixes[0].suffix, loraSuffixes[1].suffix
		if m.embedding {
			nameA, nameB = loraSuffixes[2].suffix, loraSuffixes[3].suffix
		}
		if err := errors.Join(add(m.A, m.Module+nameA), add(m.B, m.Module+nameB)); err != nil {
			return err
		}
	}
	for _, v := range a.Saved {
		if err := add(v, v.Name); err != nil {
			return err
		}
	}
	if _, err := w.Write(ctx); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, AdapterConfigFile), text, 0o666)
}
