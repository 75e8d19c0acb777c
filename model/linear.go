package model

import (
	"lep/linalg"
	"lep/tensor"
)

// linear is y = x Wᵀ + bias + scale·(x Aᵀ) Bᵀ.
type linear struct {
	w    *weight
	bias *weight // nil if none
	lora *loraTerm
}

func (l *linear) trained() bool {
	return l.w.grad != nil || l.bias != nil && l.bias.grad != nil || l.lora != nil
}

// needsInput reports whether the backward pass wants the linear's input.
func (l *linear) needsInput() bool { return l.w.grad != nil || l.lora != nil }

// forward computes y (n, rows; row stride ldy) from x (n, cols; row stride ldx), and adds
// it to what y holds if add.
func (l *linear) forward(m *Model, y []float32, ldy int, x []float32, ldx, n int, add bool) {
	m.product(y, ldy, x, ldx, n, l.w, add)
	l.addTerms(m, y, ldy, x, ldx, n)
}

// addTerms adds bias and low-rank term to y.
func (l *linear) addTerms(m *Model, y []float32, ldy int, x []float32, ldx, n int) {
	if l.bias != nil {
		m.runBias(biasTask{y: y, ldy: ldy, n: n, bias: l.bias.data})
	}
	if t := l.lora; t != nil {
		u := m.work.low[:n*t.a.rows]
		m.product(u, t.a.rows, x, ldx, n, t.a, false)
		m.blas.SGEMM(false, true, n, l.w.rows, t.a.rows, t.scale, u, t.a.rows, t.b.data, t.b.cols, 1, y, ldy)
	}
}

// backward adds the gradients of the trained parts, from dy (n, rows) and the input x
// (n, cols; not read unless needsInput), and writes (or with add, adds) the gradient with
// respect to x into dx (n, cols).
func (l *linear) backward(m *Model, dx []float32, ldd int, dy []float32, ldy int, x []float32, ldx, n int, add bool) {
	l.backwardWeights(m, dy, ldy, x, ldx, n)
	m.productBackward(dx, ldd, dy, ldy, n, l.w, add)
	if l.lora != nil {
		l.backwardLoRA(m, dx, ldd, dy, ldy, x, ldx, n)
	}
}

// backwardWeights adds the gradients of W = dyᵀ x and of the bias, if they are trained.
func (l *linear) backwardWeights(m *Model, dy []float32, ldy int, x []float32, ldx, n int) {
	if g := l.w.grad; g != nil {
		m.blas.SGEMM(true, false, l.w.rows, l.w.cols, n, 1, dy, ldy, x, ldx, 1, g, l.w.cols)
	}
	if l.bias != nil && l.bias.grad != nil {
		m.runBias(biasTask{y: dy, ldy: ldy, n: n, bias: l.bias.grad, backward: true})
	}
}

// biasTask adds a bias to n rows of y, or backward, n rows of gradients to that of the bias:
// row by row in order, a part of the columns.
type biasTask struct {
	y        []float32
	ldy, n   int
	bias     []float32
	backward bool
}

const biasColumns = 64

func (t *biasTask) Part(_, i int) {
	if t.backward {
		lo, hi := i*biasColumns, min((i+1)*biasColumns, len(t.bias))
		for r := range t.n {
			addBias(t.bias[lo:hi], t.y[r*t.ldy+lo:r*t.ldy+hi])
		}
		return
	}
	size := rowsPerPart(len(t.bias))
	for r := i * size; r < min((i+1)*size, t.n); r++ {
		addBias(t.y[r*t.ldy:r*t.ldy+len(t.bias)], t.bias)
	}
}

func (m *Model) runBias(t biasTask) {
	m.tasks.bias = t
	count := parts(t.n, rowsPerPart(len(t.bias)))
	if t.backward {
		count = parts(len(t.bias), biasColumns)
	}
	m.crew.Run(count, &m.tasks.bias)
}

// backwardLoRA adds the gradients of A and B, and to dx the part through the term.
func (l *linear) backwardLoRA(m *Model, dx []float32, ldd int, dy []float32, ldy int, x []float32, ldx, n int) {
	t, r := l.lora, l.lora.a.rows
	u, du := m.work.low[:n*r], m.work.lowGrad[:n*r]
	m.product(u, r, x, ldx, n, t.a, false)
	m.blas.SGEMM(true, false, l.w.rows, r, n, t.scale, dy, ldy, u, r, 1, t.b.grad, r)
	m.blas.SGEMM(false, false, n, r, l.w.rows, t.scale, dy, ldy, t.b.data, r, 0, du, r)
	m.blas.SGEMM(true, false, r, t.a.cols, n, 1, du, r, x, ldx, 1, t.a.grad, t.a.cols)
	m.blas.SGEMM(false, false, n, t.a.cols, r, 1, du, r, t.a.data, t.a.cols, 1, dx, ldd)
}

// product computes y = x Wᵀ (plus y if add).
func (m *Model) product(y []float32, ldy int, x []float32, ldx, n int, w *weight, add bool) {
	if n <= fewRows {
		m.fewProduct(y, ldy, x, ldx, n, w, add)
		return
	}
	if w.skinny(n) {
		m.skinnyProduct(y, ldy, x, ldx, n, w, add)
		return
	}
	beta := float32(0)
	if add {
		beta = 1
	}
	switch {
	case w.data != nil:
		m.blas.SGEMM(false, true, n, w.rows, w.cols, 1, x, ldx, w.data, w.cols, beta, y, ldy)
	case w.half != nil && w.halfType == tensor.BF16:
		linalg.SGEMMBF16(m.blas, false, true, n, w.rows, w.cols, 1, x, ldx, w.half, w.cols, beta, y, ldy)
	default:
		tile := w.tileRows()
		for r := 0; r < w.rows; r += tile {
			rows := min(tile, w.rows-r)
			m.blas.SGEMM(false, true, n, rows, w.cols, 1, x, ldx, m.widen(w, r, rows), w.cols, beta, y[r:], ldy)
		}
	}
}

// productBackward computes dx = dy W (plus dx if add).
func (m *Model) productBackward(dx []float32, ldd int, dy []float32, ldy, n int, w *weight, add bool) {
	beta := float32(0)
	if add {
		beta = 1
	}
	switch {
	case w.data != nil:
		m.blas.SGEMM(false, false, n, w.cols, w.rows, 1, dy, ldy, w.data, w.cols, beta, dx, ldd)
	case w.half != nil && w.halfType == tensor.BF16:
		linalg.SGEMMBF16(m.blas, false, false, n, w.cols, w.rows, 1, dy, ldy, w.half, w.cols, beta, dx, ldd)
	default:
		tile := w.tileRows()
		for r := 0; r < w.rows; r += tile {
			rows := min(tile, w.rows-r)
			m.blas.SGEMM(false, false, n, w.cols, rows, 1, dy[r:], ldy, m.widen(w, r, rows), w.cols, beta, dx, ldd)
			beta = 1
		}
	}
}
