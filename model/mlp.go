package model

import (
	"fmt"
	"math"
)

// activation is the function on the gate of the MLP.
type activation uint8

const (
	silu     activation = iota // x·sigmoid(x)
	geluTanh                   // gelu_pytorch_tanh
)

func parseActivation(name string) (activation, error) {
	switch name {
	case "silu", "swish":
		return silu, nil
	case "gelu_pytorch_tanh":
		return geluTanh, nil
	}
	return 0, fmt.Errorf("hidden_act is %q, want silu or gelu_pytorch_tanh", name)
}

// glu computes out = f(gate)·up. out may alias gate or up.
func glu(f activation, out, gate, up []float32) {
	gate, up = gate[:len(out)], up[:len(out)]
	if f == geluTanh {
		for i, g := range gate {
			y, _ := gelu(g)
			out[i] = y * up[i]
		}
		return
	}
	siluProduct(out, gate, up)
}

// gluBackward reads the gradient dout of f(gate)·up and replaces, in place,
//
//	dout by f(gate)·up itself, which the gradient of down_proj needs,
//	gate by dgate = dout·up·f'(gate),  up by dup = dout·f(gate).
func gluBackward(f activation, dout, gate, up []float32) {
	gate, up = gate[:len(dout)], up[:len(dout)]
	if f == geluTanh {
		for i, d := range dout {
			u := up[i]
			y, dy := gelu(gate[i])
			dout[i], gate[i], up[i] = y*u, d*u*dy, d*y
		}
		return
	}
	siluProductBackward(dout, gate, up)
}

// gelu returns 0.5x(1+tanh(sqrt(2/pi)(x+0.044715x³))) and its derivative.
func gelu(x float32) (y, dy float32) {
	const c, k = 0.7978845608028654, 0.044715
	v := float64(x)
	t := math.Tanh(c * (v + k*v*v*v))
	return float32(0.5 * v * (1 + t)), float32(0.5*(1+t) + 0.5*v*(1-t*t)*c*(1+3*k*v*v))
}

// gluTask runs glu or its backward over parts of (N, F).
type gluTask struct {
	f             activation
	out, gate, up []float32
	backward      bool
}

const gluPart = 1 << 13

func (t *gluTask) Part(_, i int) {
	lo, hi := i*gluPart, min((i+1)*gluPart, len(t.out))
	if t.backward {
		gluBackward(t.f, t.out[lo:hi], t.gate[lo:hi], t.up[lo:hi])
		return
	}
	glu(t.f, t.out[lo:hi], t.gate[lo:hi], t.up[lo:hi])
}

func (m *Model) glu(out, gate, up []float32, backward bool) {
	t := &m.tasks.glu
	*t = gluTask{f: m.act, out: out, gate: gate, up: up, backward: backward}
	m.crew.Run(parts(len(out), gluPart), t)
}
