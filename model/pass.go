package model

// Score computes the negative log-likelihood of a batch in nats, in float64 over float32
// logits: nll[b*T+t] is that of the label of token t+1 given the tokens up to t of its
// document, 0 where there is none. nll may be nil. It returns their sum and how many labels
// were scored.
func (m *Model) Score(b *Batch, nll []float64) (sum float64, scored int, err error) {
	scored, err = m.forward(b, false)
	if err != nil {
		return 0, 0, err
	}
	m.gatherScored()
	m.headLoss(m.work.hidden, nil, 0, false)
	return m.sumNLL(nll), scored, nil
}

// Backward computes what [Model.Score] does and adds the gradient of scale·sum(nll) to the
// gradients of the trained parameters. The mean over a batch is scale = 1/(scored labels);
// [Batch.Scored] counts them beforehand.
func (m *Model) Backward(b *Batch, scale float64, nll []float64) (sum float64, scored int, err error) {
	scored, err = m.forward(b, true)
	if err != nil || scored == 0 {
		return 0, scored, err
	}
	w, n, d := &m.work, m.work.seqs.n, m.Config.HiddenSize
	m.gatherScored()
	deeper := m.lowestTrain < len(m.layers) || m.finalNorm.grad != nil
	if !deeper {
		m.headLoss(w.hidden, nil, float32(scale), true)
		return m.sumNLL(nll), scored, nil
	}
	// dnormed holds the gradients of the scored rows; their inputs are gathered once more.
	dh := w.dnormed[:scored*d]
	m.headLoss(w.hidden, dh, float32(scale), true)
	last, gathered := w.inputs[len(m.layers)], w.hidden[:scored*d]
	m.gather(gathered, last, w.rows, false)
	m.normBackward(dh, dh, w.rstd[:scored], gathered, m.finalNorm, scored, true)
	if m.lowestTrain == len(m.layers) {
		return m.sumNLL(nll), scored, nil
	}
	dx := w.dx[:n*d]
	m.clear(dx)
	m.gather(dx, dh, w.rows, true)
	for l := len(m.layers) - 1; l >= m.lowestTrain; l-- {
		a := m.actsOf(l, true)
		if m.recompute {
			m.forwardLayer(l, a, nil, &w.seqs, &w.seqs)
		}
		m.backwardLayer(l, a, dx, &w.seqs)
	}
	if m.embed.grad != nil {
		m.embedBackward(b.InputIDs, dx)
	}
	return m.sumNLL(nll), scored, nil
}

// Hidden returns the final hidden states (B·T, D), behind the last norm, of all tokens.
func (m *Model) Hidden(b *Batch) ([]float32, error) {
	if _, err := m.forward(b, false); err != nil {
		return nil, err
	}
	w, n, d := &m.work, m.work.seqs.n, m.Config.HiddenSize
	m.norm(w.hidden[:n*d], w.rstd[:n], w.inputs[len(m.layers)], m.finalNorm, n)
	return w.hidden[:n*d], nil
}

// forward runs the layers; the input of the final norm is then w.inputs[L].
func (m *Model) forward(b *Batch, backward bool) (scored int, err error) {
	scored, err = m.prepare(b)
	if err != nil {
		return 0, err
	}
	w := &m.work
	n := w.seqs.n
	m.reserve(n, b.T, backward)
	m.embedTokens(w.inputs[0], b.InputIDs)
	for l := range m.layers {
		m.forwardLayer(l, m.actsOf(l, backward), w.inputs[l+1], &w.seqs, &w.seqs)
	}
	return scored, nil
}

// actsOf returns the activations of a layer, with its input.
func (m *Model) actsOf(l int, backward bool) *layerActs {
	a := &m.work.acts[min(l, len(m.work.acts)-1)]
	a.x = m.work.inputs[l]
	if !backward {
		a.mid = a.x
	}
	return a
}

// gatherScored puts the rows of scored tokens through the final norm into w.hidden.
func (m *Model) gatherScored() {
	w, d := &m.work, m.Config.HiddenSize
	w.rows = grow(w.rows, w.seqs.n)[:0]
	last := w.inputs[len(m.layers)]
	for i, target := range w.seqs.targets {
		if target == IgnoreLabel {
			continue
		}
		w.rows = append(w.rows, int32(i))
	}
	m.gather(w.hidden, last, w.rows, false)
	w.nll = grow(w.nll, w.seqs.n)
	clear(w.nll)
	if n := len(w.rows); n > 0 {
		m.norm(w.hidden[:n*d], w.rstd[:n], w.hidden[:n*d], m.finalNorm, n)
	}
}

func (m *Model) sumNLL(nll []float64) float64 {
	if nll != nil {
		copy(nll, m.work.nll)
	}
	var sum float64
	for _, v := range m.work.nll {
		sum += v
	}
	return sum
}

// embedTask looks tokens up, or adds the gradients of a part of the columns to the rows of
// their tokens, token by token in order.
type embedTask struct {
	m        *Model
	ids      []int32
	x        []float32 // (N, D)
	backward bool
}

const embedColumns = 64

func (t *embedTask) Part(_, i int) {
	d := t.m.Config.HiddenSize
	if t.backward {
		lo, hi := i*embedColumns, min((i+1)*embedColumns, d)
		grad, k := t.m.embed.grad, t.m.embedScale
		for n, id := range t.ids {
			add(grad[int(id)*d+lo:int(id)*d+hi], t.x[n*d+lo:n*d+hi], k)
		}
		return
	}
	size := rowsPerPart(d)
	for n := i * size; n < min((i+1)*size, len(t.ids)); n++ {
		row := t.x[n*d : (n+1)*d]
		t.m.embed.row32(row, int(t.ids[n]))
		if t.m.embedScale != 1 {
			scale(row, t.m.embedScale)
		}
	}
}

// embedTokens looks up the rows of ids: x (N, D).
func (m *Model) embedTokens(x []float32, ids []int32) {
	t := &m.tasks.embed
	*t = embedTask{m: m, ids: ids, x: x}
	m.crew.Run(parts(len(ids), rowsPerPart(m.Config.HiddenSize)), t)
}

// embedBackward adds dx (N, D) to the rows of ids.
func (m *Model) embedBackward(ids []int32, dx []float32) {
	if touched := m.embed.touched; touched != nil {
		for _, id := range ids {
			touched[id] = true
		}
	}
	t := &m.tasks.embed
	*t = embedTask{m: m, ids: ids, x: dx, backward: true}
	m.crew.Run(parts(m.Config.HiddenSize, embedColumns), t)
}
