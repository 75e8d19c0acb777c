package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"lep/model"
)

// TestMuon holds two updates of wide, tall and square matrices against the formulas in float64.
func TestMuon(t *testing.T) {
	for _, shape := range [][]int{{5, 12}, {12, 5}, {8, 8}} {
		rows, cols := shape[0], shape[1]
		opts := DefaultOptions()
		opts.Optimizer, opts.WeightDecay, opts.MaxGradNorm = Muon, 0.1, 0
		r := rand.New(rand.NewPCG(3, 3))
		p := model.Param{Name: "model.layers.0.mlp.up_proj.weight", Shape: shape, Data: make([]float32, rows*cols), Grad: make([]float32, rows*cols)}
		want, buf := make([]float64, rows*cols), make([]float64, rows*cols)
		for i := range p.Data {
			p.Data[i] = float32(r.NormFloat64())
			want[i] = float64(p.Data[i])
		}
		c := newCrew(2)
		defer c.stop()
		o := newOptimizer([]model.Param{p}, nil, &opts, c)
		for step := range 2 {
			u := make([]float64, rows*cols)
			for i := range p.Grad {
				p.Grad[i] = float32(r.NormFloat64())
				g := float64(p.Grad[i])
				buf[i] = 0.95*buf[i] + 0.05*g
				u[i] = 0.05*g + 0.95*buf[i]
			}
			u = newtonSchulz(rows, cols, u)
			for i := range want {
				want[i] = want[i]*(1-0.02*0.1) - 0.02*0.2*math.Sqrt(float64(max(rows, cols)))*u[i]
			}
			o.step(o.gradNorm(), 0.02, 0)
			for i := range want {
				if math.Abs(want[i]-float64(p.Data[i])) > 2e-5 {
					t.Fatalf("%v, step %d, element %d: %v, want %v", shape, step, i, p.Data[i], want[i])
				}
				if p.Grad[i] != 0 {
					t.Fatalf("%v: the gradient was not cleared", shape)
				}
			}
		}
	}
}

// newtonSchulz is the iteration written out: X' = aX + (bA + cA²)X with A = XXᵀ.
func newtonSchulz(rows, cols int, x []float64) []float64 {
	var norm float64
	for _, v := range x {
		norm += v * v
	}
	norm = math.Sqrt(norm)
	for i := range x {
		x[i] /= norm
	}
	for range 5 {
		a := product(rows, cols, rows, x, transposed(rows, cols, x))
		aa := product(rows, rows, rows, a, a)
		for i := range a {
			a[i] = -4.7750*a[i] + 2.0315*aa[i]
		}
		ax := product(rows, rows, cols, a, x)
		for i := range x {
			x[i] = 3.4445*x[i] + ax[i]
		}
	}
	return x
}

func product(m, k, n int, a, b []float64) []float64 {
	out := make([]float64, m*n)
	for i := range m {
		for j := range n {
			for l := range k {
				out[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	return out
}

func transposed(rows, cols int, x []float64) []float64 {
	out := make([]float64, len(x))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = x[i*cols+j]
		}
	}
	return out
}

// TestMuonParts says which parameters Muon takes: the matrices of the layers. Embeddings, head and norms are AdamW's.
func TestMuonParts(t *testing.T) {
	opts := DefaultOptions()
	opts.Optimizer = Muon
	param := func(name string, shape ...int) model.Param {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return model.Param{Name: name, Shape: shape, Data: make([]float32, n), Grad: make([]float32, n)}
	}
	c := newCrew(1)
	defer c.stop()
	o := newOptimizer([]model.Param{param(model.EmbedTokens, 6, 4), param("model.layers.0.self_attn.q_proj.weight", 4, 4),
		param("model.norm.weight", 4), param(model.LMHead, 6, 4)}, nil, &opts, c)
	for i, matrix := range []bool{false, true, false, false} {
		s := o.segments[i]
		if (s.v == nil) != matrix || (s.rows > 0) != matrix || s.m == nil {
			t.Errorf("segment %d: matrix is %v, second moments %v", i, s.rows > 0, s.v != nil)
		}
	}
}
