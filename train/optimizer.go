package train

import (
	"math"

	"lep/model"
)

// segment is a contiguous part of a parameter that is updated: all of it, or some rows.
type segment struct {
	param      int // index among the model's trained parameters
	p, g, m, v []float32
	embedding  bool // has embedding_lr
	decay      bool
	rows       int // of a matrix that Muon updates whole; 0 elsewhere
	// Of a parameter with Touched marks: those of its rows, and which rows were ever touched.
	// The moments of the others are zero, so that only decay moves them.
	cols          int
	touched, live []bool
}

// optimizer updates parameters in place and holds their moments. Work is cut into chunks
// of fixed size and sums are added in their order: the number of threads changes no bit.
type optimizer struct {
	opts        *Options
	segments    []segment
	chunks      []chunk
	muon        *muon     // nil: another optimizer
	partial     []float64 // sums of squares by chunk
	crew        *crew
	partly      bool // some gradients are of rows that stay
	t           int  // updates done
	now         update
	norm, apply func(i int)
}

// chunk is a part of a segment that one worker does at a time.
type chunk struct{ segment, from, to int }

const chunkSize = 1 << 15

// update is what all chunks of one step share.
type update struct {
	coef            float32 // of clipping
	lr, embeddingLR float64
	correct         float64 // 1 - beta1^t
	root            float64 // sqrt(1 - beta2^t)
}

// newOptimizer prepares the moments. Decay is for tensors of two dimensions only: neither
// norms nor biases are drawn to zero. Of the embeddings, only the rows in rows are updated;
// nil is all.
func newOptimizer(params []model.Param, rows []rowRange, opts *Options, crew *crew) *optimizer {
	o := &optimizer{opts: opts, crew: crew, partly: rows != nil}
	largest, side := 0, 0 // of Muon's matrices
	for i, p := range params {
		s := segment{param: i, decay: len(p.Shape) == 2, embedding: p.Name == model.EmbedTokens || p.Name == model.LMHead}
		cols := p.Shape[len(p.Shape)-1]
		if opts.Optimizer == Muon && len(p.Shape) == 2 && !s.embedding {
			s.rows, s.cols = p.Shape[0], cols
			largest, side = max(largest, len(p.Data)), max(side, min(s.rows, cols))
		}
		ranges := rows
		if !s.embedding || rows == nil {
			ranges = []rowRange{{0, len(p.Data) / cols}}
		}
		for _, r := range ranges {
			s.p, s.g = p.Data[r.from*cols:r.to*cols], p.Grad[r.from*cols:r.to*cols]
			size := chunkSize
			if p.Touched != nil {
				s.cols, s.touched, s.live = cols, p.Touched[r.from:r.to], make([]bool, r.to-r.from)
				if opts.Optimizer != SGD && opts.AdamEpsilon == 0 { // then it divides 0 by 0 where nothing was seen, as torch does
					for i := range s.live {
						s.live[i] = true
					}
				}
				size = max(1, chunkSize/cols) * cols
			}
			if s.rows > 0 {
				size = len(s.p)
			}
			if opts.Optimizer != SGD || opts.Momentum > 0 {
				s.m = make([]float32, len(s.p))
			}
			if opts.Optimizer != SGD && s.rows == 0 {
				s.v = make([]float32, len(s.p))
			}
			for from := 0; from < len(s.p); from += size {
				o.chunks = append(o.chunks, chunk{len(o.segments), from, min(from+size, len(s.p))})
			}
			o.segments = append(o.segments, s)
		}
	}
	if largest > 0 {
		o.muon = newMuon(opts, crew.n, largest, side)
	}
	o.partial = make([]float64, len(o.chunks))
	o.norm, o.apply = o.normChunk, o.applyChunk
	return o
}

// stateFloats is how many float32 of moments an optimizer keeps for each trained element, at most.
func (o *Options) stateFloats() int64 {
	switch {
	case o.Optimizer != SGD:
		return 2
	case o.Momentum > 0:
		return 1
	}
	return 0
}

// elements counts what is updated.
func (o *optimizer) elements() int {
	n := 0
	for _, s := range o.segments {
		n += len(s.p)
	}
	return n
}

// gradNorm returns the L2 norm of all gradients together, summed in float64.
func (o *optimizer) gradNorm() float64 {
	o.crew.run(len(o.chunks), o.norm)
	var sum float64
	for _, v := range o.partial {
		sum += v
	}
	return math.Sqrt(sum)
}

func (o *optimizer) normChunk(i int) {
	c := o.chunks[i]
	s := &o.segments[c.segment]
	if s.touched == nil {
		o.partial[i] = sumSquares(s.g[c.from:c.to])
		return
	}
	var sum float64
	for r := c.from / s.cols; r < c.to/s.cols; r++ {
		if s.touched[r] {
			sum += sumSquares(s.g[r*s.cols : (r+1)*s.cols])
		}
	}
	o.partial[i] = sum
}

func sumSquares(g []float32) float64 {
	// Four sums hide the latency of the additions.
	var a, b, c, d float64
	for ; len(g) >= 4; g = g[4:] {
		x, y, z, w := float64(g[0]), float64(g[1]), float64(g[2]), float64(g[3])
		a, b, c, d = a+x*x, b+y*y, c+z*z, d+w*w
	}
	for _, x := range g {
		a += float64(x) * float64(x)
	}
	return (a + b) + (c + d)
}

// step clips the gradients to maxNorm (0: not at all) given their norm, moves the
// parameters and sets the gradients to zero.
func (o *optimizer) step(norm, lr, embeddingLR float64) {
	o.t++
	o.now = update{coef: float32(clipCoefficient(norm, o.opts.MaxGradNorm)), lr: lr, embeddingLR: embeddingLR,
		correct: 1 - math.Pow(o.opts.AdamBeta1, float64(o.t)), root: math.Sqrt(1 - math.Pow(o.opts.AdamBeta2, float64(o.t)))}
	o.crew.run(len(o.chunks), o.apply)
}

// clipCoefficient is what torch's clip_grad_norm_ multiplies the gradients by.
func clipCoefficient(norm, limit float64) float64 {
	if limit == 0 {
		return 1
	}
	return min(1, limit/(norm+1e-6))
}

func (o *optimizer) applyChunk(i int) {
	c := o.chunks[i]
	s := &o.segments[c.segment]
	lr, decay := o.now.lr, 0.0
	if s.embedding {
		lr = o.now.embeddingLR
	}
	if s.decay {
		decay = o.opts.WeightDecay
	}
	shrink := float32(1 - lr*decay)
	if s.rows > 0 {
		o.muon.apply(s.rows, s.cols, s.p, s.g, s.m, shrink, o.now.coef, float32(lr))
		clear(s.g)
		return
	}
	if s.touched == nil {
		o.move(s, c.from, c.to, lr, shrink)
		clear(s.g[c.from:c.to])
		return
	}
	for r := c.from / s.cols; r < c.to/s.cols; r++ {
		from, to := r*s.cols, (r+1)*s.cols
		if s.touched[r] || s.live[r] {
			o.move(s, from, to, lr, shrink)
		} else if shrink != 1 {
			scale(s.p[from:to], shrink)
		}
		if s.touched[r] {
			s.touched[r], s.live[r] = false, true
			clear(s.g[from:to])
		}
	}
}

// move updates elements from to to-1 of a segment.
func (o *optimizer) move(s *segment, from, to int, lr float64, shrink float32) {
	p, g := s.p[from:to], s.g[from:to]
	switch {
	case s.v != nil:
		k := adamWStep{shrink: shrink, coef: o.now.coef, beta1: float32(o.opts.AdamBeta1), rest1: float32(1 - o.opts.AdamBeta1),
			beta2: float32(o.opts.AdamBeta2), rest2: float32(1 - o.opts.AdamBeta2),
			size: float32(lr / o.now.correct), root: float32(1 / o.now.root), eps: float32(o.opts.AdamEpsilon)}
		k.apply(p, g, s.m[from:to], s.v[from:to])
	case s.m != nil:
		sgdMomentum(p, g, s.m[from:to], shrink, o.now.coef, float32(o.opts.Momentum), float32(lr))
	default:
		sgd(p, g, shrink, o.now.coef, float32(lr))
	}
}

// findLive marks the rows whose moments are other than zero, after a checkpoint was read.
func (o *optimizer) findLive() {
	for _, s := range o.segments {
		for r := range s.live {
			from, to := r*s.cols, (r+1)*s.cols
			s.live[r] = s.live[r] || s.m != nil && anyNonZero(s.m[from:to]) || s.v != nil && anyNonZero(s.v[from:to])
		}
	}
}

func anyNonZero(x []float32) bool {
	for _, v := range x {
		if v != 0 {
			return true
		}
	}
	return false
}

func scale(x []float32, k float32) {
	for i := range x {
		x[i] *= k
	}
}

// adamWStep holds the constants of one update (Loshchilov & Hutter 2019, algorithm 2):
//
//	g *= coef;  p *= 1 - lr·decay
//	m = β1·m + (1-β1)·g;  v = β2·v + (1-β2)·g²
//	p -= lr/(1-β1^t) · m / (sqrt(v)/sqrt(1-β2^t) + eps)
type adamWStep struct {
	shrink, coef, beta1, rest1, beta2, rest2, size, root, eps float32
}

func (k *adamWStep) apply(p, g, m, v []float32) {
	n := len(p)
	g, m, v = g[:n], m[:n], v[:n]
	done := k.applyFast(p, g, m, v)
	for i := done; i < n; i++ {
		gi := g[i] * k.coef
		mi := k.beta1*m[i] + k.rest1*gi
		vi := k.beta2*v[i] + k.rest2*gi*gi
		m[i], v[i] = mi, vi
		p[i] = p[i]*k.shrink - k.size*mi/(float32(math.Sqrt(float64(vi)))*k.root+k.eps)
	}
}

// sgdMomentum is torch.optim.SGD with momentum, the decay apart from the gradient as in
// AdamW: m = μ·m + g; p = p·shrink - lr·m.
func sgdMomentum(p, g, m []float32, shrink, coef, momentum, lr float32) {
	g, m = g[:len(p)], m[:len(p)]
	for i := range p {
		m[i] = momentum*m[i] + coef*g[i]
		p[i] = p[i]*shrink - lr*m[i]
	}
}

func sgd(p, g []float32, shrink, coef, lr float32) {
	g = g[:len(p)]
	for i := range p {
		p[i] = p[i]*shrink - lr*coef*g[i]
	}
}
