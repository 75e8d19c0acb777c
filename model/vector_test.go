package model

import (
	"math"
	"math/rand/v2"
	"testing"
)

func randoms(seed uint64, n int, deviation float64) []float32 {
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * deviation)
	}
	return x
}

// plainly runs f without assembly.
func plainly(f func()) {
	defer setAssembly(setAssembly(false))
	f()
}

// TestFastAgainstPlain runs each kernel with assembly and without. 1e-6 is some rounding
// errors: the assembly multiplies and adds in one rounding where plain Go has two.
func TestFastAgainstPlain(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 16, 63, 64, 100, 2048, 2056, 5003} {
		x, y, z, w := randoms(1, n, 3), randoms(2, n, 1), randoms(3, n, 1), randoms(4, n, 1)
		half := n / 2
		copied := func(v []float32) []float32 { return append([]float32(nil), v...) }
		for _, k := range []struct {
			name string
			run  func() (out []float32, sum float64)
		}{
			{"expSum", func() ([]float32, float64) { a := copied(x); s := expSum(a, 2); return a, s }},
			{"expTotal", func() ([]float32, float64) { return nil, expTotal(x, 2) }},
			{"softmax", func() ([]float32, float64) { a := copied(x); s := softmax(a); return a, float64(s) }},
			{"softmaxBackward", func() ([]float32, float64) { a := copied(x); softmaxBackward(a, y, 0.3); return a, 0 }},
			{"maximum", func() ([]float32, float64) { return nil, float64(maximum(x)) }},
			{"scale", func() ([]float32, float64) { a := copied(x); scale(a, 1.7); return a, 0 }},
			{"addBias", func() ([]float32, float64) { a := copied(x); addBias(a, y); return a, 0 }},
			{"siluProduct", func() ([]float32, float64) { a := copied(x); siluProduct(a, a, y); return a, 0 }},
			{"siluProductBackward", func() ([]float32, float64) {
				a, b, c := copied(x), copied(y), copied(z)
				siluProductBackward(a, b, c)
				return append(append(a, b...), c...), 0
			}},
			{"sumSquares", func() ([]float32, float64) { return nil, sumSquares(x) }},
			{"normRow", func() ([]float32, float64) { a := copied(x); normRow(a, a, y, 1, 0.6); return a, 0 }},
			{"normDot", func() ([]float32, float64) { return nil, normDot(x, y, z, 1) }},
			{"normRowBackward", func() ([]float32, float64) {
				a, b := copied(x), copied(x)
				normRowBackward(a, y, z, w, 1, 0.7, 0.2, false)
				normRowBackward(b, y, z, w, 1, 0.7, 0.2, true)
				return append(a, b...), 0
			}},
			{"addProduct", func() ([]float32, float64) { a := copied(x); addProduct(a, y, z, 0.4); return a, 0 }},
			{"rotate", func() ([]float32, float64) {
				a, b := copied(x), copied(x)
				rotate(a, y[:half], z[:half])
				rotateBackward(b, y[:half], z[:half])
				return append(a, b...), 0
			}},
		} {
			got, sum := k.run()
			var want []float32
			var wantSum float64
			plainly(func() { want, wantSum = k.run() })
			if d := maxDiff(got, want); !(d <= 1e-6*max(1, maxAbs(want))) {
				t.Errorf("%s of %d: differs by %.3g from plain Go", k.name, n, d)
			}
			if math.Abs(sum-wantSum) > 1e-6*max(1, math.Abs(wantSum)) {
				t.Errorf("%s of %d: %.9g, plain Go says %.9g", k.name, n, sum, wantSum)
			}
		}
	}
}

// TestExp compares with math.Exp over the range, the borders and beyond.
func TestExp(t *testing.T) {
	var x []float32
	for v := -90.0; v < 88.3; v += 0.00731 {
		x = append(x, float32(v))
	}
	for len(x)%8 != 0 {
		x = append(x, 0)
	}
	check := func(name string, at float32, got float32) {
		want := math.Exp(float64(at))
		if at < -86.5 {
			want = 0
		}
		if math.Abs(float64(got)-want) > 2.5e-7*want {
			t.Errorf("%s(%g) = %g, want %g", name, at, got, want)
		}
	}
	y := append([]float32(nil), x...)
	expSum(y, 0)
	for i, v := range x {
		check("exp32", v, exp32(v))
		check("expSum", v, y[i])
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	odd := []float32{nan, inf, -inf, 0, 1, 100, -100, nan}
	expSum(odd, 0)
	for i, want := range []float32{nan, exp32(88.37626), 0, 1, exp32(1), exp32(88.37626), 0, nan} {
		if got := odd[i]; got != want && (got == got || want == want) && math.Abs(float64(got/want-1)) > 2.5e-7 {
			t.Errorf("place %d: exp is %g, want %g", i, got, want)
		}
	}
}
