package linalg

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// implementations returns all that this machine can run: every set of builtin
// kernels, gonum, and the libraries that are installed.
func implementations(threads int) map[string]BLAS {
	out := map[string]BLAS{"gonum": gonumBLAS{}}
	for _, k := range availableKernels() {
		out["builtin "+k.s.name] = newBuiltin(threads, k.s, k.d)
	}
	for _, name := range []string{"mkl", "openblas", "accelerate"} {
		if f, err := findLibrary(name, threads, nil); err == nil {
			out[name] = f.blas
		}
	}
	return out
}

type gemmCase struct {
	transA, transB bool
	m, n, k        int
	padA, padB     int // added to the row strides
	padC           int
	alpha, beta    float64
}

func gemmCases() []gemmCase {
	var out []gemmCase
	sizes := [][3]int{{1, 1, 1}, {2, 3, 4}, {12, 32, 8}, {13, 33, 9}, {4, 24, 5}, {5, 25, 3}, {1, 70, 300}, {70, 1, 31}, {31, 17, 400}, {61, 129, 77}, {150, 65, 20}}
	for i, s := range sizes {
		for tr := range 4 {
			out = append(out, gemmCase{transA: tr&1 != 0, transB: tr&2 != 0, m: s[0], n: s[1], k: s[2],
				padA: i % 3, padB: (i + tr) % 2 * 5, padC: tr, alpha: []float64{1, -0.5, 2}[i%3], beta: []float64{0, 1, 0.25, -1}[(i+tr)%4]})
		}
	}
	for _, s := range [][3]int{{0, 3, 3}, {3, 0, 3}, {3, 3, 0}, {0, 0, 0}} {
		out = append(out, gemmCase{m: s[0], n: s[1], k: s[2], alpha: 1, beta: 0.5}, gemmCase{m: s[0], n: s[1], k: s[2], alpha: 1})
	}
	out = append(out, gemmCase{m: 5, n: 6, k: 7, alpha: 0, beta: 2}, gemmCase{m: 5, n: 6, k: 7, alpha: 0, beta: 0},
		gemmCase{m: 50, n: 90, k: 800, alpha: 1, padC: 3, transB: true}, gemmCase{m: 3100, n: 40, k: 5, alpha: 1, beta: 1},
		gemmCase{m: 20, n: 3100, k: 7, alpha: 1, beta: 1}, gemmCase{m: 9, n: 3100, k: 700, alpha: 1, transA: true})
	return out
}

func randomOf[F Float](r *rand.Rand, n int) []F {
	x := make([]F, n)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	return x
}

// checkProduct runs one case and compares with the naive product in float64.
// Bound: |error| <= 2(k+3)·u·(|alpha|·|A||B| + |beta||C|), from γ_k of Higham 2002 §3.5.
func checkProduct[F Float](t *testing.T, c gemmCase, unit float64, gemm func(transA, transB bool, m, n, k int, alpha F, a []F, lda int, b []F, ldb int, beta F, cm []F, ldc int)) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(c.m*1000+c.n), uint64(c.k)))
	rowsA, colsA, rowsB, colsB := c.m, c.k, c.k, c.n
	if c.transA {
		rowsA, colsA = colsA, rowsA
	}
	if c.transB {
		rowsB, colsB = colsB, rowsB
	}
	lda, ldb, ldc := colsA+c.padA, colsB+c.padB, c.n+c.padC
	tight := func(rows, cols, ld int) int { // no element behind the last row
		if rows == 0 {
			return 0
		}
		return (rows-1)*ld + cols
	}
	a, b := randomOf[F](r, tight(rowsA, colsA, lda)), randomOf[F](r, tight(rowsB, colsB, ldb))
	cm := randomOf[F](r, tight(c.m, c.n, ldc))
	if c.beta == 0 {
		for i := range cm {
			cm[i] = F(math.NaN())
		}
	}
	wide, bound := make([]float64, len(cm)), make([]float64, len(cm))
	for i, v := range cm {
		wide[i], bound[i] = float64(v), math.Abs(float64(v))
	}
	before := append([]F(nil), cm...)
	gemmNaive(c.transA, c.transB, c.m, c.n, c.k, c.alpha, widen(a), lda, widen(b), ldb, c.beta, wide, ldc)
	gemmNaive(c.transA, c.transB, c.m, c.n, c.k, math.Abs(c.alpha), absolute(a), lda, absolute(b), ldb, math.Abs(c.beta), bound, ldc)
	gemm(c.transA, c.transB, c.m, c.n, c.k, F(c.alpha), a, lda, b, ldb, F(c.beta), cm, ldc)
	for i := range cm {
		if i%ldc >= c.n {
			if math.Float64bits(float64(cm[i])) != math.Float64bits(float64(before[i])) {
				t.Fatalf("%+v: wrote between the rows, at %d", c, i)
			}
			continue
		}
		if d := math.Abs(float64(cm[i]) - wide[i]); !(d <= 2*float64(c.k+3)*unit*bound[i]) {
			t.Fatalf("%+v: C[%d,%d] = %g, want %g, off by %g of %g", c, i/ldc, i%ldc, cm[i], wide[i], d, 2*float64(c.k+3)*unit*bound[i])
		}
	}
}

func widen[F Float](x []F) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func absolute[F Float](x []F) []float64 {
	out := widen(x)
	for i := range out {
		out[i] = math.Abs(out[i])
	}
	return out
}

func TestProducts(t *testing.T) {
	for name, bl := range implementations(2) {
		t.Run(name, func(t *testing.T) {
			for _, c := range gemmCases() {
				checkProduct(t, c, 0x1p-24, bl.SGEMM)
				checkProduct(t, c, 0x1p-53, bl.DGEMM)
			}
		})
	}
}

func TestSYRK(t *testing.T) {
	for name, bl := range implementations(2) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, s := range [][2]int{{1, 1}, {5, 3}, {12, 12}, {33, 17}, {150, 61}, {200, 300}, {0, 3}, {3, 0}} {
				for _, beta := range []float64{0, 1, -0.5} {
					n, k := s[0], s[1]
					lda, ldc := n+2, n+1
					a := randomOf[float64](r, k*lda)
					c := randomOf[float64](r, n*ldc)
					if beta == 0 {
						for i := range n {
							for j := i; j < n; j++ {
								c[i*ldc+j] = math.NaN()
							}
						}
					}
					want := append([]float64(nil), c...)
					gemmNaive(true, false, n, n, k, -1.5, a, lda, a, lda, beta, want, ldc)
					got := append([]float64(nil), c...)
					bl.DSYRK(n, k, -1.5, a, lda, beta, got, ldc)
					for i := range n {
						for j := range ldc {
							switch x := got[i*ldc+j]; {
							case j >= i && j < n:
								if !(math.Abs(x-want[i*ldc+j]) <= 1e-13*float64(k+3)) {
									t.Fatalf("n %d k %d beta %g: C[%d,%d] = %g, want %g", n, k, beta, i, j, x, want[i*ldc+j])
								}
							case math.Float64bits(x) != math.Float64bits(c[i*ldc+j]):
								t.Fatalf("n %d k %d beta %g: wrote C[%d,%d] outside the upper triangle", n, k, beta, i, j)
							}
						}
					}
				}
			}
		})
	}
}

// TestThreads holds builtin to its promise: the number of workers changes no bit.
func TestThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range availableKernels() {
		one, eight := newBuiltin(1, k.s, k.d), newBuiltin(8, k.s, k.d)
		for _, s := range [][3]int{{300, 500, 700}, {37, 1000, 260}, {1000, 37, 300}, {129, 131, 513}} {
			t.Run(fmt.Sprint(k.s.name, s), func(t *testing.T) {
				m, n, kk := s[0], s[1], s[2]
				a, b := randomOf[float32](r, m*kk), randomOf[float32](r, kk*n)
				x, y := make([]float32, m*n), make([]float32, m*n)
				one.SGEMM(false, true, m, n, kk, 1.5, a, kk, b, kk, 0, x, n)
				eight.SGEMM(false, true, m, n, kk, 1.5, a, kk, b, kk, 0, y, n)
				for i := range x {
					if x[i] != y[i] {
						t.Fatalf("SGEMM element %d: %g on 1 worker, %g on 8", i, x[i], y[i])
					}
				}
				// A row of the product alone is the row in the whole.
				row := make([]float32, n)
				one.SGEMM(false, true, 1, n, kk, 1.5, a[(m-1)*kk:], kk, b, kk, 0, row, n)
				for i := range row {
					if row[i] != x[(m-1)*n+i] {
						t.Fatalf("SGEMM element %d of the last row: %g alone, %g in the whole", i, row[i], x[(m-1)*n+i])
					}
				}
				d := randomOf[float64](r, kk*m)
				p, q := make([]float64, m*m), make([]float64, m*m)
				one.DSYRK(m, kk, 1, d, m, 0, p, m)
				eight.DSYRK(m, kk, 1, d, m, 0, q, m)
				for i := range p {
					if p[i] != q[i] {
						t.Fatalf("DSYRK element %d: %g on 1 worker, %g on 8", i, p[i], q[i])
					}
				}
			})
		}
	}
}

// TestConcurrentCalls: one value serves many goroutines at once.
func TestConcurrentCalls(t *testing.T) {
	const n = 150
	r := rand.New(rand.NewPCG(8, 8))
	a, b, want := randomOf[float32](r, n*n), randomOf[float32](r, n*n), make([]float32, n*n)
	gemmNaive(false, true, n, n, n, 1, a, n, b, n, 0, want, n)
	for name, bl := range implementations(2) {
		var wg sync.WaitGroup
		var wrong atomic.Int32
		for range 6 {
			wg.Go(func() {
				c, y := make([]float32, n*n), make([]float32, n)
				for range 10 {
					bl.SGEMM(false, true, n, n, n, 1, a, n, b, n, 0, c, n)
					SGEMV(n, n, b, n, a, y)
					for i := range c {
						if math.Abs(float64(c[i]-want[i])) > 1e-3 || i < n && math.Abs(float64(y[i]-want[i])) > 1e-3 {
							wrong.Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		if w := wrong.Load(); w > 0 {
			t.Errorf("%s: %d wrong elements from calls at the same time", name, w)
		}
	}
}

// TestKernelsAgree: processors with AVX2 and with AVX-512 give the same bits.
func TestKernelsAgree(t *testing.T) {
	var fused []kernelPair
	for _, k := range availableKernels() {
		if k.s.name != "generic" {
			fused = append(fused, k)
		}
	}
	if len(fused) < 2 {
		t.Skip("this processor has fewer than two kernels in assembly")
	}
	r := rand.New(rand.NewPCG(6, 4))
	const m, n, k = 70, 90, 700
	a, b := randomOf[float64](r, m*k), randomOf[float64](r, n*k)
	x, y := make([]float64, m*n), make([]float64, m*n)
	newBuiltin(1, fused[0].s, fused[0].d).DGEMM(false, true, m, n, k, 1.1, a, k, b, k, 0, x, n)
	newBuiltin(1, fused[1].s, fused[1].d).DGEMM(false, true, m, n, k, 1.1, a, k, b, k, 0, y, n)
	for i := range x {
		if x[i] != y[i] {
			t.Fatalf("element %d: %g by %s, %g by %s", i, x[i], fused[0].d.name, y[i], fused[1].d.name)
		}
	}
}

func FuzzProduct(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint16(3), uint8(0), int8(1), int8(0))
	f.Add(uint8(13), uint8(33), uint16(400), uint8(3), int8(-2), int8(3))
	all := implementations(2)
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16, flags uint8, alpha, beta int8) {
		c := gemmCase{m: int(m), n: int(n), k: int(k % 600), transA: flags&1 != 0, transB: flags&2 != 0,
			padA: int(flags >> 2 & 3), padB: int(flags >> 4 & 3), padC: int(flags >> 6), alpha: float64(alpha) / 8, beta: float64(beta) / 8}
		for _, bl := range all {
			checkProduct(t, c, 0x1p-24, bl.SGEMM)
			checkProduct(t, c, 0x1p-53, bl.DGEMM)
		}
	})
}

func TestArgumentsAreChecked(t *testing.T) {
	for name, bl := range implementations(1) {
		for _, tt := range []struct {
			want string
			call func()
		}{
			{"linalg: ldb < columns of b", func() {
				bl.SGEMM(false, false, 2, 3, 4, 1, make([]float32, 8), 4, make([]float32, 12), 2, 0, make([]float32, 6), 3)
			}},
			{"linalg: a is too short", func() {
				bl.DGEMM(false, false, 2, 3, 4, 1, make([]float64, 7), 4, make([]float64, 12), 3, 0, make([]float64, 6), 3)
			}},
			{"linalg: c is too short", func() { bl.DSYRK(3, 1, 1, make([]float64, 3), 3, 0, make([]float64, 8), 3) }},
			{"linalg: negative size", func() { bl.DSYRK(-1, 1, 1, nil, 3, 0, nil, 3) }},
		} {
			func() {
				defer func() {
					if got := recover(); got != tt.want {
						t.Errorf("%s: panic %v, want %q", name, got, tt.want)
					}
				}()
				tt.call()
			}()
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{256, 1024, 2048} {
		x, y, z := randomOf[float32](r, n*n), randomOf[float32](r, n*n), make([]float32, n*n)
		dx, dy, dz := widen(x), widen(y), widen(z)
		flops := 2 * float64(n) * float64(n) * float64(n)
		report := func(b *testing.B) {
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		for name, bl := range implementations(2) {
			b.Run(fmt.Sprintf("sgemm/%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bl.SGEMM(false, true, n, n, n, 1, x, n, y, n, 0, z, n)
				}
				report(b)
			})
			b.Run(fmt.Sprintf("dgemm/%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					bl.DGEMM(false, true, n, n, n, 1, dx, n, dy, n, 0, dz, n)
				}
				report(b)
			})
		}
	}
}
