package model

import "math"

// rmsNorm scales each row of x to unit root mean square and multiplies it by w + plus
// (Zhang & Sennrich 2019, eq. 4; plus is 1 for Gemma, else 0):
//
//	y[n,d] = x[n,d] * rstd[n] * (w[d] + plus),  rstd[n] = 1/sqrt(mean_d(x[n,d]²) + eps)
//
// x and y are row-major with the row strides ldx and ldy, w is (D), rstd is (N) and is
// kept for rmsNormBackward. The mean is summed in float64. y may alias x.
func rmsNorm[F float32 | float64](y []F, ldy int, rstd []F, x []F, ldx int, w []F, plus F, eps float64) {
	d := len(w)
	for n := range rstd {
		row, out := x[n*ldx:n*ldx+d], y[n*ldy:n*ldy+d]
		r := F(1 / math.Sqrt(sumSquares(row)/float64(d)+eps))
		rstd[n] = r
		for i, v := range row {
			out[i] = v * r * (w[i] + plus)
		}
	}
}

// rmsNormBackward adds the gradient of a loss with respect to x to dx, and to dw (if not
// nil) the gradient with respect to w, both from dy:
//
//	g = dy*(w+plus);  dx += rstd*(g - xhat*mean(g*xhat)),  dw += dy*xhat,  xhat = x*rstd
//
// With assign, dx is overwritten and may alias dy.
func rmsNormBackward[F float32 | float64](dx []F, ldd int, dw []F, dy []F, ldy int, x []F, ldx int, rstd, w []F, plus F, assign bool) {
	d := len(w)
	for n, r := range rstd {
		row, g, out := x[n*ldx:n*ldx+d], dy[n*ldy:n*ldy+d], dx[n*ldd:n*ldd+d]
		dot := 0.0
		for i, v := range g {
			dot += float64(v * (w[i] + plus) * row[i])
		}
		k := F(dot) * r * r / F(d)
		if dw != nil {
			for i, v := range g {
				dw[i] += v * row[i] * r
			}
		}
		if assign {
			for i, v := range g {
				out[i] = r * (v*(w[i]+plus) - row[i]*k)
			}
			continue
		}
		for i, v := range g {
			out[i] += r * (v*(w[i]+plus) - row[i]*k)
		}
	}
}

// sumSquares sums in float64, in four lanes.
func sumSquares[F float32 | float64](x []F) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		v := x[i : i+4 : i+4]
		s0 += float64(v[0]) * float64(v[0])
		s1 += float64(v[1]) * float64(v[1])
		s2 += float64(v[2]) * float64(v[2])
		s3 += float64(v[3]) * float64(v[3])
	}
	for ; i < len(x); i++ {
		s0 += float64(x[i]) * float64(x[i])
	}
	return (s0 + s1) + (s2 + s3)
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

func (t *normTask) part(_, i int) {
	d := len(t.w)
	size := rowsPerPart(d)
	lo, hi := i*size, min((i+1)*size, t.rows)
	if !t.backward {
		rmsNorm(t.y[lo*d:], d, t.rstd[lo:hi], t.x[lo*d:], d, t.w, t.plus, t.eps)
		return
	}
	var dw []float32
	if t.keepDW {
		dw = t.partial[i*d : (i+1)*d]
		clear(dw)
	}
	rmsNormBackward(t.dx[lo*d:], d, dw, t.dy[lo*d:], d, t.x[lo*d:], d, t.rstd[lo:hi], t.w, t.plus, t.assign)
}

// norm computes y = rmsNorm(x) over n rows of D.
func (m *Model) norm(y, rstd, x []float32, w *weight, n int) {
	t := &m.tasks.norm
	*t = normTask{y: y, x: x, rstd: rstd, w: w.data, plus: m.normPlus, eps: m.Config.RMSNormEps, rows: n}
	m.workers.run(parts(n, rowsPerPart(len(w.data))), t)
}

// normBackward adds to dx (or with assign writes) the gradient through rmsNorm, and to the
// weight's gradient, if it is trained.
func (m *Model) normBackward(dx, dy, rstd, x []float32, w *weight, n int, assign bool) {
	d := len(w.data)
	p := parts(n, rowsPerPart(d))
	t := &m.tasks.norm
	*t = normTask{dx: dx, dy: dy, x: x, rstd: rstd, w: w.data, plus: m.normPlus, rows: n, backward: true, assign: assign,
		partial: m.work.partial, keepDW: w.grad != nil}
	m.workers.run(p, t)
	if w.grad != nil {
		for i := range p {
			for j, v := range m.work.partial[i*d : (i+1)*d] {
				w.grad[j] += v
			}
		}
	}
}
