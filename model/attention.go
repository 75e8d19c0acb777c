package model

import "math"

// queryBlock is how many queries a block of attention has. A block holds its scores
// against all keys it may see, so memory is O(T) per worker, never O(T²).
const queryBlock = 64

// attentionTask computes softmax(scale·Q Kᵀ) V for a batch of rows of T tokens, where query
// i sees the keys from max(first[i], i-window+1) to i: causal, inside its document, inside
// the window. Heads h·G to h·G+G-1 share the key and value head h (grouped queries).
//
// q, k, v are columns of qkv, (N, (H+2K)·Hd) row-major, N = B·T; ctx is (N, H·Hd). lse (N, H)
// is the logarithm of each query's sum of exponentials, kept for the backward pass, which
// computes the scores again (Dao et al. 2022, §3.1, without its tiling over keys: a block's
// scores fit the cache).
type attentionTask struct {
	m        *Model
	n, t     int // tokens in all, tokens per row
	window   int
	cap      float32 // scores become cap·tanh(score/cap); 0 = not (Gemma 2)
	qkv      []float32
	ctx, lse []float32
	first    []int32 // (N) first key of a query's document, counted in its row

	backward   bool
	dqkv, dctx []float32
}

// lowestKey returns the first key, counted in the row, that query i of the row sees.
func (t *attentionTask) lowestKey(row, i int) int {
	lo := int(t.first[row*t.t+i])
	if t.window > 0 {
		lo = max(lo, i-t.window+1)
	}
	return lo
}

func (t *attentionTask) Part(worker, i int) {
	if t.backward {
		t.partBackward(worker, i)
		return
	}
	cfg := t.m.Config
	blocks := parts(t.t, queryBlock)
	block, head, row := i%blocks, i/blocks%cfg.NumAttentionHeads, i/blocks/cfg.NumAttentionHeads
	b := t.block(row, head, block)
	p := t.m.work.scores[worker].p
	t.probabilities(p, b, nil)
	// O = P V
	ldc := cfg.NumAttentionHeads * cfg.HeadDim
	t.m.inner.SGEMM(false, false, b.queries, cfg.HeadDim, b.keys, 1, p, b.keys, t.qkv[b.v:], b.ld, 0, t.ctx[b.o:], ldc)
}

// scoreBlock says where a block of queries and its keys lie.
type scoreBlock struct {
	row, head, from  int // from: first query, counted in the row
	queries, keys    int
	key              int // first key, counted in the row
	q, k, v, o, base int // offsets: first query in qkv, first key, first value, first query in ctx; base: token of the row's start
	ld               int
}

func (t *attentionTask) block(row, head, block int) scoreBlock {
	cfg := t.m.Config
	h, kv, hd := cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim
	b := scoreBlock{row: row, head: head, from: block * queryBlock, ld: (h + 2*kv) * hd, base: row * t.t}
	b.queries = min(queryBlock, t.t-b.from)
	b.key = t.lowestKey(row, b.from) // first is not decreasing along a row
	b.keys = b.from + b.queries - b.key
	shared := head / (h / kv)
	b.q = (b.base+b.from)*b.ld + head*hd
	b.k = (b.base+b.key)*b.ld + (h+shared)*hd
	b.v = (b.base+b.key)*b.ld + (h+kv+shared)*hd
	b.o = ((b.base+b.from)*h + head) * hd
	return b
}

// probabilities writes P (queries, keys) to p. On the way forward it stores lse; on the way
// back (capped not nil if there is a cap) it takes lse, and capped gets the capped scores.
func (t *attentionTask) probabilities(p []float32, b scoreBlock, capped []float32) {
	cfg := t.m.Config
	t.m.inner.SGEMM(false, true, b.queries, b.keys, cfg.HeadDim, t.m.scoreScale, t.qkv[b.q:], b.ld, t.qkv[b.k:], b.ld, 0, p, b.keys)
	for i := range b.queries {
		lo, hi := t.lowestKey(b.row, b.from+i)-b.key, b.from+i+1-b.key
		row := p[i*b.keys : (i+1)*b.keys]
		clear(row[:lo])
		clear(row[hi:])
		seen := row[lo:hi]
		if t.cap > 0 {
			softcap(seen, t.cap)
			if capped != nil {
				copy(capped[i*b.keys+lo:], seen)
			}
		}
		at := &t.lse[(b.base+b.from+i)*cfg.NumAttentionHeads+b.head]
		if t.backward {
			expSum(seen, *at)
		} else {
			*at = softmax(seen)
		}
	}
}

// partBackward does one key and value head of one row: all its query heads, block by
// block, in a fixed order, because they add to the same dK and dV.
//
//	dV += Pᵀ dO,  dP = dO Vᵀ,  dS = P ∘ (dP - rowsum(dO ∘ O)),  dQ = scale·dS K,  dK += scale·dSᵀ Q
func (t *attentionTask) partBackward(worker, i int) {
	cfg := t.m.Config
	h, kv, hd := cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim
	row, shared := i/kv, i%kv
	s := &t.m.work.scores[worker]
	ldc, group := h*hd, h/kv
	ld := (h + 2*kv) * hd
	for n := row * t.t; n < (row+1)*t.t; n++ {
		clear(t.dqkv[n*ld+(h+shared)*hd : n*ld+(h+shared+1)*hd])
		clear(t.dqkv[n*ld+(h+kv+shared)*hd : n*ld+(h+kv+shared+1)*hd])
	}
	blas := t.m.inner
	for block := range parts(t.t, queryBlock) {
		for head := shared * group; head < (shared+1)*group; head++ {
			b := t.block(row, head, block)
			var capped []float32
			if t.cap > 0 {
				capped = s.capped
			}
			t.probabilities(s.p, b, capped)
			do := t.dctx[b.o:]
			blas.SGEMM(true, false, b.keys, hd, b.queries, 1, s.p, b.keys, do, ldc, 1, t.dqkv[b.v:], b.ld)
			blas.SGEMM(false, true, b.queries, b.keys, hd, 1, do, ldc, t.qkv[b.v:], b.ld, 0, s.dp, b.keys)
			for i := range b.queries {
				lo, hi := t.lowestKey(row, b.from+i)-b.key, b.from+i+1-b.key
				p, dp := s.p[i*b.keys:(i+1)*b.keys], s.dp[i*b.keys:(i+1)*b.keys]
				clear(dp[:lo])
				clear(dp[hi:])
				delta := dot(do[i*ldc:i*ldc+hd], t.ctx[b.o+i*ldc:b.o+i*ldc+hd])
				softmaxBackward(dp[lo:hi], p[lo:hi], delta)
				if capped != nil {
					softcapBackward(dp[lo:hi], capped[i*b.keys+lo:i*b.keys+hi], t.cap)
				}
			}
			scale := t.m.scoreScale
			blas.SGEMM(false, false, b.queries, hd, b.keys, scale, s.dp, b.keys, t.qkv[b.k:], b.ld, 0, t.dqkv[b.q:], b.ld)
			blas.SGEMM(true, false, b.keys, hd, b.queries, scale, s.dp, b.keys, t.qkv[b.q:], b.ld, 1, t.dqkv[b.k:], b.ld)
		}
	}
}

// attend runs attention over a batch: a.qkv to a.ctx and a.lse.
func (s *sequences) attend(m *Model, l int, a *layerActs) {
	t := &m.tasks.attention
	*t = attentionTask{m: m, n: s.n, t: s.t, window: m.layers[l].window, cap: float32(m.Config.AttnLogitSoftcapping),
		qkv: a.qkv, ctx: a.ctx, lse: a.lse, first: s.first}
	m.crew.Run(s.n/s.t*m.Config.NumAttentionHeads*parts(s.t, queryBlock), t)
}

// attendBackward turns dctx into dqkv.
func (s *sequences) attendBackward(m *Model, l int, a *layerActs, dqkv, dctx []float32) {
	t := &m.tasks.attention
	*t = attentionTask{m: m, n: s.n, t: s.t, window: m.layers[l].window, cap: float32(m.Config.AttnLogitSoftcapping),
		qkv: a.qkv, ctx: a.ctx, lse: a.lse, first: s.first, backward: true, dqkv: dqkv, dctx: dctx}
	m.crew.Run(s.n/s.t*m.Config.NumKeyValueHeads, t)
}

// softcap replaces x by cap·tanh(x/cap).
func softcap(x []float32, limit float32) {
	for i, v := range x {
		x[i] = limit * float32(math.Tanh(float64(v/limit)))
	}
}

// softcapBackward multiplies dx by the derivative 1 - (y/cap)², from the capped values y.
func softcapBackward(dx, y []float32, limit float32) {
	for i, v := range y {
		r := v / limit
		dx[i] *= 1 - r*r
	}
}

// rowTask normalizes (Qwen3) and turns the query and key heads of each token, or the
// gradients back, in place.
type rowTask struct {
	m        *Model
	ly       *layer
	a        *layerActs
	table    *ropeTable
	pos      []int32
	n        int
	dqkv     []float32 // nil on the way forward
	ld       int
	partial  []float32 // (parts, 2·Hd): dw of q_norm and k_norm
	parallel int       // rows per part
}

func (t *rowTask) Part(_, i int) {
	cfg := t.m.Config
	h, heads, hd := cfg.NumAttentionHeads, cfg.NumAttentionHeads+cfg.NumKeyValueHeads, cfg.HeadDim
	half := hd / 2
	trained := t.ly.qNorm != nil && t.dqkv != nil && (t.ly.qNorm.grad != nil || t.ly.kNorm.grad != nil)
	if trained {
		clear(t.partial[i*2*hd : (i+1)*2*hd])
	}
	for n := i * t.parallel; n < min((i+1)*t.parallel, t.n); n++ {
		p := int(t.pos[n])
		cos, sin := t.table.cos[p*half:(p+1)*half], t.table.sin[p*half:(p+1)*half]
		for j := range heads {
			w, dw := t.ly.qNorm, 0
			if j >= h {
				w, dw = t.ly.kNorm, hd
			}
			if t.dqkv == nil {
				x := t.a.qkv[n*t.ld+j*hd : n*t.ld+(j+1)*hd]
				if w != nil {
					raw := t.a.raw[(n*heads+j)*hd : (n*heads+j+1)*hd]
					copy(raw, x)
					at := n*heads + j
					rmsNorm(x, t.a.headRstd[at:at+1], raw, w.data, t.m.normPlus, cfg.RMSNormEps)
				}
				rotate(x, cos, sin)
				continue
			}
			dx := t.dqkv[n*t.ld+j*hd : n*t.ld+(j+1)*hd]
			rotateBackward(dx, cos, sin)
			if w != nil {
				at := n*heads + j
				var grad []float32
				if trained {
					grad = t.partial[i*2*hd+dw : i*2*hd+dw+hd]
				}
				rmsNormBackward(dx, grad, dx, t.a.raw[at*hd:(at+1)*hd], t.a.headRstd[at:at+1], w.data, t.m.normPlus, true)
			}
		}
	}
}

// positionHeads applies q_norm, k_norm and RoPE to the queries and keys in a.qkv.
func (m *Model) positionHeads(ly *layer, a *layerActs, s *sequences) {
	t := &m.tasks.row
	*t = rowTask{m: m, ly: ly, a: a, table: m.tableOf(ly, s), pos: s.pos, n: s.n, ld: m.qkvWidth(), parallel: rowsPerPart(m.qkvWidth())}
	m.crew.Run(parts(s.n, t.parallel), t)
}

// positionHeadsBackward turns the gradients of queries and keys in dqkv back.
func (m *Model) positionHeadsBackward(ly *layer, a *layerActs, s *sequences, dqkv []float32) {
	t := &m.tasks.row
	*t = rowTask{m: m, ly: ly, a: a, table: m.tableOf(ly, s), pos: s.pos, n: s.n, ld: m.qkvWidth(), parallel: rowsPerPart(m.qkvWidth()),
		dqkv: dqkv, partial: m.work.partial}
	p := parts(s.n, t.parallel)
	m.crew.Run(p, t)
	if ly.qNorm == nil {
		return
	}
	hd := m.Config.HeadDim
	for i := range p {
		for k, w := range []*weight{ly.qNorm, ly.kNorm} {
			for j, v := range m.work.partial[(2*i+k)*hd : (2*i+k+1)*hd] {
				if w.grad != nil {
					w.grad[j] += v
				}
			}
		}
	}
}

// qkvWidth is the row length of qkv: (H+2K)·Hd.
func (m *Model) qkvWidth() int {
	return (m.Config.NumAttentionHeads + 2*m.Config.NumKeyValueHeads) * m.Config.HeadDim
}
