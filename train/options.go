package train

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"lep/corpus"
	"lep/internal/hint"
	"lep/linalg"
	"lep/model"
	"lep/tensor"
)

// Options says what is trained, on what and how. The names are those of the Hugging Face
// Trainer, of PEFT and of axolotl where they have one.
type Options struct {
	Model string   `yaml:"model" json:"model"`           // folder or hub id
	Data  []string `yaml:"data" json:"data"`             // see corpus.ParseSpec: files, folders, globs, weights
	Out   string   `yaml:"output_dir" json:"output_dir"` // run folder, which becomes the model folder at the end
	Task  Task     `yaml:"task" json:"task"`

	Train Set `yaml:"train" json:"train"`
	// Layers adds these layers to the set embeddings, and limits the sets all and lora to
	// them: "0-3,30-31". Empty: none and all respectively.
	Layers string `yaml:"layers" json:"layers"`
	// FreezeRowsBelow leaves the rows of embed_tokens and lm_head with a lower id as they are.
	FreezeRowsBelow int `yaml:"freeze_rows_below" json:"freeze_rows_below"`

	LoRAR             int      `yaml:"lora_r" json:"lora_r"`
	LoRAAlpha         float64  `yaml:"lora_alpha" json:"lora_alpha"`
	LoRATargetModules []string `yaml:"lora_target_modules" json:"lora_target_modules"`
	ModulesToSave     []string `yaml:"modules_to_save" json:"modules_to_save"`
	UseRSLoRA         bool     `yaml:"use_rslora" json:"use_rslora"`
	// Adapter is a PEFT adapter of the model whose training goes on; ranks, scales and modules are its own.
	Adapter string `yaml:"adapter" json:"adapter"`

	SequenceLen   int             `yaml:"sequence_len" json:"sequence_len"` // tokens of a block; 0: the model's context, at most 1024
	SamplePacking bool            `yaml:"sample_packing" json:"sample_packing"`
	Shuffle       bool            `yaml:"shuffle" json:"shuffle"`
	DocumentMask  bool            `yaml:"document_mask" json:"document_mask"` // documents of a block do not see each other
	BlockStart    corpus.Boundary `yaml:"block_start" json:"block_start"`
	AddBOS        bool            `yaml:"add_bos" json:"add_bos"` // pretrain: in front of a document, if the tokenizer has one
	AddEOS        bool            `yaml:"add_eos" json:"add_eos"`
	ShuffleTokens int             `yaml:"shuffle_tokens" json:"shuffle_tokens"` // blocks are shuffled among this many tokens
	CountedRows   int             `yaml:"counted_rows" json:"counted_rows"`     // rows of one epoch if known; 0 counts them

	Text corpus.Options `yaml:",inline" json:"text"` // text_field, max_bad_rows, …

	PerDeviceBatchSize        int     `yaml:"per_device_batch_size" json:"per_device_batch_size"` // rows of a pass
	GradientAccumulationSteps int     `yaml:"gradient_accumulation_steps" json:"gradient_accumulation_steps"`
	MaxSteps                  int     `yaml:"max_steps" json:"max_steps"`   // 0: NumEpochs decides
	NumEpochs                 float64 `yaml:"num_epochs" json:"num_epochs"` // passes over the data

	Optimizer       OptimizerName `yaml:"optimizer" json:"optimizer"`
	LearningRate    float64       `yaml:"learning_rate" json:"learning_rate"`
	EmbeddingLR     float64       `yaml:"embedding_lr" json:"embedding_lr"` // of embed_tokens and lm_head; 0: LearningRate
	LRSchedulerType Scheduler     `yaml:"lr_scheduler_type" json:"lr_scheduler_type"`
	WarmupSteps     int           `yaml:"warmup_steps" json:"warmup_steps"`
	WarmupRatio     float64       `yaml:"warmup_ratio" json:"warmup_ratio"` // of all steps; used where WarmupSteps is 0
	DecayRatio      float64       `yaml:"decay_ratio" json:"decay_ratio"`   // wsd: share of the steps that decay
	MinLRRatio      float64       `yaml:"min_lr_ratio" json:"min_lr_ratio"` // lowest rate behind the warm-up, by the peak
	WeightDecay     float64       `yaml:"weight_decay" json:"weight_decay"`
	AdamBeta1       float64       `yaml:"adam_beta1" json:"adam_beta1"`
	AdamBeta2       float64       `yaml:"adam_beta2" json:"adam_beta2"`
	AdamEpsilon     float64       `yaml:"adam_epsilon" json:"adam_epsilon"`
	Momentum        float64       `yaml:"momentum" json:"momentum"` // sgd
	MuonMomentum    float64       `yaml:"muon_momentum" json:"muon_momentum"`
	MaxGradNorm     float64       `yaml:"max_grad_norm" json:"max_grad_norm"` // 0: no clipping
	Seed            uint64        `yaml:"seed" json:"seed"`

	EvalData              []string `yaml:"eval_data" json:"eval_data"`
	EvalSteps             int      `yaml:"eval_steps" json:"eval_steps"`           // 0: at the end only
	MaxEvalTokens         int      `yaml:"max_eval_tokens" json:"max_eval_tokens"` // the first tokens of EvalData; 0: all
	EarlyStoppingPatience int      `yaml:"early_stopping_patience" json:"early_stopping_patience"`
	LoadBestModelAtEnd    bool     `yaml:"load_best_model_at_end" json:"load_best_model_at_end"`
	EvalTaskSteps         int      `yaml:"eval_task_steps" json:"eval_task_steps"` // of ScoreTasks; 0: before and after

	LoggingSteps         int     `yaml:"logging_steps" json:"logging_steps"`
	SaveSteps            int     `yaml:"save_steps" json:"save_steps"`     // 0: none by steps
	SaveMinutes          float64 `yaml:"save_minutes" json:"save_minutes"` // 0: none by time
	SaveTotalLimit       int     `yaml:"save_total_limit" json:"save_total_limit"`
	ResumeFromCheckpoint string  `yaml:"resume_from_checkpoint" json:"resume_from_checkpoint"` // auto, none or a folder
	TensorBoard          bool    `yaml:"tensorboard" json:"tensorboard"`

	OutputDType string `yaml:"output_dtype" json:"output_dtype"` // of the weights written; empty: as the model's

	Backend Backend `yaml:"backend" json:"backend"`
	Torch   Torch   `yaml:"torch" json:"torch"` // how the torch backend is started

	// GradientCheckpointing keeps of each layer only its input: a third more arithmetic for a fraction of the memory.
	GradientCheckpointing bool   `yaml:"gradient_checkpointing" json:"gradient_checkpointing"`
	Memory                int64  `yaml:"memory" json:"memory"` // bytes that may be used; 0: what the system has free
	Threads               int    `yaml:"threads" json:"threads"`
	BLAS                  string `yaml:"blas" json:"blas"`
	// Precision is that of the large products: float32, or bf16 where the processor has it.
	Precision Precision `yaml:"precision" json:"precision"`

	Force   bool           `yaml:"-" json:"-"` // replace what OutputDir holds
	Version string         `yaml:"-" json:"-"` // of lep, for lep.json
	Log     *slog.Logger   `yaml:"-" json:"-"` // nil discards
	OnStep  func(Progress) `yaml:"-" json:"-"` // called after each step, from Run's goroutine
	// ScoreTasks, if not nil, is asked before the first step, behind every EvalTaskSteps and at the end.
	ScoreTasks TaskScorer `yaml:"-" json:"-"`
}

// Task says what a row of data is.
type Task string

// The tasks.
const (
	Pretrain Task = "pretrain" // texts; the loss is on every token
	SFT      Task = "sft"      // conversations; the loss is on the assistant's tokens
)

// ParseTask reads a Task.
func ParseTask(s string) (Task, error) { return choice(s, Pretrain, SFT) }

// Set says which parameters are trained.
type Set string

// The sets.
const (
	Embeddings Set = "embeddings" // embed_tokens and lm_head, as the method's authors do
	NewRows    Set = "new_rows"   // of these only the rows of tokens that the vocabulary gained
	All        Set = "all"
	LoRA       Set = "lora" // low-rank terms, and ModulesToSave whole
)

// ParseSet reads a Set.
func ParseSet(s string) (Set, error) { return choice(s, Embeddings, NewRows, All, LoRA) }

// OptimizerName names an optimizer.
type OptimizerName string

// The optimizers.
const (
	AdamW OptimizerName = "adamw" // Loshchilov & Hutter 2019: decay apart from the gradient
	SGD   OptimizerName = "sgd"
	// Muon is for the matrices of the layers; all else gets AdamW, with the same learning rate.
	Muon OptimizerName = "muon"
)

// choice finds s among the values of a setting.
func choice[T ~string](s string, list ...T) (T, error) {
	if slices.Contains(list, T(s)) {
		return T(s), nil
	}
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}
	return "", fmt.Errorf("%q, want one of %s", s, strings.Join(names, ", "))
}

// DefaultOptions returns settings for the continued pre-training of embeddings.
func DefaultOptions() Options {
	return Options{
		Task: Pretrain, Train: Embeddings,
		LoRAR: 16, LoRAAlpha: 32, LoRATargetModules: slices.Clone(model.Modules),
		SamplePacking: true, Shuffle: true, DocumentMask: true, BlockStart: corpus.AtLine,
		AddBOS: true, AddEOS: true, ShuffleTokens: 1 << 23, Text: corpus.DefaultOptions(),
		PerDeviceBatchSize: 8, GradientAccumulationSteps: 1, NumEpochs: 1,
		Optimizer: AdamW, LearningRate: 1e-4, LRSchedulerType: Cosine, WarmupRatio: 0.03, DecayRatio: 0.2, WeightDecay: 0.1,
		AdamBeta1: 0.9, AdamBeta2: 0.95, AdamEpsilon: 1e-8, MuonMomentum: 0.95, MaxGradNorm: 1, Seed: 1,
		MaxEvalTokens: 1 << 18, LoadBestModelAtEnd: true,
		Backend: Native, Torch: Torch{NNodes: 1, Device: AnyDevice, Attention: "sdpa"},
		LoggingSteps: 1, SaveMinutes: 30, SaveTotalLimit: 2, ResumeFromCheckpoint: "auto", BLAS: "auto", Precision: Float32,
	}
}

// Validate reports the first setting that cannot be, and settings that exclude each other.
func (o *Options) Validate() error {
	for _, check := range []func() error{o.checkNames, o.checkCounts, o.checkRates, o.checkSets, o.checkPrecision} {
		if err := check(); err != nil {
			return err
		}
	}
	if err := o.Text.Validate(); err != nil {
		return err
	}
	if o.Model == "" || o.Out == "" {
		return errors.New("model and output_dir: want both")
	}
	if len(o.Data) == 0 {
		return errors.New("data: no files given")
	}
	if o.ScoreTasks != nil && o.Backend != Native {
		return fmt.Errorf("backend is %s: tasks are scored during training by backend %s alone", o.Backend, Native)
	}
	return nil
}

func (o *Options) checkNames() error {
	_, task := ParseTask(string(o.Task))
	_, set := ParseSet(string(o.Train))
	_, opt := choice(string(o.Optimizer), AdamW, SGD, Muon)
	_, sched := ParseScheduler(string(o.LRSchedulerType))
	_, start := corpus.ParseBoundary(string(o.BlockStart))
	_, backend := ParseBackend(string(o.Backend))
	_, precision := linalg.ParsePrecision(string(o.Precision))
	for _, c := range []struct {
		key string
		err error
	}{{"task", task}, {"train", set}, {"optimizer", opt}, {"lr_scheduler_type", sched}, {"block_start", start}, {"backend", backend}, {"precision", precision}} {
		if c.err != nil {
			return fmt.Errorf("%s: %w", c.key, c.err)
		}
	}
	if o.OutputDType != "" {
		if d, err := tensor.ParseDType(o.OutputDType); err != nil || !d.IsFloat() {
			return fmt.Errorf("output_dtype: %q, want F32, BF16, F16 or nothing", o.OutputDType)
		}
	}
	return nil
}

func (o *Options) checkCounts() error {
	for _, c := range []struct {
		key      string
		got, low int
	}{
		{"sequence_len", o.SequenceLen, 0}, {"per_device_batch_size", o.PerDeviceBatchSize, 1},
		{"gradient_accumulation_steps", o.GradientAccumulationSteps, 1}, {"max_steps", o.MaxSteps, 0},
		{"warmup_steps", o.WarmupSteps, 0}, {"eval_steps", o.EvalSteps, 0}, {"eval_task_steps", o.EvalTaskSteps, 0}, {"max_eval_tokens", o.MaxEvalTokens, 0},
		{"early_stopping_patience", o.EarlyStoppingPatience, 0}, {"logging_steps", o.LoggingSteps, 1}, {"save_steps", o.SaveSteps, 0},
		{"save_total_limit", o.SaveTotalLimit, 1}, {"shuffle_tokens", o.ShuffleTokens, 1}, {"freeze_rows_below", o.FreezeRowsBelow, 0},
		{"counted_rows", o.CountedRows, 0}, {"threads", o.Threads, 0},
	} {
		if c.got < c.low || c.got > math.MaxInt32 {
			return fmt.Errorf("%s is %d, want at least %d", c.key, c.got, c.low)
		}
	}
	if o.SequenceLen == 1 {
		return errors.New("sequence_len is 1, want at least 2 (or 0, the model's context up to 1024)")
	}
	if o.MaxSteps == 0 && !(o.NumEpochs > 0 && o.NumEpochs < 1e6) {
		return fmt.Errorf("num_epochs is %v, want a number above 0 (or max_steps)", o.NumEpochs)
	}
	if o.EarlyStoppingPatience > 0 && (o.EvalSteps == 0 || len(o.EvalData) == 0) {
		return errors.New("early_stopping_patience needs eval_data and eval_steps")
	}
	return nil
}

func (o *Options) checkRates() error {
	within := func(x, low, high float64) bool { return x >= low && x <= high } // false for NaN
	for _, c := range []struct {
		key            string
		got, low, high float64
	}{
		{"learning_rate", o.LearningRate, 0, 1e3}, {"embedding_lr", o.EmbeddingLR, 0, 1e3}, {"warmup_ratio", o.WarmupRatio, 0, 1},
		{"decay_ratio", o.DecayRatio, 0, 1}, {"min_lr_ratio", o.MinLRRatio, 0, 1}, {"weight_decay", o.WeightDecay, 0, 1e3},
		{"adam_beta1", o.AdamBeta1, 0, 1 - 1e-9}, {"adam_beta2", o.AdamBeta2, 0, 1 - 1e-9}, {"adam_epsilon", o.AdamEpsilon, 0, 1},
		{"momentum", o.Momentum, 0, 1 - 1e-9}, {"muon_momentum", o.MuonMomentum, 0, 1 - 1e-9}, {"max_grad_norm", o.MaxGradNorm, 0, math.MaxFloat32}, {"save_minutes", o.SaveMinutes, 0, 1e6},
	} {
		if !within(c.got, c.low, c.high) {
			return fmt.Errorf("%s is %v, want %v to %v", c.key, c.got, c.low, c.high)
		}
	}
	return nil
}

func (o *Options) checkSets() error {
	if o.Train == LoRA && o.Adapter == "" {
		switch {
		case o.LoRAR < 1:
			return fmt.Errorf("lora_r is %d, want at least 1", o.LoRAR)
		case !(o.LoRAAlpha > 0):
			return fmt.Errorf("lora_alpha is %v, want a number above 0", o.LoRAAlpha)
		case len(o.LoRATargetModules) == 0:
			return errors.New("lora_target_modules: none given")
		}
	}
	if o.Train != LoRA && o.Adapter != "" {
		return hint.Errorf("give train: lora, or merge the adapter first: lep merge", "adapter: train is %q", o.Train)
	}
	if o.Backend == PyTorch && o.Optimizer == Muon {
		return fmt.Errorf("optimizer is %s: backend %s has it, %s does not", Muon, Native, PyTorch)
	}
	if o.Backend == PyTorch {
		if err := o.Torch.validate(); err != nil {
			return err
		}
	}
	if o.FreezeRowsBelow > 0 && o.Train == NewRows {
		return errors.New("freeze_rows_below: train: new_rows finds the rows itself")
	}
	return nil
}

func (o *Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// layerRange is a choice of layers: nil is all.
type layerRange map[int]bool

// parseLayers reads "0-3,30-31" for a model of n layers.
func parseLayers(s string, n int) (layerRange, error) {
	if s == "" {
		return nil, nil
	}
	r := layerRange{}
	for _, part := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 0 || b < a || b >= n {
			return nil, fmt.Errorf("layers: %q, want ranges such as 0-3,%d within 0 to %d", part, n-1, n-1)
		}
		for l := a; l <= b; l++ {
			r[l] = true
		}
	}
	return r, nil
}

func (r layerRange) has(l int) bool { return r == nil || r[l] }
