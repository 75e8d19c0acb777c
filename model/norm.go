package model

import "math"

// rmsNorm scales each row of x to unit root mean square and multiplies it by w + plus
// (Zhang & Sennrich 2019, eq. 4; plus is 1 for Gemma, else 0):
//
//	y[n,d] = x[n,d] * rstd[n] * (w[d] + plus),  rstd[n] = 1/sqrt(mean_d(x[n,d]²) + eps)
//
// x and y are (N, D) row-major, w is (D), rstd is (N) and is kept for rmsNormBackward.
// The mean is summed in float64. y may alias x.
func rmsNorm(y, rstd, x, w []float32, plus float32, eps float64) {
	d := len(w)
	for n := range rstd {
		row := x[n*d : (n+1)*d]
		rstd[n] = float32(1 / math.Sqrt(sumSquares(row)/float64(d)+eps))
		normRow(y[n*d:(n+1)*d], row, w, plus, rstd[n])
	}
}

// rmsNormBackward adds the gradient of a loss with respect to x to dx, and to dw (if not
// nil) the gradient with respect to w, both from dy:
//
//	g = dy*(w+plus);  dx += rstd*(g - xhat*mean(g*xhat)),  dw += dy*xhat,  xhat = x*rstd
//
// With assign, dx is overwritten and may alias dy.
func rmsNormBackward(dx, dw, dy, x, rstd, w []float32, plus float32, assign bool) {
	d := len(w)
	for n, r := range rstd {
		row, g := x[n*d:(n+1)*d], dy[n*d:(n+1)*d]
		k := float32(normDot(g, row, w, plus)*float64(r)*float64(r)) / float32(d)
		if dw != nil {
			addProduct(dw, g, row, r)
		}
		normRowBackward(dx[n*d:(n+1)*d], g, row, w, plus, r, k, assign)
	}
}

// normTask runs rmsNorm or its backward over parts of the rows.
type normTask struct {
	y, x, dy, dx []float32
	rstd         []float32
	w            []float32
	plus         float32
	eps          float64
	rows         int
	backward     bool
	assign       bool
	partial      []float32 // (parts, D): dw of each part, added up in order
	keepDW       bool
}

func (t *normTask) Part(_, i int) {
	d := len(t.w)
	size := rowsPerPart(d)
	lo, hi := i*size, min((i+1)*size, t.rows)
	if !t.backward {
		rmsNorm(t.y[lo*d:], t.rstd[lo:hi], t.x[lo*d:], t.w, t.plus, t.eps)
		return
	}
	var dw []float32
	if t.keepDW {
		dw = t.partial[i*d : (i+1)*d]
		clear(dw)
	}
	rmsNormBackward(t.dx[lo*d:], dw, t.dy[lo*d:], t.x[lo*d:], t.rstd[lo:hi], t.w, t.plus, t.assign)
}

// norm computes y = rmsNorm(x) over n rows of D.
func (m *Model) norm(y, rstd, x []float32, w *weight, n int) {
	t := &m.tasks.norm
	*t = normTask{y: y, x: x, rstd: rstd, w: w.data, plus: m.normPlus, eps: m.Config.RMSNormEps, rows: n}
	m.crew.Run(parts(n, rowsPerPart(len(w.data))), t)
}

// normBackward adds to dx (or with assign writes) the gradient through rmsNorm, and to the
// weight's gradient, if it is trained.
func (m *Model) normBackward(dx, dy, rstd, x []float32, w *weight, n int, assign bool) {
	d := len(w.data)
	p := parts(n, rowsPerPart(d))
	t := &m.tasks.norm
	*t = normTask{dx: dx, dy: dy, x: x, rstd: rstd, w: w.data, plus: m.normPlus, rows: n, backward: true, assign: assign,
		partial: m.work.partial, keepDW: w.grad != nil}
	m.crew.Run(p, t)
	if w.grad != nil {
		for i := range p {
			for j, v := range m.work.partial[i*d : (i+1)*d] {
				w.grad[j] += v
			}
		}
	}
}
