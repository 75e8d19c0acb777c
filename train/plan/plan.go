package plan

import (
	"errors"
	"fmt"
	"math"

	"lep/internal/hint"
	"lep/model"
	"lep/train"
)

// Options say what is trained on what.
type Options struct {
	Train   train.Options
	Cluster Cluster
	Tokens  float64 // to train on in all; 0: MaxSteps of Train, or nothing is said of hours
	Price   float64 // dollars for a GPU and hour; 0: about what clouds ask

	logits float64 // elements held at a time; 0: as the driver does
}

// Plan is what a training takes.
type Plan struct {
	Cluster    Cluster   `json:"cluster"`
	Parameters int64     `json:"parameters"`
	Trained    int64     `json:"trained_parameters"`
	Set        train.Set `json:"train"`

	SequenceLen int  `json:"sequence_len"`
	RowsPerGPU  int  `json:"rows_per_gpu"` // of a pass
	Passes      int  `json:"passes"`       // of a step
	Recompute   bool `json:"gradient_checkpointing"`
	Compile     bool `json:"compile"`

	Memory []Part `json:"memory"` // of one GPU
	Total  int64  `json:"total_bytes"`
	Usable int64  `json:"usable_bytes"`
	Fits   bool   `json:"fits"`

	TokensPerStep   float64 `json:"tokens_per_step"`
	StepSeconds     float64 `json:"step_seconds"`
	Waiting         float64 `json:"waiting_share"` // of a step, for other GPUs
	TokensPerSecond float64 `json:"tokens_per_second"`
	PerGPU          float64 `json:"tokens_per_second_per_gpu"`
	MFU             float64 `json:"mfu"` // model FLOPS utilisation: recomputed operations do not count

	Tokens float64 `json:"tokens"`
	Hours  float64 `json:"hours"`
	Price  float64 `json:"price_per_gpu_hour"`
	Cost   float64 `json:"cost"` // dollars

	Advice []string `json:"advice"`
}

// Foresee plans a training of a model of a shape.
func Foresee(cfg *model.Config, o Options) (*Plan, error) {
	t := o.Train
	switch {
	case o.Cluster.Ranks() < 1:
		return nil, errors.New("no GPUs")
	case o.Tokens < 0 || math.IsNaN(o.Tokens) || o.Price < 0:
		return nil, fmt.Errorf("tokens are %g and the price is %g, want 0 or more", o.Tokens, o.Price)
	case t.PerDeviceBatchSize < 1 || t.GradientAccumulationSteps < 1:
		return nil, fmt.Errorf("per_device_batch_size is %d and gradient_accumulation_steps %d, want at least 1", t.PerDeviceBatchSize, t.GradientAccumulationSteps)
	}
	if t.SequenceLen == 0 {
		t.SequenceLen = min(1024, cfg.MaxPositionEmbeddings)
	}
	t.Memory, t.Threads = math.MaxInt64, 1 // this machine's memory does not matter
	f, err := train.Foresee(t, cfg)
	if err != nil {
		return nil, err
	}
	w := &work{opts: o, train: t, flops: f.FLOPsPerToken, trained: float64(f.Trained) / 4}
	optimizer := 8.0
	if t.Optimizer == train.SGD {
		optimizer = 4 * boolean(t.Momentum > 0)
	}
	w.shape = newShape(cfg, trainable(t), w.trained, float64(f.Frozen)/2, optimizer, t.Train == train.LoRA, t.SequenceLen)
	if w.opts.logits == 0 {
		w.opts.logits = logitsElements
	}
	rows := t.PerDeviceBatchSize * t.GradientAccumulationSteps
	p := w.try(o.Cluster, t.PerDeviceBatchSize, rows, t.GradientCheckpointing)
	p.Parameters = int64(w.shape.frozen + w.trained - w.terms())
	p.Advice = []string{}
	if ranks := o.Cluster.Ranks(); t.PerDeviceBatchSize < ranks {
		p.Advice = append(p.Advice, fmt.Sprintf("per_device_batch_size is %d, of all GPUs together: it must be at least %d; figures are for %d",
			t.PerDeviceBatchSize, ranks, p.RowsPerGPU*ranks))
	}
	if !p.Fits {
		p.Advice = append(p.Advice, w.advise(p, rows)...)
	} else if p.Waiting > 0.3 {
		p.Advice = append(p.Advice, fmt.Sprintf("%.0f %% of the time goes into waiting for other GPUs: more rows in a pass (per_device_batch_size), fewer passes", 100*p.Waiting))
	}
	return p, nil
}

// trainable tells which of the model's own parameters a set trains.
func trainable(t train.Options) func(string) bool {
	switch t.Train {
	case train.All:
		return func(string) bool { return true }
	case train.LoRA:
		saved := map[string]bool{}
		for _, m := range t.ModulesToSave {
			saved[m] = true
		}
		return func(name string) bool {
			return name == model.EmbedTokens && saved["embed_tokens"] || name == model.LMHead && saved["lm_head"]
		}
	}
	return model.TrainEmbeddings
}

// work is a training whose settings are tried.
type work struct {
	opts    Options
	train   train.Options
	shape   shape
	flops   float64 // for one token, nothing recomputed
	trained float64
}

// terms are the elements of low-rank terms, which are no parameters of the model.
func (w *work) terms() float64 {
	if w.train.Train != train.LoRA {
		return 0
	}
	own := w.shape.trainedLayers
	if w.shape.trainsEmbed {
		own += w.shape.embed
	}
	if w.shape.trainsHead {
		own += w.shape.head
	}
	return w.trained - own
}

// try plans a step of rows rows, of which batch go through all GPUs together in a pass.
func (w *work) try(c Cluster, batch, rows int, recompute bool) *Plan {
	ranks := c.Ranks()
	p := &Plan{Cluster: c, Trained: int64(w.trained), Set: w.train.Train, SequenceLen: w.train.SequenceLen, Recompute: recompute, Compile: w.train.Torch.Compile,
		RowsPerGPU: (max(batch, ranks) + ranks - 1) / ranks, Price: w.opts.Price, Tokens: w.opts.Tokens}
	p.Passes = max(1, rows/(p.RowsPerGPU*ranks))
	tokens := float64(p.RowsPerGPU * p.SequenceLen)
	p.Memory = w.shape.memory(tokens, p.Passes, ranks, recompute, w.opts.logits)
	p.Total, p.Usable = total(p.Memory), c.GPU.Memory
	p.Fits = p.Total <= p.Usable

	t := w.shape.step(c, tokens, p.Passes, w.flops, recompute, p.Compile)
	p.StepSeconds, p.Waiting = t.seconds(), t.exposed/t.seconds()
	p.TokensPerStep = tokens * float64(p.Passes*ranks)
	p.TokensPerSecond = p.TokensPerStep / p.StepSeconds
	p.PerGPU = p.TokensPerSecond / float64(ranks)
	p.MFU = p.PerGPU * w.flops / c.GPU.FLOPS
	if p.Tokens == 0 {
		p.Tokens = float64(rows*p.SequenceLen) * float64(w.train.MaxSteps)
	}
	if p.Price == 0 {
		p.Price = c.GPU.Price
	}
	p.Hours = p.Tokens / p.TokensPerSecond / 3600
	p.Cost = p.Hours * float64(ranks) * p.Price
	return p
}

// advise looks for settings that fit, the mildest change first.
func (w *work) advise(p *Plan, rows int) []string {
	var out []string
	c, ranks := p.Cluster, p.Cluster.Ranks()
	for b := p.RowsPerGPU; b >= 1 && len(out) == 0; b /= 2 {
		for _, again := range []bool{p.Recompute, true} {
			if q := w.try(c, b*ranks, rows, again); q.Fits {
				out = append(out, settings(q, p))
				break
			}
		}
	}
	for n := 2; n <= 64 && len(out) == 0; n *= 2 {
		more := c
		more.Nodes *= n
		if more.Count < 8 {
			more.Count, more.Nodes = min(8, c.Count*n), max(1, c.Nodes*c.Count*n/8)
		}
		if q := w.try(more, more.Ranks(), max(rows, more.Ranks()), true); q.Fits {
			out = append(out, fmt.Sprintf("%s with gradient_checkpointing: true, %.1f of %.1f GB a GPU", more, gb(q.Total), gb(q.Usable)))
		}
	}
	for _, g := range gpus {
		larger := Cluster{GPU: g, Count: c.Count, Nodes: c.Nodes}
		if g.Memory > c.GPU.Memory && w.try(larger, ranks*p.RowsPerGPU, rows, p.Recompute).Fits {
			out = append(out, fmt.Sprintf("the same on %s", larger))
			break
		}
	}
	if w.train.Train == train.All {
		out = append(out, "train: embeddings or lora: the frozen weights need neither gradients nor an optimizer's state")
	}
	if len(out) == 0 {
		out = append(out, "a smaller model, shorter rows (sequence_len), or fewer trained parameters")
	}
	return out
}

func settings(q, p *Plan) string {
	text := ""
	if q.RowsPerGPU != p.RowsPerGPU {
		text = fmt.Sprintf("per_device_batch_size: %d with gradient_accumulation_steps: %d", q.RowsPerGPU*q.Cluster.Ranks(), q.Passes)
	}
	if q.Recompute != p.Recompute {
		if text != "" {
			text += " and "
		}
		text += "gradient_checkpointing: true"
	}
	return fmt.Sprintf("%s: %.1f of %.1f GB, %.0f tokens/s", text, gb(q.Total), gb(q.Usable), q.TokensPerSecond)
}

func gb(n int64) float64 { return float64(n) / 1e9 }

// Err returns an error where the plan does not fit, with the advice as its hint.
func (p *Plan) Err() error {
	if p.Fits {
		return nil
	}
	return hint.Errorf(p.Advice[len(p.Advice)-1], "%.1f GB needed on each GPU of %s, %.1f GB there", gb(p.Total), p.Cluster, gb(p.Usable))
}
