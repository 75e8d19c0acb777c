package model

import (
	"lep/linalg"
	"lep/tensor"
)

// fewRows is up to how many rows of x a product is cheaper as matrix-vector products, which
// read the weights as they are, than as a matrix product, which packs them first.
const fewRows = 2

// sharedLinears is how many linears may have their input in common: q, k and v.
const sharedLinears = 3

// output is where a linear writes: rows of y have stride ld.
type output struct {
	lin *linear
	y   []float32
	ld  int
}

// forwardShared is linear.forward for linears with the same input. For few rows it hands out
// the work of all of them at once: in generation, starting work takes as long as a small
// product.
func (m *Model) forwardShared(x []float32, ldx, n int, outs ...output) {
	if n > fewRows {
		for _, o := range outs {
			o.lin.forward(m, o.y, o.ld, x, ldx, n, false)
		}
		return
	}
	t := &m.tasks.vector
	*t = vectorTask{x: x, ldx: ldx, n: n}
	for _, o := range outs {
		t.add(o.lin.w, o.y, o.ld)
	}
	m.crew.Run(t.parts, t)
	for _, o := range outs {
		o.lin.addTerms(m, o.y, o.ld, x, ldx, n)
	}
}

// vectorTask computes y = x Wᵀ for fewRows rows of x at most and up to sharedLinears weights. A
// part is some rows of one W.
type vectorTask struct {
	x      []float32
	ldx, n int
	jobs   [sharedLinears]vectorJob
	count  int
	parts  int
}

type vectorJob struct {
	w    *weight
	y    []float32
	ldy  int
	span int // rows of a part
	from int // first part
}

// vectorPart is how many bytes of weights one part reads: some microseconds.
const vectorPart = 64 << 10

func (t *vectorTask) add(w *weight, y []float32, ldy int) {
	j := vectorJob{w: w, y: y, ldy: ldy, span: max(1, vectorPart/(w.cols*w.bytes())), from: t.parts}
	t.jobs[t.count] = j
	t.count++
	t.parts += parts(w.rows, j.span)
}

func (t *vectorTask) Part(_, i int) {
	at := t.count - 1
	for t.jobs[at].from > i {
		at--
	}
	j := &t.jobs[at]
	first := (i - j.from) * j.span
	last := min(first+j.span, j.w.rows)
	for n := range t.n {
		j.w.times(j.y[n*j.ldy+first:n*j.ldy+last], t.x[n*t.ldx:n*t.ldx+j.w.cols], first)
	}
}

// bytes is the size of an element; the scales of int8 do not count.
func (w *weight) bytes() int {
	switch {
	case w.data != nil:
		return 4
	case w.half != nil:
		return 2
	}
	return 1
}

// times computes y = W[first:first+len(y)] x.
func (w *weight) times(y, x []float32, first int) {
	rows, from, to := len(y), first*w.cols, (first+len(y))*w.cols
	switch {
	case w.data != nil:
		linalg.SGEMV(rows, w.cols, w.data[from:to], w.cols, x, y)
	case w.half != nil && w.halfType == tensor.BF16:
		linalg.SGEMVBF16(rows, w.cols, w.half[from:to], w.cols, x, y)
	case w.half != nil:
		linalg.SGEMVF16(rows, w.cols, w.half[from:to], w.cols, x, y)
	default:
		groups := int8Groups(w.cols)
		linalg.SGEMVInt8(rows, w.cols, w.int8[from:to], w.cols, w.scales[first*groups:(first+rows)*groups], x, y)
	}
}

// fewProduct is product for fewRows rows of x at most.
func (m *Model) fewProduct(y []float32, ldy int, x []float32, ldx, n int, w *weight, add bool) {
	to, ld := y, ldy
	if add {
		m.work.vector = grow(m.work.vector, n*w.rows)
		to, ld = m.work.vector, w.rows
	}
	t := &m.tasks.vector
	*t = vectorTask{x: x, ldx: ldx, n: n}
	t.add(w, to, ld)
	m.crew.Run(t.parts, t)
	if add {
		for i := range n {
			addBias(y[i*ldy:i*ldy+w.rows], to[i*ld:(i+1)*ld])
		}
	}
}
