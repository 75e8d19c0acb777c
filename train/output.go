package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
	"lep/model"
	"lep/tensor"
)

// trainedTensor is a trained parameter on its way into a file.
type trainedTensor struct {
	name  string
	shape []int
	data  func() []float32
}

// ownWeights are the parameters of a model in memory.
func ownWeights(m *model.Model) []trainedTensor {
	var out []trainedTensor
	for _, p := range m.Trained() {
		out = append(out, trainedTensor{p.Name, p.Shape, func() []float32 { return p.Data }})
	}
	return out
}

// writeModel writes the trained model into dir, a folder in the making: trained tensors
// rounded to the dtype of the input (or output_dtype), all others copied byte for byte.
func (r *run) writeModel(ctx context.Context, dir string) error {
	config := r.files.Config().Clone()
	if err := checkpoint.WriteBothSpellings(config); err != nil {
		return err
	}
	var as tensor.DType
	if r.opts.OutputDType != "" {
		var err error
		if as, err = tensor.ParseDType(r.opts.OutputDType); err != nil {
			return err
		}
		if err := checkpoint.SetDType(config, torchName(as)); err != nil {
			return err
		}
	}
	w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
	trained := map[string]trainedTensor{}
	var names []string
	for _, p := range r.trained() {
		trained[p.name] = p
		names = append(names, p.name)
	}
	_, embed := trained[model.EmbedTokens]
	for _, name := range r.files.Names() {
		if name == model.LMHead && embed && r.cfg.TieWordEmbeddings {
			continue // a copy that some tied models repeat, now stale
		}
		v, err := r.files.Tensor(name)
		if err != nil {
			return err
		}
		d := v.DType
		if as != tensor.Invalid && d.IsFloat() {
			d = as
		}
		p, ok := trained[name]
		switch {
		case ok:
			err = w.Add(name, d, v.Shape, func(out io.Writer) error { return encodeFloats(out, p.data(), d) })
		case d != v.DType:
			err = w.Add(name, d, v.Shape, func(out io.Writer) error { return r.convert(out, v, d) })
		default:
			err = w.Copy(r.files, name)
		}
		if err != nil {
			return err
		}
	}
	if _, err := w.Write(ctx); err != nil {
		return err
	}
	if err := CopyModelFiles(r.files.Dir(), dir); err != nil {
		return err
	}
	if err := r.writeTemplate(dir); err != nil {
		return err
	}
	if err := r.writeStop(dir, config); err != nil {
		return err
	}
	if err := writeIndented(filepath.Join(dir, checkpoint.ConfigFile), config); err != nil {
		return err
	}
	return checkModel(ctx, dir, names)
}

// writeTemplate writes the chat template into a file of its own, where new readers look for
// it, if only tokenizer_config.json holds it.
func (r *run) writeTemplate(dir string) error {
	path := filepath.Join(dir, "chat_template.jinja")
	if _, err := os.Stat(path); err == nil || r.tok == nil || r.tok.Config().ChatTemplate == "" {
		return nil
	}
	return os.WriteFile(path, []byte(r.tok.Config().ChatTemplate), 0o666)
}

// checkModel opens what was written and looks for numbers that are none.
func checkModel(ctx context.Context, dir string, names []string) error {
	m, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.CheckFinite(ctx, names...)
}

func torchName(d tensor.DType) string {
	return map[tensor.DType]string{tensor.F32: "float32", tensor.BF16: "bfloat16", tensor.F16: "float16", tensor.F64: "float64"}[d]
}

func (r *run) convert(out io.Writer, v tensor.View, d tensor.DType) error {
	for _, block := range r.files.Blocks(v) {
		if err := encodeFloats(out, block.Float32(), d); err != nil {
			return err
		}
	}
	return nil
}

// writeAdapter writes the low-rank terms and the modules saved whole as PEFT does, in float32.
func (r *run) writeAdapter(ctx context.Context, dir string) error {
	a := &checkpoint.Adapter{}
	if r.plan.adapter != nil {
		a.Config = r.plan.adapter.Config
	} else {
		a.Config = checkpoint.LoRAConfig{BaseModel: r.opts.Model, R: r.opts.LoRAR, LoraAlpha: r.opts.LoRAAlpha, UseRSLoRA: r.opts.UseRSLoRA,
			TargetModules: r.opts.LoRATargetModules, ModulesToSave: slices.Clone(r.opts.ModulesToSave), Bias: "none"}
		layers, err := parseLayers(r.opts.Layers, r.cfg.NumHiddenLayers)
		if err != nil {
			return err
		}
		for l := range r.cfg.NumHiddenLayers {
			if layers != nil && layers.has(l) {
				a.Config.LayersToTransform = append(a.Config.LayersToTransform, l)
			}
		}
	}
	byModule := map[string]*checkpoint.LoRA{}
	for i := range r.plan.lora {
		l := r.plan.lora[i]
		a.Modules = append(a.Modules, checkpoint.LoRA{Module: l.Module, Scale: l.Scale, Alpha: r.opts.LoRAAlpha})
	}
	for i := range a.Modules {
		byModule[a.Modules[i].Module] = &a.Modules[i]
	}
	for _, p := range r.trained() {
		x := p.data()
		v := tensor.View{Name: p.name, DType: tensor.F32, Shape: p.shape, Data: make([]byte, 4*len(x))}
		tensor.Encode32(v.Data, x, tensor.F32)
		if i := nonFinite(x); i >= 0 {
			return fmt.Errorf("tensor %q is %v at element %d", p.name, x[i], i)
		}
		if m, ok := strings.CutSuffix(p.name, loraA); ok {
			byModule[m].A = v
		} else if m, ok := strings.CutSuffix(p.name, loraB); ok {
			byModule[m].B = v
		} else {
			a.Saved = append(a.Saved, v)
			if p.name == model.EmbedTokens && r.cfg.TieWordEmbeddings {
				v.Name = model.LMHead // PEFT keeps a copy for each end; they were trained as one
				a.Saved = append(a.Saved, v)
				a.Config.ModulesToSave = bothEnds(a.Config.ModulesToSave)
			}
		}
	}
	return a.Write(ctx, dir)
}

// bothEnds adds the names of both embeddings to modules_to_save.
func bothEnds(list []string) []string {
	for _, name := range []string{"embed_tokens", "lm_head"} {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// modelFiles are the kinds of small files that belong to a model, beside its weights.
var modelFiles = []string{".json", ".jinja", ".model", ".txt", ".tiktoken"}

// CopyModelFiles copies what stands beside the weights of a model folder: configs,
// tokenizer, chat template, vocabulary table, licenses.
func CopyModelFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		upper := strings.ToUpper(name)
		belongs := slices.Contains(modelFiles, filepath.Ext(name)) || strings.HasPrefix(upper, "LICEN") || strings.HasPrefix(upper, "NOTICE") ||
			strings.HasPrefix(upper, "USE_POLICY")
		if !belongs || strings.HasSuffix(name, ".index.json") || slices.Contains(runFiles, name) {
			continue
		}
		info, err := os.Stat(filepath.Join(from, name)) // of what a link of the hub cache points to
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// runFiles are those of runs, which a model made from the model does not inherit.
var runFiles = []string{manifestFile, "trainer_state.json", "results.json", "all_results.json"}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func writeIndented(path string, v any) error {
	raw, err := orderedjson.Marshal(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// record is lep.json of a finished run.
type record struct {
	Lep     string                     `json:"lep"`
	Command string                     `json:"command"`
	Options *Options                   `json:"options"`
	Recipe  map[string]json.RawMessage `json:"recipe"`
	Inputs  map[string]string          `json:"inputs"` // file of the model → SHA-256
	Result  *Result                    `json:"result"`
}

const command = "train"

// publish writes the model or adapter beside the run's files and gives it its names, the
// config last: a folder is a model when all of it is there.
func (r *run) publish(ctx context.Context, result *Result) error {
	d, err := atomic.NewDir(filepath.Join(r.opts.Out, ".model"), true)
	if err != nil {
		return err
	}
	defer d.Abort()
	write := r.writeModel
	if r.opts.Train == LoRA {
		write = r.writeAdapter
	}
	if err := write(ctx, d.Path()); err != nil {
		return err
	}
	if err := r.card(result).WriteFile(d.Path()); err != nil {
		return err
	}
	inputs, err := r.files.FileDigests(ctx, "tokenizer.json")
	if err != nil {
		return err
	}
	rec := record{Lep: r.opts.Version, Command: command, Options: r.opts, Recipe: r.recipe, Inputs: inputs, Result: result}
	if err := writeIndented(filepath.Join(d.Path(), manifestFile), rec); err != nil {
		return err
	}
	if err := d.Commit(); err != nil {
		return err
	}
	return moveInto(d.Final(), r.opts.Out)
}

// lastFiles get their names after all others, in this order.
var lastFiles = []string{checkpoint.AdapterConfigFile, checkpoint.ConfigFile, manifestFile}

// moveInto moves the files of one folder into another. An old result there loses its config
// first and then its weights.
func moveInto(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := removeResult(to); err != nil {
		return err
	}
	var files, last []string
	for _, e := range entries {
		if !slices.Contains(lastFiles, e.Name()) {
			files = append(files, e.Name())
		}
	}
	for _, name := range lastFiles {
		if _, err := os.Stat(filepath.Join(from, name)); err == nil {
			last = append(last, name)
		}
	}
	for _, name := range append(files, last...) {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return os.Remove(from)
}

// removeResult removes the manifest, the configs and the weights of an earlier result.
func removeResult(dir string) error {
	for i := range lastFiles {
		if err := os.Remove(filepath.Join(dir, lastFiles[len(lastFiles)-1-i])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	weights, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		return err
	}
	index := filepath.Join(dir, "model.safetensors.index.json")
	for _, path := range append(weights, index) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
