package linalg

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lep/tensor"
)

// closeDot bounds |got - want| by (k+4)·2^-24·Σ|a||x| (Higham 2002 §3.1).
func closeDot(t *testing.T, what string, got float32, a []float64, x []float32) {
	t.Helper()
	var want, bound float64
	for i, v := range a {
		want += v * float64(x[i])
		bound += math.Abs(v * float64(x[i]))
	}
	if !(math.Abs(float64(got)-want) <= float64(len(a)+4)*0x1p-24*bound) {
		t.Fatalf("%s: %g, want %g ± %g", what, got, want, float64(len(a)+4)*0x1p-24*bound)
	}
}

func TestMatrixVector(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range [][2]int{{1, 1}, {3, 7}, {5, 8}, {17, 33}, {40, 31}, {9, 64}, {300, 1029}, {2, 0}, {0, 5}} {
		m, k := s[0], s[1]
		lda := k + 3
		x := randomOf[float32](r, k)
		a := randomOf[float32](r, m*lda)
		wide, half := make([]uint16, len(a)), make([]uint16, len(a))
		q := make([]int8, len(a))
		groups := (k + Int8Group - 1) / Int8Group
		scales := make([]float32, m*groups)
		for i, v := range a {
			wide[i] = uint16(math.Float32bits(v) >> 16)
			half[i] = tensor.F16FromF64(float64(v))
			q[i] = int8(r.IntN(255) - 127)
		}
		for i := range scales {
			scales[i] = r.Float32()
		}
		y := func() []float32 {
			out := make([]float32, m)
			for i := range out {
				out[i] = float32(math.NaN())
			}
			return out
		}
		f32, bf16, f16, int8s := y(), y(), y(), y()
		SGEMV(m, k, a, lda, x, f32)
		SGEMVBF16(m, k, wide, lda, x, bf16)
		SGEMVF16(m, k, half, lda, x, f16)
		SGEMVInt8(m, k, q, lda, scales, x, int8s)
		for i := range m {
			row := func(f func(j int) float64) []float64 {
				out := make([]float64, k)
				for j := range out {
					out[j] = f(j)
				}
				return out
			}
			closeDot(t, fmt.Sprint("f32 ", s), f32[i], row(func(j int) float64 { return float64(a[i*lda+j]) }), x)
			closeDot(t, fmt.Sprint("bf16 ", s), bf16[i], row(func(j int) float64 { return float64(bf16ToF32(wide[i*lda+j])) }), x)
			closeDot(t, fmt.Sprint("f16 ", s), f16[i], row(func(j int) float64 { return float64(tensor.F16ToF32(half[i*lda+j])) }), x)
			closeDot(t, fmt.Sprint("int8 ", s), int8s[i], row(func(j int) float64 { return float64(q[i*lda+j]) * float64(scales[i*groups+j/Int8Group]) }), x)
		}
	}
}

func TestWidenF16(t *testing.T) {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	for _, n := range []int{0, 1, 7, 8, 13, 1 << 16} {
		got := make([]float32, n)
		WidenF16(got, all)
		for i, v := range got {
			if want := tensor.F16ToF32(all[i]); v != want && !(v != v && want != want) {
				t.Fatalf("%d values: %#04x became %g, want %g", n, i, v, want)
			}
		}
	}
}

func TestVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for n := range 70 {
		x, y := randomOf[float64](r, n), randomOf[float64](r, n)
		x32, y32 := randomOf[float32](r, n), randomOf[float32](r, n)
		if got, want := DDOT(x, y), dotPlain(x, y); math.Abs(got-want) > 1e-13 {
			t.Errorf("DDOT of %d: %g, want %g", n, got, want)
		}
		closeDot(t, "SDOT", SDOT(x32, y32), widen(x32), y32)
		got, want := append([]float64(nil), y...), append([]float64(nil), y...)
		DAXPY(0.7, x, got)
		axpyPlain(0.7, x, want)
		got32, want32 := append([]float32(nil), y32...), append([]float32(nil), y32...)
		SAXPY(0.7, x32, got32)
		axpyPlain(0.7, x32, want32)
		rx, ry, px, py := append([]float64(nil), x...), append([]float64(nil), y...), append([]float64(nil), x...), append([]float64(nil), y...)
		rotate(0.6, 0.8, rx, ry)
		rotatePlain(0.6, 0.8, px, py)
		for i := range n {
			if math.Abs(got[i]-want[i]) > 1e-14 || math.Abs(float64(got32[i]-want32[i])) > 1e-6 || math.Abs(rx[i]-px[i])+math.Abs(ry[i]-py[i]) > 1e-14 {
				t.Fatalf("length %d element %d: axpy %g and %g, want %g and %g; rotate %g %g, want %g %g", n, i, got[i], got32[i], want[i], want32[i], rx[i], ry[i], px[i], py[i])
			}
		}
	}
}

func TestSGEMMBF16(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	all := implementations(2)
	if bl, err := OpenBF16("builtin", 2); err == nil {
		all["builtin bf16"] = bl
	}
	for name, bl := range all {
		more := append(gemmCases(), gemmCase{m: 140, n: 70, k: 60, alpha: 1, transB: true}, gemmCase{m: 140, n: 70, k: 60, alpha: 0.5, beta: 1})
		for _, c := range more {
			if c.transA {
				continue
			}
			rows, cols := c.k, c.n
			if c.transB {
				rows, cols = cols, rows
			}
			ldb := cols + c.padB
			b := make([]uint16, rows*ldb)
			for i := range b {
				b[i] = uint16(math.Float32bits(float32(r.NormFloat64())) >> 16)
			}
			b32 := make([]float32, len(b))
			WidenBF16(b32, b)
			a := randomOf[float32](r, c.m*(c.k+c.padA))
			x := randomOf[float32](r, c.m*(c.n+c.padC))
			y := append([]float32(nil), x...)
			SGEMMBF16(bl, false, c.transB, c.m, c.n, c.k, float32(c.alpha), a, c.k+c.padA, b, ldb, float32(c.beta), x, c.n+c.padC)
			bl.SGEMM(false, c.transB, c.m, c.n, c.k, float32(c.alpha), a, c.k+c.padA, b32, ldb, float32(c.beta), y, c.n+c.padC)
			for i := range x {
				if x[i] != y[i] && math.Abs(float64(x[i]-y[i])) > 1e-4*(1+math.Abs(float64(y[i]))) {
					t.Fatalf("%s %+v: element %d is %g, want %g", name, c, i, x[i], y[i])
				}
				if x[i] != y[i] && name[0] == 'b' && name[1] == 'u' {
					t.Fatalf("%s %+v: element %d is %g, from float32 %g: builtin must give the same bits", name, c, i, x[i], y[i])
				}
			}
		}
	}
}

func TestQuantizeInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	row := randomOf[float32](r, 100)
	clear(row[32:64])
	q, s := make([]int8, 100), make([]float32, 4)
	QuantizeInt8(q, s, row)
	for i, v := range row {
		if d := math.Abs(float64(v) - float64(q[i])*float64(s[i/Int8Group])); d > 0.5001*float64(s[i/Int8Group]) {
			t.Errorf("value %d: %g became %d times %g", i, v, q[i], s[i/Int8Group])
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the race detector's own allocations would be counted")
	}
	r := rand.New(rand.NewPCG(1, 9))
	const n = 200
	a, b, c := randomOf[float32](r, n*n), randomOf[float32](r, n*n), make([]float32, n*n)
	h := make([]uint16, n*n)
	bl := openBuiltin(2)
	work := func() {
		bl.SGEMM(false, true, n, n, n, 1, a, n, b, n, 0, c, n)
		SGEMMBF16(bl, false, true, n, n, n, 1, a, n, h, n, 0, c, n)
	}
	work()
	// A collection empties the pools: allow for one in the runs.
	if got := testing.AllocsPerRun(50, work); got >= 1 {
		t.Errorf("%g allocations per step, want 0", got)
	}
}

func BenchmarkMatrixVector(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const m, k = 4096, 4096
	a, x, y := randomOf[float32](r, m*k), randomOf[float32](r, k), make([]float32, m)
	// Several copies, as a model has layers: one alone would stay in the cache.
	h, q := make([][]uint16, 4), make([][]int8, 8)
	for i := range h {
		h[i] = make([]uint16, m*k)
		for j := range h[i] {
			h[i][j] = uint16(j)
		}
	}
	for i := range q {
		q[i] = make([]int8, m*k)
		for j := range q[i] {
			q[i][j] = int8(j)
		}
	}
	s := make([]float32, m*k/Int8Group)
	run := func(name string, bytes int, f func(i int)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(bytes))
			for i := 0; b.Loop(); i++ {
				f(i)
			}
		})
	}
	run("f32", 4*m*k, func(int) { SGEMV(m, k, a, k, x, y) })
	run("bf16", 2*m*k, func(i int) { SGEMVBF16(m, k, h[i%len(h)], k, x, y) })
	run("f16", 2*m*k, func(i int) { SGEMVF16(m, k, h[i%len(h)], k, x, y) })
	run("int8", m*k, func(i int) { SGEMVInt8(m, k, q[i%len(q)], k, s, x, y) })
}
