package model

// workspace is the memory of a pass, cut from one arena. It grows when a batch is larger
// than all before it and is reused else, so that a step allocates nothing.
type workspace struct {
	arena []float32
	key   workspaceKey

	acts    []layerActs // one a layer, or one for all without a backward pass or with recomputation
	inputs  [][]float32 // (N, D) input of each layer, and of the final norm as the last
	normed  []float32   // (N, D)
	ffn     []float32   // (N, F)
	hidden  []float32   // (N, D) output of the final norm, of scored tokens only in training
	rstd    []float32   // (N)
	partial []float32   // sums of parts, added up in order

	dx, dnormed, dctx, dqkv, dbranch []float32
	ffn2                             []float32 // (N, F), for LoRA on down_proj
	low, lowGrad                     []float32 // (N, r)

	seqs   sequences
	scores []attentionScratch // one a worker
	rows   []int32            // scored tokens
	logits []float32          // (chunk, V)
	nll    []float64          // (N)
	ids    []int32            // tokens and spans of Extend
	spans  []Span
	tile   []float32 // widened weights
	vector []float32 // products of few rows, to be added
	skinny []float32 // rows of x of a skinny product
}

// attentionScratch is one worker's block of scores.
type attentionScratch struct{ p, dp, capped []float32 }

type workspaceKey struct {
	n, t     int
	backward bool
}

// tasks are the long-lived structs that workers run.
type tasks struct {
	norm      normTask
	attention attentionTask
	row       rowTask
	copy      copyTask
	bias      biasTask
	gather    gatherTask
	glu       gluTask
	widen     widenTask
	loss      lossTask
	embed     embedTask
	skinny    skinnyTask
	vector    vectorTask
	cached    cachedTask
}

// rowsPerPart is how many rows one part of a row-wise task has: enough work to be
// worth handing out, few enough rows to balance.
func rowsPerPart(cols int) int { return max(1, 16384/max(cols, 1)) }

// parts returns how many parts of size rows cover n rows.
func parts(n, size int) int { return (n + size - 1) / size }

// take cuts slices from an arena; with a nil arena it only counts.
type take struct {
	arena []float32
	used  int
}

func (t *take) floats(n int) []float32 {
	from := t.used
	t.used += (n + 15) &^ 15 // whole cache lines
	if t.arena == nil {
		return nil
	}
	return t.arena[from : from+n : from+n]
}

// reserve makes the workspace fit n tokens in rows of t.
func (m *Model) reserve(n, t int, backward bool) {
	w := &m.work
	key := workspaceKey{n, t, backward}
	if w.key == key {
		return
	}
	var count take
	m.layout(&count, key)
	if len(w.arena) < count.used {
		w.arena = make([]float32, count.used)
	}
	m.layout(&take{arena: w.arena}, key)
	w.key = key
}

// layout cuts the arena.
func (m *Model) layout(t *take, key workspaceKey) {
	cfg, w, n := m.Config, &m.work, key.n
	d, f, hd, layers := cfg.HiddenSize, cfg.IntermediateSize, cfg.HeadDim, cfg.NumHiddenLayers
	heads := cfg.NumAttentionHeads + cfg.NumKeyValueHeads
	kept := 1
	w.inputs = grow(w.inputs, layers+1)
	if key.backward {
		for l := range w.inputs {
			w.inputs[l] = t.floats(n * d)
		}
		if !m.recompute {
			kept = layers
		}
	} else {
		x := t.floats(n * d)
		for l := range w.inputs {
			w.inputs[l] = x
		}
	}
	w.acts = grow(w.acts, kept)
	for i := range w.acts {
		a := layerActs{rstd: t.floats(n), midRstd: t.floats(n), qkv: t.floats(n * m.qkvWidth()),
			ctx: t.floats(n * cfg.NumAttentionHeads * hd), lse: t.floats(n * cfg.NumAttentionHeads),
			gate: t.floats(n * f), up: t.floats(n * f)}
		if key.backward {
			a.mid = t.floats(n * d)
		}
		if cfg.family.qkNorm {
			a.raw, a.headRstd = t.floats(n*heads*hd), t.floats(n*heads)
		}
		if cfg.family.gemma {
			a.attnOut, a.mlpOut, a.attnRstd, a.mlpRstd = t.floats(n*d), t.floats(n*d), t.floats(n), t.floats(n)
		}
		w.acts[i] = a
	}
	w.normed, w.ffn, w.hidden, w.rstd = t.floats(n*d), t.floats(n*f), t.floats(n*d), t.floats(n)
	rank := m.maxRank
	w.low = t.floats(n * rank)
	if key.backward {
		w.dx, w.dnormed, w.dqkv = t.floats(n*d), t.floats(n*d), t.floats(n*m.qkvWidth())
		w.dctx = t.floats(n * cfg.NumAttentionHeads * hd)
		w.lowGrad = t.floats(n * rank)
		if rank > 0 {
			w.ffn2 = t.floats(n * f)
		}
		if cfg.family.gemma {
			w.dbranch = t.floats(n * d)
		}
		w.partial = t.floats(max(parts(n, rowsPerPart(d))*d, parts(n, rowsPerPart(m.qkvWidth()))*2*hd))
	}
	w.scores = grow(w.scores, m.threads)
	if key.t > 0 { // attention over a batch
		block := min(queryBlock, key.t) * key.t
		for i := range w.scores {
			s := attentionScratch{p: t.floats(block)}
			if key.backward {
				s.dp = t.floats(block)
				if cfg.AttnLogitSoftcapping > 0 {
					s.capped = t.floats(block)
				}
			}
			w.scores[i] = s
		}
	}
}

// Memory is what a model takes, in bytes.
type Memory struct {
	Frozen      int64 // frozen weights at 2 bytes an element; mapped, so the system may drop them
	Trained     int64 // trained parameters in float32
	Gradients   int64
	Activations int64 // of one pass, the chunk of logits included
}

// Estimate foretells the memory of a model on batches of b x t tokens, before it is loaded.
// An optimizer's state comes on top: AdamW's is twice Trained.
func Estimate(cfg *Config, opts Options, b, t int) (Memory, error) {
	loras, err := resolveLoRA(cfg, opts.LoRA)
	if err != nil {
		return Memory{}, err
	}
	m := &Model{Config: cfg, recompute: opts.Recompute, threads: opts.threads()}
	var e Memory
	for _, l := range loras {
		e.Trained += 4 * l.elements()
		m.maxRank = max(m.maxRank, l.Rank)
	}
	for _, p := range cfg.Parameters() {
		if opts.Trainable != nil && opts.Trainable(p.Name) {
			e.Trained += 4 * p.Elements()
		} else {
			e.Frozen += 2 * p.Elements()
		}
	}
	e.Gradients = e.Trained
	var count take
	m.layout(&count, workspaceKey{b * t, t, e.Trained > 0})
	e.Activations = 4 * (int64(count.used) + int64(m.lossChunk(b*t))*int64(cfg.VocabSize))
	return e, nil
}
