package model

// layerActs are the activations of one layer that its backward pass reads.
type layerActs struct {
	x        []float32 // (N, D) input
	rstd     []float32 // (N) of input_layernorm
	qkv      []float32 // (N, (H+2K)·Hd) after bias, norm and RoPE
	raw      []float32 // (N, (H+K)·Hd) queries and keys before q_norm and k_norm; Qwen3
	headRstd []float32 // (N, H+K)
	ctx      []float32 // (N, H·Hd) softmax(QKᵀ)V
	lse      []float32 // (N, H)
	mid      []float32 // (N, D) x + attention
	midRstd  []float32 // (N) of the norm before the MLP
	gate, up []float32 // (N, F)
	attnOut  []float32 // (N, D) before post_attention_layernorm; Gemma 2
	mlpOut   []float32 // (N, D) before post_feedforward_layernorm
	attnRstd []float32 // (N)
	mlpRstd  []float32 // (N)
}

// attender computes a.ctx from the queries in a.qkv: over a batch, or over a cache.
type attender interface {
	attend(m *Model, l int, a *layerActs)
}

// forwardLayer computes out = mid + mlp(mid), mid = x + attention(x), of layer l. out and
// a.mid may be a.x when no backward pass follows. With a nil out it computes only what the
// backward pass reads.
func (m *Model) forwardLayer(l int, a *layerActs, out []float32, s *sequences, attn attender) {
	cfg, ly, w, n := m.Config, &m.layers[l], &m.work, s.n
	d, f, hd := cfg.HiddenSize, cfg.IntermediateSize, cfg.HeadDim
	h, kv, ld := cfg.NumAttentionHeads*hd, cfg.NumKeyValueHeads*hd, m.qkvWidth()

	xn := w.normed[:n*d]
	m.norm(xn, a.rstd[:n], a.x, ly.inputNorm, n)
	m.forwardShared(xn, d, n, output{&ly.linears[qProj], a.qkv, ld}, output{&ly.linears[kProj], a.qkv[h:], ld}, output{&ly.linears[vProj], a.qkv[h+kv:], ld})
	m.positionHeads(ly, a, s)
	attn.attend(m, l, a)
	m.copyUnlessSame(a.mid[:n*d], a.x)
	m.addBranch(a.mid, &ly.linears[oProj], a.ctx, h, a.attnOut, ly.postAttentionNorm, a.attnRstd, n)

	m.norm(xn, a.midRstd[:n], a.mid, ly.midNorm, n)
	m.forwardShared(xn, d, n, output{&ly.linears[gateProj], a.gate, f}, output{&ly.linears[upProj], a.up, f})
	if out == nil && ly.postFeedforwardN == nil {
		return
	}
	act := w.ffn[:n*f]
	m.glu(act, a.gate[:n*f], a.up[:n*f], false)
	if out == nil {
		ly.linears[downProj].forward(m, a.mlpOut, d, act, f, n, false)
		m.norm(xn, a.mlpRstd[:n], a.mlpOut, ly.postFeedforwardN, n)
		return
	}
	m.copyUnlessSame(out[:n*d], a.mid)
	m.addBranch(out, &ly.linears[downProj], act, f, a.mlpOut, ly.postFeedforwardN, a.mlpRstd, n)
}

// addBranch adds the output of a branch's last linear to the residual stream, through a
// norm if the architecture has one there.
func (m *Model) addBranch(stream []float32, lin *linear, in []float32, cols int, raw []float32, norm *weight, rstd []float32, n int) {
	d := m.Config.HiddenSize
	if norm == nil {
		lin.forward(m, stream, d, in, cols, n, true)
		return
	}
	lin.forward(m, raw, d, in, cols, n, false)
	tmp := m.work.normed[:n*d]
	m.norm(tmp, rstd[:n], raw, norm, n)
	add(stream[:n*d], tmp, 1)
}

// backwardLayer turns dx, the gradient with respect to the layer's output, into that with
// respect to its input, in place, and adds the gradients of the layer's parameters. What
// the forward pass can give again cheaply (the outputs of norms, the product of the gate)
// is not stored but computed again.
func (m *Model) backwardLayer(l int, a *layerActs, dx []float32, s *sequences) {
	cfg, ly, w, n := m.Config, &m.layers[l], &m.work, s.n
	d, f, hd := cfg.HiddenSize, cfg.IntermediateSize, cfg.HeadDim
	h, kv, ld := cfg.NumAttentionHeads*hd, cfg.NumKeyValueHeads*hd, m.qkvWidth()
	xn, dxn, ffn := w.normed[:n*d], w.dnormed[:n*d], w.ffn[:n*f]

	dout := m.branchBackward(dx, a.mlpOut, ly.postFeedforwardN, a.mlpRstd, n)
	down := &ly.linears[downProj]
	m.productBackward(ffn, f, dout, d, n, down.w, false)
	if down.lora != nil {
		m.glu(w.ffn2[:n*f], a.gate[:n*f], a.up[:n*f], false)
		down.backwardLoRA(m, ffn, f, dout, d, w.ffn2, f, n)
	}
	m.glu(ffn, a.gate[:n*f], a.up[:n*f], true) // now ffn is the input of down_proj, gate and up are gradients
	down.backwardWeights(m, dout, d, ffn, f, n)
	gate, up := &ly.linears[gateProj], &ly.linears[upProj]
	if gate.needsInput() || up.needsInput() {
		m.norm(xn, a.midRstd[:n], a.mid, ly.midNorm, n)
	}
	gate.backward(m, dxn, d, a.gate, f, xn, d, n, false)
	up.backward(m, dxn, d, a.up, f, xn, d, n, true)
	m.normBackward(dx, dxn, a.midRstd[:n], a.mid, ly.midNorm, n, false)

	dout = m.branchBackward(dx, a.attnOut, ly.postAttentionNorm, a.attnRstd, n)
	ly.linears[oProj].backward(m, w.dctx, h, dout, d, a.ctx, h, n, false)
	dqkv := w.dqkv
	s.attendBackward(m, l, a, dqkv, w.dctx)
	m.positionHeadsBackward(ly, a, s, dqkv)
	q, k, v := &ly.linears[qProj], &ly.linears[kProj], &ly.linears[vProj]
	if q.needsInput() || k.needsInput() || v.needsInput() {
		m.norm(xn, a.rstd[:n], a.x, ly.inputNorm, n)
	}
	q.backward(m, dxn, d, dqkv, ld, xn, d, n, false)
	k.backward(m, dxn, d, dqkv[h:], ld, xn, d, n, true)
	v.backward(m, dxn, d, dqkv[h+kv:], ld, xn, d, n, true)
	m.normBackward(dx, dxn, a.rstd[:n], a.x, ly.inputNorm, n, false)
}

// branchBackward returns the gradient with respect to the output of a branch's last
// linear: dx itself, or dx through the norm behind the branch, in scratch memory.
func (m *Model) branchBackward(dx, raw []float32, norm *weight, rstd []float32, n int) []float32 {
	if norm == nil {
		return dx
	}
	out := m.work.dbranch[:n*m.Config.HiddenSize]
	m.normBackward(out, dx, rstd[:n], raw, norm, n, true)
	return out
}
