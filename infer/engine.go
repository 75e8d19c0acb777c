package infer

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"lep/checkpoint"
	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/linalg"
	"lep/model"
	"lep/tokenizer"
)

// Options says how an engine runs.
type Options struct {
	Threads int    `yaml:"threads"` // 0: all processors
	BLAS    string `yaml:"blas"`    // auto, builtin, openblas, mkl, accelerate, gonum
	// Slots is how many sequences are generated at a time at most.
	Slots int `yaml:"slots"`
	// CacheBytes bounds the memory of keys and values; fewer slots are used if they don't fit.
	CacheBytes int64 `yaml:"cache_bytes"`
	// BatchTokens is how many tokens are scored, or read from prompts, in one pass.
	BatchTokens int `yaml:"batch_tokens"`
	// Window is the most tokens that a score looks at in one pass; 0 is the model's context.
	// A longer text is scored in windows that overlap by half: each token behind the first
	// window is scored with at least Window/2 tokens before it.
	Window int `yaml:"window"`
	// Precision is that of the products with more than a few tokens, which prompts and scores
	// are made of: float32, or bf16 where the processor has it. New tokens are computed in
	// float32 arithmetic in either, on weights as the file has them.
	Precision linalg.Precision `yaml:"precision"`
	// Int8 keeps weights in 8 bits (see model.Options).
	Int8 bool `yaml:"int8"`
}

// DefaultOptions returns settings for a machine of any size.
func DefaultOptions() Options {
	return Options{BLAS: "auto", Precision: linalg.Float32, Slots: 8, CacheBytes: 2 << 30, BatchTokens: 2048}
}

// Validate reports the first setting out of its range.
func (o Options) Validate() error {
	switch {
	case o.Slots < 1:
		return fmt.Errorf("slots is %d, want at least 1", o.Slots)
	case o.CacheBytes < 1:
		return fmt.Errorf("cache_bytes is %d, want at least 1", o.CacheBytes)
	case o.BatchTokens < 2:
		return fmt.Errorf("batch_tokens is %d, want at least 2", o.BatchTokens)
	case o.Window < 0 || o.Window == 1:
		return fmt.Errorf("window is %d, want 0 (the model's context) or at least 2", o.Window)
	case o.Threads < 0:
		return fmt.Errorf("threads is %d, want 0 (all processors) or more", o.Threads)
	}
	if _, err := linalg.ParsePrecision(string(o.Precision)); err != nil {
		return fmt.Errorf("precision: %w", err)
	}
	return nil
}

// Engine generates and scores with a native model. Its methods may be called from several
// goroutines: generations share their steps, scores wait for each other.
type Engine struct {
	opts  Options
	tok   *tokenizer.Tokenizer // nil: ids only
	files *checkpoint.Model    // nil if the caller owns the model
	gen   Generation
	model *model.Model

	mu              sync.Mutex // held by whoever uses the model or what follows
	waiting, active []*sequence
	slots           slots // of active sequences
	reading         slots // of NextLogProbs and of Score
}

// Generation is what a model folder says of generating: generation_config.json, and
// config.json where that is silent.
type Generation struct {
	EOS      []int32
	BOS      []int32
	Sampling model.Sampling // greedy unless do_sample is true
}

// Open opens a model folder or a hub id in the cache, with its tokenizer if it has one.
func Open(pathOrID string, opts Options) (*Engine, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	files, err := checkpoint.Open(pathOrID)
	if err != nil {
		return nil, err
	}
	e, err := open(files, opts)
	if err != nil {
		files.Close()
		return nil, fmt.Errorf("%s: %w", files.Dir(), err)
	}
	return e, nil
}

func open(files *checkpoint.Model, opts Options) (*Engine, error) {
	config, err := json.Marshal(files.Config())
	if err != nil {
		return nil, err
	}
	cfg, err := model.ParseConfig(config)
	if err != nil {
		return nil, err
	}
	threads := opts.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	blas, err := linalg.OpenPrecision(opts.BLAS, opts.Precision, threads)
	if err != nil {
		return nil, err
	}
	m, err := model.New(cfg, files, model.Options{BLAS: blas, Threads: threads, Int8: opts.Int8})
	if err != nil {
		return nil, err
	}
	gen, err := ReadGeneration(cfg, files)
	if err != nil {
		return nil, err
	}
	var tok *tokenizer.Tokenizer
	if hasTokenizer(files.Dir()) {
		if tok, err = tokenizer.Open(files.Dir()); err != nil {
			return nil, err
		}
	}
	if tok != nil && tok.Size() > cfg.VocabSize {
		return nil, hint.Errorf("the tokenizer was replaced but not the embeddings: run lep embed first",
			"tokenizer: %d tokens, the embeddings have %d rows (config.json vocab_size)", tok.Size(), cfg.VocabSize)
	}
	e := New(m, tok, gen, opts)
	e.files = files
	return e, nil
}

// hasTokenizer reports whether a folder has a file that looks like a tokenizer. A folder of
// weights alone is served by ids; a tokenizer that cannot be read is an error.
func hasTokenizer(dir string) bool {
	for _, pattern := range []string{"tokenizer.json", "tekken.json", "*.model", "*.tiktoken"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

// New returns an engine over a model that the caller has, for instance one in training.
// tok may be nil: then requests are ids only.
func New(m *model.Model, tok *tokenizer.Tokenizer, gen Generation, opts Options) *Engine {
	return &Engine{opts: opts, model: m, tok: tok, gen: gen}
}

// Close unmaps the files of an engine that Open made.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.files == nil {
		return nil
	}
	files := e.files
	e.model.Close()
	e.files, e.model = nil, nil
	return files.Close()
}

// Forget drops what the engine has computed of earlier prompts. Call it when the weights
// of a model given to New have changed, and not while Generate runs.
func (e *Engine) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slots, e.reading = slots{}, slots{}
}

// Model returns the model; use it only while no method of the engine runs.
func (e *Engine) Model() *model.Model { return e.model }

// Tokenizer returns the tokenizer, nil if there is none.
func (e *Engine) Tokenizer() *tokenizer.Tokenizer { return e.tok }

// Generation returns what the folder says of generating.
func (e *Engine) Generation() Generation { return e.gen }

// Context returns the most tokens of a sequence, prompt and answer together.
func (e *Engine) Context() int { return e.model.Config.MaxPositionEmbeddings }

// ReadGeneration reads what a model folder with a config says of generating.
func ReadGeneration(cfg *model.Config, files *checkpoint.Model) (Generation, error) {
	return readGeneration(cfg, files.GenerationConfig())
}

// readGeneration reads generation_config.json (nil if there is none); it wins over config.json.
func readGeneration(cfg *model.Config, o *orderedjson.Object) (Generation, error) {
	g := Generation{EOS: cfg.EOSTokenID, BOS: cfg.BOSTokenID}
	if o == nil {
		return g, g.check(cfg)
	}
	var eos, bos model.TokenIDs
	var sample bool
	sampling := model.Sampling{Temperature: 1, TopK: 50} // transformers' defaults when it samples
	for _, k := range []struct {
		key string
		to  any
	}{
		{"eos_token_id", &eos}, {"bos_token_id", &bos}, {"do_sample", &sample}, {"temperature", &sampling.Temperature},
		{"top_k", &sampling.TopK}, {"top_p", &sampling.TopP}, {"min_p", &sampling.MinP}, {"repetition_penalty", &sampling.RepetitionPenalty},
		{"no_repeat_ngram_size", &sampling.NoRepeatNgramSize},
	} {
		if _, err := o.Decode(k.key, k.to); err != nil {
			return g, fmt.Errorf("generation_config.json: %w", err)
		}
	}
	if eos != nil {
		g.EOS = eos
	}
	if bos != nil {
		g.BOS = bos
	}
	g.Sampling = model.Sampling{RepetitionPenalty: sampling.RepetitionPenalty, NoRepeatNgramSize: sampling.NoRepeatNgramSize}
	if sample {
		g.Sampling = sampling
	}
	if err := g.Sampling.Validate(); err != nil {
		return g, fmt.Errorf("generation_config.json: %w", err)
	}
	return g, g.check(cfg)
}

// check finds ids beyond the vocabulary: a text would never end by one.
func (g Generation) check(cfg *model.Config) error {
	for _, id := range slices.Concat(g.EOS, g.BOS) {
		if id < 0 || int(id) >= cfg.VocabSize {
			return hint.Errorf("the vocabulary was changed and these ids were not", "eos_token_id or bos_token_id is %d, want 0 to %d (vocab_size %d)", id, cfg.VocabSize-1, cfg.VocabSize)
		}
	}
	return nil
}

// errNoTokenizer is what text without a tokenizer gives.
var errNoTokenizer = hint.Errorf("give token ids, or put a tokenizer.json into the model folder", "the model has no tokenizer")

func (e *Engine) checkIDs(ids []int32) error {
	for at, id := range ids {
		if id < 0 || int(id) >= e.model.Config.VocabSize {
			return fmt.Errorf("token %d: id is %d, want 0 to %d (vocab_size %d)", at, id, e.model.Config.VocabSize-1, e.model.Config.VocabSize)
		}
	}
	return nil
}
