package model

import (
	"fmt"
	"runtime"
	"slices"

	"lep/internal/hint"
	"lep/linalg"
	"lep/tensor"
)

// Source gives the tensors of a checkpoint by name. The views must stay valid as long as
// the model is used: frozen weights are not copied.
type Source interface {
	Tensor(name string) (tensor.View, error)
}

// Options says how a model computes and which of its parameters are trained.
type Options struct {
	// BLAS does the large products; nil opens linalg's "auto" with Threads threads.
	BLAS linalg.BLAS
	// Threads works through everything else; 0 is all processors. It never changes a bit
	// of a result (whether BLAS's own threads may, its doc comment says).
	Threads int
	// Trainable chooses the trained parameters by name; nil trains nothing. LoRA terms are
	// always trained. See [TrainEmbeddings], [TrainAll], [TrainLayers].
	Trainable func(name string) bool
	// LoRA adds low-rank terms to linears.
	LoRA []LoRA
	// Recompute keeps of each layer only its input for the backward pass and computes the
	// rest again: a third more arithmetic for a fraction of the memory (Chen et al. 2016).
	Recompute bool
	// Int8 rounds frozen matrices to 8 bits with a scale for each 32 weights of a row when they
	// are loaded: half the memory and half the memory traffic of bfloat16 in generation, for
	// errors of about 0.4 % of a group's largest weight.
	Int8 bool
}

func (o Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// TrainAll trains every parameter.
func TrainAll(string) bool { return true }

// TrainEmbeddings trains embed_tokens and lm_head and nothing else.
func TrainEmbeddings(name string) bool { return name == EmbedTokens || name == LMHead }

// TrainLayers returns a choice of the parameters of the layers first to last-1.
func TrainLayers(first, last int) func(name string) bool {
	return func(name string) bool {
		var l int
		n, _ := fmt.Sscanf(name, "model.layers.%d.", &l)
		return n == 1 && l >= first && l < last
	}
}

// Param is a trained parameter. Data and Grad are row-major views of the model's arenas;
// writing to Data changes the model.
type Param struct {
	Name       string // as in the checkpoint; LoRA terms "MODULE.lora_A.weight"
	Shape      []int
	Data, Grad []float32
	// Touched marks the rows of embed_tokens whose gradient may be other than zero: those of the
	// tokens that [Model.Backward] has seen since it was cleared. Whoever sets a row of Grad to
	// zero may clear its mark. nil (any other parameter, and tied embeddings) means all rows.
	Touched []bool
}

// Model is a decoder with its weights. A Model does one thing at a time: its scratch memory
// is reused from call to call. Results of a method that are slices are valid until the next call.
type Model struct {
	Config *Config

	blas    linalg.BLAS  // large products
	inner   linalg.BLAS  // small products inside a worker: one thread
	crew    *linalg.Crew // for all other work; that of blas if it has one of this size
	own     bool         // the crew is nobody else's
	threads int

	embed, head *weight // the same when tied
	layers      []layer
	finalNorm   *weight

	trained     []Param
	values      []float32 // arena of trained parameters
	grads       []float32 // arena of gradients, in the order of values
	lowestTrain int       // lowest layer that has a trained parameter; L if none
	recompute   bool
	maxRank     int // of the LoRA terms

	normPlus   float32 // 1 for Gemma
	embedScale float32
	scoreScale float32
	act        activation

	invFreq       []float32
	ropeAttention float64
	table         ropeTable
	localFreq     []float32 // Gemma 3: of layers with a window
	localTable    ropeTable
	stretched     ropeTable
	stretchedLen  int

	work  workspace
	tasks tasks
}

// weight is one tensor of the model: trained (data and grad in the arenas), frozen in
// float32 (data, often the mapped file), in 16 bits (half, the mapped file) or in 8.
type weight struct {
	name       string
	rows, cols int
	data       []float32
	half       []uint16
	halfType   tensor.DType
	int8       []int8    // or frozen in 8 bits
	scales     []float32 // (rows, ceil(cols/32))
	grad       []float32 // nil when frozen
	touched    []bool    // see Param.Touched
}

// layer is one decoder layer.
type layer struct {
	linears                             [numLinears]linear
	inputNorm, midNorm                  *weight // before attention, before the MLP
	postAttentionNorm, postFeedforwardN *weight // Gemma 2: behind them; else nil
	qNorm, kNorm                        *weight // Qwen3, else nil
	window                              int
}

// New reads the weights of an architecture. Errors name the tensor with its shape and
// the shape that config.json gives.
func New(cfg *Config, src Source, opts Options) (*Model, error) {
	m := &Model{Config: cfg, blas: opts.BLAS, recompute: opts.Recompute, threads: opts.threads()}
	var err error
	if m.blas == nil {
		if m.blas, err = linalg.Open("auto", m.threads); err != nil {
			return nil, err
		}
	}
	if m.inner, err = linalg.Open("builtin", 1); err != nil {
		return nil, err
	}
	if m.act, err = parseActivation(cfg.HiddenAct); err != nil {
		return nil, err
	}
	if m.invFreq, m.ropeAttention, err = cfg.inverseFrequencies(0); err != nil {
		return nil, err
	}
	if m.localFreq, err = cfg.localFrequencies(); err != nil {
		return nil, err
	}
	if m.crew = linalg.CrewOf(m.blas); m.crew == nil || m.crew.Size() != m.threads {
		m.crew, m.own = linalg.NewCrew(m.threads), true
	}
	if err := m.load(src, opts); err != nil {
		m.Close()
		return nil, err
	}
	m.embedScale, m.scoreScale = 1, float32(1/sqrt(cfg.QueryPreAttnScalar))
	if cfg.family.gemma {
		m.normPlus, m.embedScale = 1, float32(sqrt(float64(cfg.HiddenSize)))
	}
	if m.own {
		runtime.AddCleanup(m, (*linalg.Crew).Stop, m.crew)
	}
	return m, nil
}

// Close ends the model's goroutines at once, rather than when the model is collected. The
// model cannot be used afterwards.
func (m *Model) Close() {
	if m.own {
		m.crew.Stop()
	}
}

// BLAS names the library that does the large products.
func (m *Model) BLAS() string { return m.blas.Name() }

// loader fills the arenas and the weights of one model.
type loader struct {
	src       Source
	cfg       *Config
	trainable func(string) bool
	byName    map[string]*weight
	next      int // where in the arena the next trained parameter goes
	values    []float32
	grads     []float32
	trained   []Param
}

func (m *Model) load(src Source, opts Options) error {
	cfg := m.Config
	trainable := opts.Trainable
	if trainable == nil {
		trainable = func(string) bool { return false }
	}
	loras, err := resolveLoRA(cfg, opts.LoRA)
	if err != nil {
		return err
	}
	var size int64
	for _, p := range cfg.Parameters() {
		if trainable(p.Name) {
			size += p.Elements()
		}
	}
	for _, l := range loras {
		size += l.elements()
	}
	ld := &loader{src: src, cfg: cfg, trainable: trainable, byName: map[string]*weight{}}
	// All shapes are checked before the arenas are allocated.
	for _, p := range cfg.Parameters() {
		v, err := src.Tensor(p.Name)
		if err != nil {
			if p.Name == LMHead {
				return hint.Errorf("a head that shares the embeddings needs \"tie_word_embeddings\": true in config.json",
					"config.json: tie_word_embeddings is false: %w", err)
			}
			return err
		}
		if err := p.Check(v); err != nil {
			return err
		}
	}
	ld.values, ld.grads = make([]float32, size), make([]float32, size)
	for _, p := range cfg.Parameters() {
		if err := ld.load(m, p, opts.Int8); err != nil {
			return err
		}
	}
	m.build(ld, loras)
	m.values, m.grads, m.trained = ld.values, ld.grads, ld.trained
	m.findLowestTrained()
	return nil
}

// Check compares a tensor of the file with the configuration.
func (p Parameter) Check(v tensor.View) error {
	if !slices.Equal(v.Shape, p.Shape) {
		return hint.Errorf("config.json and the weights are not of one model, or the vocabulary was changed in one of them only",
			"tensor %q: shape %v, want %v (config.json %s)", p.Name, v.Shape, p.Shape, p.Keys)
	}
	if !v.DType.IsFloat() {
		return fmt.Errorf("tensor %q: dtype %v, want F32, BF16, F16 or F64", p.Name, v.DType)
	}
	if int64(len(v.Data)) != p.Elements()*int64(v.DType.Size()) {
		return fmt.Errorf("tensor %q: %d bytes, want %d", p.Name, len(v.Data), p.Elements()*int64(v.DType.Size()))
	}
	return nil
}

func (ld *loader) load(m *Model, p Parameter, int8 bool) error {
	v, err := ld.src.Tensor(p.Name)
	if err != nil {
		return err
	}
	w := &weight{name: p.Name, rows: 1, cols: p.Shape[len(p.Shape)-1]}
	if len(p.Shape) == 2 {
		w.rows = p.Shape[0]
	}
	ld.byName[p.Name] = w
	switch {
	case ld.trainable(p.Name):
		ld.place(w, p.Shape)
		tensor.Decode32(w.data, v.Data, v.DType)
	case len(p.Shape) == 2 && int8:
		m.quantize(w, v)
	case len(p.Shape) == 2 && (v.DType == tensor.BF16 || v.DType == tensor.F16):
		if w.half = asUint16(v.Data); w.half == nil {
			w.data = v.Float32()
		}
		w.halfType = v.DType
	case v.DType == tensor.F32:
		if w.data = asFloat32(v.Data); w.data == nil {
			w.data = v.Float32()
		}
	default:
		w.data = v.Float32()
	}
	return nil
}

// place gives a trained weight its part of the arenas.
func (ld *loader) place(w *weight, shape []int) {
	n := w.rows * w.cols
	w.data = ld.values[ld.next : ld.next+n : ld.next+n]
	w.grad = ld.grads[ld.next : ld.next+n : ld.next+n]
	ld.next += n
	if w.name == EmbedTokens && !ld.cfg.TieWordEmbeddings {
		w.touched = make([]bool, w.rows)
	}
	ld.trained = append(ld.trained, Param{Name: w.name, Shape: slices.Clone(shape), Data: w.data, Grad: w.grad, Touched: w.touched})
}

// build wires the weights into layers.
func (m *Model) build(ld *loader, loras []loraSpec) {
	cfg := m.Config
	m.embed, m.finalNorm = ld.byName[EmbedTokens], ld.byName[Norm]
	m.head = ld.byName[LMHead]
	if cfg.TieWordEmbeddings {
		m.head = m.embed
	}
	m.layers = make([]layer, cfg.NumHiddenLayers)
	for l := range m.layers {
		ly := &m.layers[l]
		ly.window = cfg.Window(l)
		for i := range numLinears {
			path := modulePath(l, i)
			ly.linears[i] = linear{w: ld.byName[path+".weight"], bias: ld.byName[path+".bias"]}
		}
		at := func(name string) *weight { return ld.byName[fmt.Sprintf("model.layers.%d.%s.weight", l, name)] }
		ly.inputNorm, ly.midNorm = at("input_layernorm"), at("post_attention_layernorm")
		if cfg.family.gemma {
			ly.postAttentionNorm, ly.midNorm, ly.postFeedforwardN = ly.midNorm, at("pre_feedforward_layernorm"), at("post_feedforward_layernorm")
		}
		ly.qNorm, ly.kNorm = at("self_attn.q_norm"), at("self_attn.k_norm")
	}
	for _, s := range loras {
		m.maxRank = max(m.maxRank, s.Rank)
		m.layers[s.layer].linears[s.index].addLoRA(ld, s)
	}
}

// findLowestTrained finds where the backward pass may stop.
func (m *Model) findLowestTrained() {
	m.lowestTrain = len(m.layers)
	for l := len(m.layers) - 1; l >= 0; l-- {
		if m.layers[l].trained() {
			m.lowestTrain = l
		}
	}
	if m.embed.grad != nil {
		m.lowestTrain = 0
	}
}

func (ly *layer) trained() bool {
	for i := range ly.linears {
		if ly.linears[i].trained() {
			return true
		}
	}
	for _, w := range []*weight{ly.inputNorm, ly.midNorm, ly.postAttentionNorm, ly.postFeedforwardN, ly.qNorm, ly.kNorm} {
		if w != nil && w.grad != nil {
			return true
		}
	}
	return false
}

// Trained lists the trained parameters in the order of the forward pass, LoRA terms last.
// A tied embedding stands once, as model.embed_tokens.weight.
func (m *Model) Trained() []Param { return m.trained }

// Gradients returns the arena of all gradients, in the order of [Model.Trained].
func (m *Model) Gradients() []float32 { return m.grads }

// ZeroGradients sets all gradients to zero and clears the marks of rows. Rows of embed_tokens
// without a mark are not written: memory of a large vocabulary that no text uses stays unused.
func (m *Model) ZeroGradients() {
	for _, p := range m.trained {
		if p.Touched == nil {
			clear(p.Grad)
			continue
		}
		cols := p.Shape[len(p.Shape)-1]
		for r, touched := range p.Touched {
			if touched {
				clear(p.Grad[r*cols : (r+1)*cols])
			}
		}
		clear(p.Touched)
	}
}
