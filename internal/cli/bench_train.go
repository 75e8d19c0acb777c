package cli

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"lep/linalg"
	"lep/model"
	"lep/tensor"
	"lep/train"
)

// trainBench is the shape of a model with random weights, and what its training reached.
type trainBench struct {
	Vocab          int     `json:"vocab"`
	Hidden         int     `json:"hidden"`
	Layers         int     `json:"layers"`
	Heads          int     `json:"heads"`
	KVHeads        int     `json:"kv_heads"`
	FFN            int     `json:"ffn"`
	Length         int     `json:"length"`
	Batch          int     `json:"batch"`
	Steps          int     `json:"steps"`
	EmbeddingsOnly bool    `json:"embeddings_only"`
	Recompute      bool    `json:"gradient_checkpointing"`
	Parameters     int64   `json:"params"`
	TokensPerS     float64 `json:"tokens_per_second"` // of the fastest step
	GFLOPS         float64 `json:"gflops"`
	BLAS           string  `json:"blas"`
	Precision      string  `json:"precision"`
}

func (a *app) benchTrainCmd() *cobra.Command {
	b := trainBench{Vocab: 8192, Hidden: 384, Layers: 6, Heads: 6, KVHeads: 2, FFN: 1024, Length: 512, Batch: 8, Steps: 6, Precision: string(train.Float32)}
	cmd := &cobra.Command{
		Use:     "train",
		Short:   "Training speed of a model of any shape with random weights",
		Example: "  lep bench train --embeddings-only\n  lep bench train --vocab 131072 --hidden 512 --layers 2 --heads 8 --kv 8 --ffn 1408 --batch 2 --steps 3",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := a.measureTraining(&b); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(b)
			}
			_, err := fmt.Fprintf(a.out, "%s parameters: %s tokens/s, %.0f GFLOPS with %s and %d threads\n", thousands(b.Parameters), thousands(int64(b.TokensPerS)),
				b.GFLOPS, b.BLAS, a.threads)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&b.Vocab, "vocab", b.Vocab, "vocab_size")
	f.IntVar(&b.Hidden, "hidden", b.Hidden, "hidden_size")
	f.IntVar(&b.Layers, "layers", b.Layers, "num_hidden_layers")
	f.IntVar(&b.Heads, "heads", b.Heads, "num_attention_heads")
	f.IntVar(&b.KVHeads, "kv", b.KVHeads, "num_key_value_heads")
	f.IntVar(&b.FFN, "ffn", b.FFN, "intermediate_size")
	f.IntVar(&b.Length, "seq", b.Length, "tokens of a row")
	f.IntVar(&b.Batch, "batch", b.Batch, "rows of a step")
	f.IntVar(&b.Steps, "steps", b.Steps, "steps; the fastest counts")
	f.BoolVar(&b.EmbeddingsOnly, "embeddings-only", false, "train embed_tokens and lm_head only")
	f.StringVar(&b.Precision, "precision", b.Precision, "of the large products: float32 or bf16")
	f.BoolVar(&b.Recompute, "gradient-checkpointing", false, "compute activations twice to save memory")
	return cmd
}

// randomWeights is a model.Source of uniform values with the deviation 0.02 that models start with.
type randomWeights map[string][]int

func (w randomWeights) Tensor(name string) (tensor.View, error) {
	shape, ok := w[name]
	if !ok {
		return tensor.View{}, fmt.Errorf("tensor %q: not in the model", name)
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n > 1<<24 {
		debug.FreeOSMemory() // the tensor before was copied; it would count as memory of the training
	}
	v := tensor.View{Name: name, DType: tensor.F32, Shape: shape, Data: make([]byte, 4*n)}
	r := rand.New(rand.NewPCG(uint64(len(name)), uint64(n)))
	for i := range n {
		binary.LittleEndian.PutUint32(v.Data[4*i:], math.Float32bits(float32(0.02*math.Sqrt(12)*(r.Float64()-0.5))))
	}
	return v, nil
}

func (a *app) measureTraining(b *trainBench) error {
	config, err := json.Marshal(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": b.Vocab, "hidden_size": b.Hidden,
		"intermediate_size": b.FFN, "num_hidden_layers": b.Layers, "num_attention_heads": b.Heads, "num_key_value_heads": b.KVHeads,
		"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": b.Length, "hidden_act": "silu", "tie_word_embeddings": false,
	})
	if err != nil {
		return err
	}
	cfg, err := model.ParseConfig(config)
	if err != nil {
		return usageError{err}
	}
	weights := randomWeights{}
	for _, p := range cfg.Parameters() {
		weights[p.Name] = p.Shape
	}
	opts := train.DefaultOptions()
	if opts.Precision, err = linalg.ParsePrecision(b.Precision); err != nil {
		return usageError{err}
	}
	opts.BLAS, opts.Threads = a.blas, a.threads
	lib, err := opts.OpenBLAS()
	if err != nil {
		return usageError{err}
	}
	opts.LRSchedulerType, opts.WarmupRatio, opts.Train = train.Constant, 0, train.All
	trainable := model.TrainAll
	if b.EmbeddingsOnly {
		trainable, opts.Train = model.TrainEmbeddings, train.Embeddings
	}
	m, err := model.New(cfg, weights, model.Options{BLAS: lib, Threads: a.threads, Trainable: trainable, Recompute: b.Recompute})
	if err != nil {
		return err
	}
	defer m.Close()
	debug.FreeOSMemory()
	t := train.NewTrainer(m, &opts, b.Steps)
	defer t.Close()
	r := rand.New(rand.NewPCG(1, 2))
	batch := &model.Batch{B: b.Batch, T: b.Length, InputIDs: make([]int32, b.Batch*b.Length)}
	for i := range batch.InputIDs {
		batch.InputIDs[i] = int32(r.IntN(b.Vocab))
	}
	best := math.Inf(1)
	for range b.Steps {
		start := time.Now()
		if _, err := t.Step([]*model.Batch{batch}); err != nil {
			return err
		}
		best = min(best, time.Since(start).Seconds())
	}
	b.Parameters, b.BLAS, b.TokensPerS = cfg.NumParameters(), lib.Name(), float64(b.Batch*b.Length)/best
	b.GFLOPS = t.FLOPs(b.Length) * b.TokensPerS / 1e9
	return nil
}
