package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"lep/checkpoint"
	"lep/gguf"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/model"
	"lep/tensor"
	"lep/tokenizer"
)

// Options say what to export and how.
type Options struct {
	Model string `yaml:"model"` // folder or hub id
	Out   string `yaml:"out"`   // the .gguf file to write
	// Type is how matrices are stored: f32, f16, bf16, q8_0, or auto for that of the folder. Norms and
	// biases are always f32, as llama.cpp wants them.
	Type string `yaml:"type"`
	// AllowUnigram exports a Unigram tokenizer although llama.cpp drops its byte fallback.
	AllowUnigram bool `yaml:"allow_unigram"`
	Threads      int  `yaml:"-"` // 0 is all processors; it changes no byte
	Force        bool `yaml:"-"` // replace an existing file
}

// DefaultOptions returns an export that rounds nothing.
func DefaultOptions() Options { return Options{Type: "auto"} }

// Validate reports the first option that cannot be.
func (o Options) Validate() error {
	switch {
	case o.Model == "":
		return errors.New("model: no folder is named")
	case o.Out == "":
		return errors.New("out: no file is named")
	case o.Type == "auto":
		return nil
	}
	_, err := gguf.ParseType(o.Type)
	if err != nil {
		err = fmt.Errorf("%w, auto", err)
	}
	return err
}

// Result says what was written.
type Result struct {
	Out          string   `json:"out"`
	Bytes        int64    `json:"bytes"`
	Architecture string   `json:"architecture"`
	Type         string   `json:"type"`
	Tensors      int      `json:"tensors"`
	Tokens       int      `json:"tokens"`       // of the tokenizer
	PaddingRows  int      `json:"padding_rows"` // rows without a token
	Tokenizer    string   `json:"tokenizer"`    // tokenizer.ggml.model
	Pre          string   `json:"pre,omitempty"`
	Notes        []string `json:"notes,omitempty"`
}

// exporter is one run.
type exporter struct {
	opts  Options
	files *checkpoint.Model
	cfg   *model.Config
	tok   *tokenizer.Tokenizer
	w     *gguf.Writer
	arch  architecture
	typ   gguf.Type
	out   Result
	err   error // the first of set
}

// Run exports a folder. The file appears whole or not at all, and is read back before it gets its name.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	files, err := checkpoint.Open(opts.Model)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	e := &exporter{opts: opts, files: files}
	if err := e.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", files.Dir(), err)
	}
	if err := e.write(); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = hint.Wrap(err, "the disk is full: make room, or give an output on another disk")
		}
		return nil, err
	}
	return &e.out, nil
}

// prepare reads the folder and announces everything to the writer.
func (e *exporter) prepare(ctx context.Context) error {
	config, err := json.Marshal(e.files.Config())
	if err != nil {
		return err
	}
	if e.cfg, err = model.ParseConfig(config); err != nil {
		return err
	}
	if e.cfg.TieWordEmbeddings, err = e.files.Tied(); err != nil {
		return err
	}
	if e.tok, err = tokenizer.Open(e.files.Dir()); err != nil {
		return err
	}
	if e.arch, err = architectureOf(e.cfg); err != nil {
		return err
	}
	if e.typ, err = e.matrixType(); err != nil {
		return err
	}
	e.w = gguf.NewWriter(e.arch.name)
	e.out = Result{Out: e.opts.Out, Architecture: e.arch.name, Type: strings.ToLower(e.typ.String())}
	e.describe()
	e.hyperparameters()
	if err := e.vocabulary(); err != nil {
		return err
	}
	if e.err != nil {
		return e.err
	}
	return e.tensors(ctx)
}

// set announces a field; the first error is kept.
func (e *exporter) set(key string, value any) {
	if err := e.w.Set(key, value); err != nil && e.err == nil {
		e.err = err
	}
}

func (e *exporter) notef(format string, args ...any) {
	e.out.Notes = append(e.out.Notes, fmt.Sprintf(format, args...))
}

// matrixType returns the type of matrices: the one asked for, or that of the embeddings.
func (e *exporter) matrixType() (gguf.Type, error) {
	if e.opts.Type != "auto" {
		return gguf.ParseType(e.opts.Type)
	}
	v, err := e.files.EmbedTokens()
	if err != nil {
		return 0, err
	}
	switch v.DType {
	case tensor.BF16:
		return gguf.BF16, nil
	case tensor.F16:
		return gguf.F16, nil
	}
	return gguf.F32, nil
}

// fileTypes are llama.cpp's numbers for what most of a file is.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q8_0: 7, gguf.BF16: 32}

// describe sets what says which model this is.
func (e *exporter) describe() {
	e.set("general.type", "model")
	e.set("general.name", filepath.Base(e.files.Dir()))
	e.set("general.file_type", fileTypes[e.typ])
	e.set("general.quantization_version", uint32(2))
}

func (e *exporter) write() error {
	f, err := atomic.NewFile(e.opts.Out, e.opts.Force)
	if err != nil {
		return err
	}
	defer f.Abort()
	if e.out.Bytes, err = e.w.WriteTo(f); err != nil {
		return fmt.Errorf("%s: %w", e.opts.Out, err)
	}
	if err := check(f, e.out.Bytes, e.out.Tensors); err != nil {
		return fmt.Errorf("%s: what was written does not read back: %w", e.opts.Out, err)
	}
	return f.Commit()
}

// check reads the header of the finished file.
func check(r io.ReaderAt, size int64, tensors int) error {
	f, err := gguf.Read(r, size)
	if err != nil {
		return err
	}
	if len(f.Tensors) != tensors {
		return fmt.Errorf("%d tensors, want %d", len(f.Tensors), tensors)
	}
	tokens, _ := f.Field("tokenizer.ggml.tokens").([]string)
	i := slices.IndexFunc(f.Tensors, func(t gguf.Tensor) bool { return t.Name == "token_embd.weight" })
	if i < 0 || f.Tensors[i].Shape[0] != len(tokens) {
		return fmt.Errorf("%d tokens, but the embeddings have another number of rows", len(tokens))
	}
	return nil
}
