package model

import (
	"fmt"
	"math"
)

// logitBudget is how many logits exist at a time (128 MiB): logits of B·T x V never do. With
// fewer, a head of 128k rows is packed too often for what is multiplied with it.
const logitBudget = 1 << 25

// lossChunk is how many of n rows get their logits at a time.
func (m *Model) lossChunk(n int) int {
	return min(n, max(16, logitBudget/m.Config.VocabSize))
}

// lossTask computes for each row of logits the negative log-likelihood of its target in
// nats, and with grad replaces the logits z by the gradient of scale·nll:
//
//	nll = log(sum_j exp(z_j)) - z_target,  dz_j = scale·(exp(z_j)/sum - [j = target])
//
// With a cap, z = cap·tanh(logit/cap) (Gemma 2), and the gradient is that of the logit.
type lossTask struct {
	logits  []float32 // (rows, V)
	v       int
	rows    []int32   // which token each row is
	targets []int32   // by token
	nll     []float64 // by token
	grad    bool
	scale   float32
	cap     float32
}

func (t *lossTask) Part(_, i int) {
	z := t.logits[i*t.v : (i+1)*t.v]
	token := t.rows[i]
	target := t.targets[token]
	if t.cap > 0 {
		softcap(z, t.cap)
	}
	zt, top := z[target], maximum(z)
	var sum float64
	switch {
	case !t.grad:
		sum = expTotal(z, top)
	case t.cap > 0:
		sum = expTotal(z, top)
		k := t.scale / float32(sum)
		for j, v := range z {
			g := exp32(v-top) * k
			if j == int(target) {
				g -= t.scale
			}
			r := v / t.cap
			z[j] = g * (1 - r*r)
		}
	default:
		sum = expSum(z, top)
		scale(z, t.scale/float32(sum))
		z[target] -= t.scale
	}
	t.nll[token] = float64(top) - float64(zt) + math.Log(sum)
}

// headLoss scores the tokens in w.rows from their rows of w.hidden (the i-th row is token
// rows[i]) and fills w.nll. With grad, it writes the gradient of scale·sum(nll) with respect
// to hidden into dhidden (not if nil), and adds to the head's gradient, if it is trained.
func (m *Model) headLoss(hidden, dhidden []float32, scale float32, grad bool) {
	w, d, v := &m.work, m.Config.HiddenSize, m.Config.VocabSize
	chunk := m.lossChunk(w.seqs.n)
	w.logits = grow(w.logits, chunk*v)
	for from := 0; from < len(w.rows); from += chunk {
		n := min(chunk, len(w.rows)-from)
		h := hidden[from*d : (from+n)*d]
		z := w.logits[:n*v]
		m.product(z, v, h, d, n, m.head, false)
		t := &m.tasks.loss
		*t = lossTask{logits: z, v: v, rows: w.rows[from : from+n], targets: w.seqs.targets, nll: w.nll,
			grad: grad, scale: scale, cap: float32(m.Config.FinalLogitSoftcapping)}
		m.crew.Run(n, t)
		if !grad {
			continue
		}
		if dhidden != nil {
			m.productBackward(dhidden[from*d:(from+n)*d], d, z, v, n, m.head, false)
		}
		if m.head.grad != nil {
			m.blas.SGEMM(true, false, v, d, n, 1, z, v, h, d, 1, m.head.grad, d)
		}
	}
}

// Logits writes the logits (n, V) of n rows of final hidden states h (n, D), as
// [Model.Hidden] and [Model.Extend] return them, to dst.
func (m *Model) Logits(dst, h []float32) {
	d, v := m.Config.HiddenSize, m.Config.VocabSize
	n := len(h) / d
	m.product(dst, v, h, d, n, m.head, false)
	if limit := float32(m.Config.FinalLogitSoftcapping); limit > 0 {
		softcap(dst[:n*v], limit)
	}
}

// NLL writes to dst the negative log-likelihood in nats of targets (n) under the n rows of
// final hidden states h, as [Model.Extend] returns them.
func (m *Model) NLL(dst []float64, h []float32, targets []int32) error {
	w, n := &m.work, len(targets)
	if len(h) != n*m.Config.HiddenSize || len(dst) != n {
		return fmt.Errorf("nll of %d targets: %d hidden values and %d places, want %d and %d", n, len(h), len(dst), n*m.Config.HiddenSize, n)
	}
	w.rows = grow(w.rows, n)
	for i, id := range targets {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return m.badID("targets", 0, i, id)
		}
		w.rows[i] = int32(i)
	}
	w.seqs.n, w.seqs.targets, w.nll = n, append(w.seqs.targets[:0], targets...), grow(w.nll, n)
	m.headLoss(h, nil, 0, false)
	copy(dst, w.nll)
	return nil
}
