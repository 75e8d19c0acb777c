package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lep/model"
)

// TestAdamWFast holds the vector kernel against the plain loop, to the bit.
func TestAdamWFast(t *testing.T) {
	if !hasAVX {
		t.Skip("this processor has no vector kernel")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 7, 8, 9, 64, 1001} {
		var fast, plain [4][]float32 // p, g, m, v
		for i := range fast {
			for range n {
				x := float32(r.NormFloat64())
				if i == 3 {
					x = x * x
				}
				if r.IntN(10) == 0 {
					x = 0
				}
				fast[i] = append(fast[i], x)
			}
			plain[i] = slices.Clone(fast[i])
		}
		k := adamWStep{shrink: 0.999, coef: 0.7, beta1: 0.9, rest1: 0.1, beta2: 0.95, rest2: 0.05, size: 1e-2, root: 1.3, eps: 1e-8}
		k.apply(fast[0], fast[1], fast[2], fast[3])
		hasAVX = false
		k.apply(plain[0], plain[1], plain[2], plain[3])
		hasAVX = true
		for i := range fast {
			for j := range fast[i] {
				if math.Float32bits(fast[i][j]) != math.Float32bits(plain[i][j]) {
					t.Fatalf("n %d, array %d, element %d: %v, the plain loop gives %v", n, i, j, fast[i][j], plain[i][j])
				}
			}
		}
	}
}

// TestSchedules holds the factors against transformers' get_cosine_schedule_with_warmup,
// get_linear_schedule_with_warmup, get_constant_schedule_with_warmup and get_wsd_schedule
// (10 steps, 2 of warm-up, 4 of decay).
func TestSchedules(t *testing.T) {
	for _, tt := range []struct {
		s    Schedule
		want []float64
	}{
		{Schedule{Type: Cosine, Steps: 10, Warmup: 2}, []float64{0, 0.5, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5, 0.3086582838174552, 0.14644660940672627, 0.03806023374435663}},
		{Schedule{Type: Linear, Steps: 10, Warmup: 2}, []float64{0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125}},
		{Schedule{Type: Constant, Steps: 10, Warmup: 2}, []float64{0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1}},
		{Schedule{Type: WSD, Steps: 10, Warmup: 2, Decay: 4}, []float64{0, 0.5, 1, 1, 1, 1, 1, 0.8535533905932737, 0.5, 0.14644660940672627}},
		{Schedule{Type: Linear, Steps: 4, Floor: 0.1}, []float64{1, 0.775, 0.55, 0.325}},
	} {
		for step, want := range tt.want {
			if got := tt.s.Factor(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s, floor %v: step %d has factor %v, want %v", tt.s.Type, tt.s.Floor, step, got, want)
			}
		}
	}
}

// TestSGD compares momentum with torch.optim.SGD by hand: two steps of one element.
func TestSGD(t *testing.T) {
	o := DefaultOptions()
	o.Optimizer, o.Momentum, o.MaxGradNorm, o.WeightDecay = SGD, 0.9, 0, 0
	p := model.Param{Name: "x", Shape: []int{1}, Data: []float32{1}, Grad: []float32{0.5}}
	c := newCrew(1)
	defer c.stop()
	opt := newOptimizer([]model.Param{p}, nil, &o, c)
	opt.step(0, 0.1, 0)
	p.Grad[0] = 0.25
	opt.step(0, 0.1, 0)
	if want := float32(1 - 0.1*0.5 - 0.1*(0.9*0.5+0.25)); math.Abs(float64(p.Data[0]-want)) > 1e-7 {
		t.Errorf("%v, want %v", p.Data[0], want)
	}
}

// TestTouchedRows holds updates of marked rows only against those of all rows, to the bit: for
// the gradients of some tokens a step, a range of rows, and after a checkpoint was read.
func TestTouchedRows(t *testing.T) {
	const rows, cols, steps = 700, 100, 6
	for _, opt := range []OptimizerName{AdamW, SGD} {
		for _, ranges := range [][]rowRange{nil, {{3, 40}, {401, 700}}} {
			o := DefaultOptions()
			o.Optimizer, o.Momentum = opt, 0.9
			c := newCrew(2)
			defer c.stop()
			r := rand.New(rand.NewPCG(7, 7))
			param := func(touched []bool) model.Param {
				return model.Param{Name: model.EmbedTokens, Shape: []int{rows, cols}, Data: make([]float32, rows*cols), Grad: make([]float32, rows*cols), Touched: touched}
			}
			dense, sparse := param(nil), param(make([]bool, rows))
			for i := range dense.Data {
				dense.Data[i] = float32(r.NormFloat64())
			}
			copy(sparse.Data, dense.Data)
			all, some := newOptimizer([]model.Param{dense}, ranges, &o, c), newOptimizer([]model.Param{sparse}, ranges, &o, c)
			for step := range steps {
				for range 30 {
					row := r.IntN(rows / 2)
					sparse.Touched[row] = true
					for i := row * cols; i < (row+1)*cols; i++ {
						dense.Grad[i] = float32(r.NormFloat64())
						sparse.Grad[i] = dense.Grad[i]
					}
				}
				want, got := all.gradNorm(), some.gradNorm()
				if math.Abs(got-want) > 1e-12*want {
					t.Fatalf("%s, step %d: norm %v, of all rows %v", opt, step, got, want)
				}
				if step == steps/2 {
					for i := range some.segments {
						clear(some.segments[i].live)
					}
					some.findLive()
				}
				all.step(want, 1e-2, 1e-2)
				some.step(want, 1e-2, 1e-2)
				for i := range dense.Data {
					if math.Float32bits(dense.Data[i]) != math.Float32bits(sparse.Data[i]) {
						t.Fatalf("%s, rows %v, step %d, row %d: %v, all rows give %v", opt, ranges, step, i/cols, sparse.Data[i], dense.Data[i])
					}
				}
				clear(dense.Grad) // of rows outside the ranges
				clear(sparse.Grad)
				clear(sparse.Touched)
			}
		}
	}
}
