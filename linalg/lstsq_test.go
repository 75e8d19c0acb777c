package linalg

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func randn(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// problem makes S (rows, d) of the given rank and noise and G = S W0 + residual.
func problem(seed uint64, rows, d, rank int, noise float64, round func(float64) float64) (s, g []float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	left, right := randn(r, rows*rank), randn(r, rank*d)
	s = make([]float64, rows*d)
	if rank == d {
		copy(s, left)
	} else {
		gemmNaive(false, false, rows, d, rank, 1, left, rank, right, d, 0, s, d)
	}
	w := randn(r, d*d)
	g = make([]float64, rows*d)
	scale(0.1/math.Sqrt(float64(d)), w)
	for i := range s {
		s[i] = round(s[i])
	}
	copy(g, s)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, 1, g, d)
	for i := range g {
		g[i] = round(g[i] + noise*r.NormFloat64())
	}
	return s, g
}

func f32(x float64) float64 { return float64(float32(x)) }
func bf16(x float64) float64 {
	return float64(math.Float32frombits((math.Float32bits(float32(x)) + 0x8000) &^ 0xffff))
}

func inBlocks(s, g []float64, d, size int) Blocks {
	return func(add func(rows int, s []float64, g ...[]float64) error) error {
		rows := len(s) / d
		for i := 0; i < rows; i += size {
			k := min(size, rows-i)
			if err := add(k, s[i*d:(i+k)*d], g[i*d:(i+k)*d]); err != nil {
				return err
			}
		}
		return nil
	}
}

// optimality returns how far SᵀR is from zero for the residual R, relative to ||S|| ||G||.
func optimality(s, g []float64, d int, w []float64) float64 {
	rows := len(s) / d
	r := append([]float64(nil), g...)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, -1, r, d)
	st := make([]float64, d*d)
	gemmNaive(true, false, d, d, rows, 1, s, d, r, d, 0, st, d)
	return norm(st) / (norm(s) * norm(g))
}

func TestFit(t *testing.T) {
	bl := openBuiltin(2)
	for _, tt := range []struct {
		name       string
		rows, d, k int
		round      func(float64) float64
		u          float64
		method     string
	}{
		{"full rank f32", 300, 40, 40, f32, 0x1p-24, "cholesky"},
		{"full rank bf16", 500, 64, 64, bf16, 0x1p-9, "cholesky"},
		{"rank 12 of 24 in f32", 300, 24, 12, f32, 0x1p-24, "svd"},
		{"rank 6 of 24 in bf16", 300, 24, 6, bf16, 0x1p-9, "svd"},
		{"fewer rows than columns", 20, 33, 20, f32, 0x1p-24, "svd"},
		{"one row", 1, 5, 1, f32, 0x1p-24, "svd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, g := problem(7, tt.rows, tt.d, tt.k, 0.01, tt.round)
			sols, err := Fit(context.Background(), bl, tt.d, 1, tt.u, inBlocks(s, g, tt.d, 37))
			if err != nil {
				t.Fatal(err)
			}
			sol := sols[0]
			if sol.Method != tt.method || sol.Rank != tt.k {
				t.Errorf("method %s rank %d, want %s %d (tau %g, sigma %g..%g)", sol.Method, sol.Rank, tt.method, tt.k, sol.NoiseFloor, sol.SigmaMin, sol.SigmaMax)
			}
			res, err := Residual(context.Background(), bl, tt.d, [][]float64{sol.W}, inBlocks(s, g, tt.d, 50))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(res[0]-sol.Residual) > 1e-7*norm(g) {
				t.Errorf("residual %g, streamed %g", sol.Residual, res[0])
			}
			if tt.k == tt.d {
				if o := optimality(s, g, tt.d, sol.W); o > 1e-13 {
					t.Errorf("normal equations off by %g", o)
				}
			}
		})
	}
}

func TestSolveUnresolved(t *testing.T) {
	s, g := problem(7, 300, 24, 12, 0.01, f32)
	n := NewNormalEquations(24, openBuiltin(1))
	n.Add(s, g, 300)
	if _, err := n.Solve(0x1p-24); !errors.Is(err, ErrUnresolved) {
		t.Errorf("rank deficient float32 rows: %v, want ErrUnresolved", err)
	}
}

// TestTargets solves two targets that share S, in each path, and one at a time.
func TestTargets(t *testing.T) {
	ctx, bl := context.Background(), openBuiltin(2)
	for _, rank := range []int{10, 21} {
		const d, rows = 21, 90
		s, g := problem(3, rows, d, rank, 0.02, f32)
		_, h := problem(4, rows, d, d, 0.5, f32)
		both, err := Fit(ctx, bl, d, 2, 0x1p-24, func(add func(int, []float64, ...[]float64) error) error {
			if err := add(50, s[:50*d], g[:50*d], h[:50*d]); err != nil {
				return err
			}
			return add(rows-50, s[50*d:], g[50*d:], h[50*d:])
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, target := range [][]float64{g, h} {
			one, err := Fit(ctx, bl, d, 1, 0x1p-24, inBlocks(s, target, d, 50))
			if err != nil {
				t.Fatal(err)
			}
			if x := worst(both[i].W, one[0].W); !(x <= 1e-9) || both[i].Rank != rank || math.Abs(both[i].Residual-one[0].Residual) > 1e-9 {
				t.Errorf("rank %d target %d (%s): W off by %g, residual %g and %g", rank, i, both[i].Method, x, both[i].Residual, one[0].Residual)
			}
		}
	}
}

// TestPaths holds the three ways to a solution against each other.
func TestPaths(t *testing.T) {
	bl := openBuiltin(1)
	for _, tt := range []struct {
		rank int
		u    float64
		rnd  func(float64) float64
		tol  float64
	}{{40, 0x1p-24, f32, 1e-11}, {9, 0x1p-9, bf16, 1e-7}} {
		const d, rows = 40, 400
		s, g := problem(11, rows, d, tt.rank, 0.01, tt.rnd)
		n, q := NewNormalEquations(d, bl), NewQR(d, 1, bl)
		n.Add(s, g, rows)
		for i := 0; i < rows; i += 77 { // blocks smaller and larger than d would be
			k := min(77, rows-i)
			q.Add(k, s[i*d:(i+k)*d], g[i*d:(i+k)*d])
		}
		a, err := n.Solve(tt.u)
		if err != nil {
			t.Fatal(err)
		}
		b, err := q.Solve(tt.u)
		if err != nil {
			t.Fatal(err)
		}
		x, y := a[0], b[0]
		if off := worst(x.W, y.W); !(off <= tt.tol) || x.Rank != tt.rank || y.Rank != tt.rank {
			t.Errorf("%s rank %d and %s rank %d (want %d) differ by %g", x.Method, x.Rank, y.Method, y.Rank, tt.rank, off)
		}
		for _, v := range [][2]float64{{x.Residual, y.Residual}, {x.SigmaMax, y.SigmaMax}, {x.NoiseFloor, y.NoiseFloor}, {x.NormW, y.NormW}, {x.NormDelta, y.NormDelta}, {x.RelativeResidual, y.RelativeResidual}} {
			if math.Abs(v[0]-v[1]) > 1e-6*v[1] {
				t.Errorf("rank %d: %g by %s, %g by %s", tt.rank, v[0], x.Method, v[1], y.Method)
			}
		}
	}
}

// TestIllConditioned: columns that differ by far less than what Gram matrices resolve.
func TestIllConditioned(t *testing.T) {
	const d, rows = 12, 200
	r := rand.New(rand.NewPCG(5, 5))
	s, w := randn(r, rows*d), randn(r, d*d)
	for i := range rows {
		s[i*d+1] = s[i*d] + 1e-6*s[i*d+1] // condition about 1e6
	}
	g := make([]float64, rows*d)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, 0, g, d)
	sols, err := Fit(context.Background(), openBuiltin(1), d, 1, 0x1p-53, inBlocks(s, g, d, 64))
	if err != nil {
		t.Fatal(err)
	}
	if off := worst(sols[0].W, w); sols[0].Method != "qr" || !(off <= 1e-7) {
		t.Errorf("by %s, off by %g; want qr and 1e-7", sols[0].Method, off)
	}
}

// TestOutlierColumns: columns of very different size are no reason for a second pass.
func TestOutlierColumns(t *testing.T) {
	const d, rows = 30, 300
	r := rand.New(rand.NewPCG(6, 5))
	s, w := randn(r, rows*d), randn(r, d*d)
	for i := range s {
		if i%d == 3 {
			s[i] *= 1e5
		}
		s[i] = f32(s[i])
	}
	g := make([]float64, rows*d)
	gemmNaive(false, false, rows, d, d, 1, s, d, w, d, 0, g, d)
	sols, err := Fit(context.Background(), openBuiltin(1), d, 1, 0x1p-24, inBlocks(s, g, d, 64))
	if err != nil {
		t.Fatal(err)
	}
	if off := worst(sols[0].W, w); sols[0].Method != "cholesky" || !(off <= 1e-9) || sols[0].Condition < 1e4 {
		t.Errorf("by %s, off by %g at condition %g; want cholesky and 1e-9", sols[0].Method, off, sols[0].Condition)
	}
}

func TestFoldsAndRidge(t *testing.T) {
	const d, rows, fold = 16, 300, 100
	bl := openBuiltin(1)
	s, g := problem(21, rows, d, d, 0.05, f32)
	all, held := NewNormalEquations(d, bl), NewNormalEquations(d, bl)
	all.Add(s, g, rows)
	held.Add(s[:fold*d], g[:fold*d], fold)
	rest := all.Clone()
	rest.Sub(held)
	direct := NewNormalEquations(d, bl)
	direct.Add(s[fold*d:], g[fold*d:], rows-fold)
	x, err := rest.Solve(0x1p-24)
	if err != nil {
		t.Fatal(err)
	}
	y, err := direct.Solve(0x1p-24)
	if err != nil {
		t.Fatal(err)
	}
	if off := worst(x[0].W, y[0].W); !(off <= 1e-12) || x[0].Rows != rows-fold {
		t.Errorf("all minus a fold is off by %g from the rest, %d rows", off, x[0].Rows)
	}
	res, err := Residual(context.Background(), bl, d, [][]float64{x[0].W}, inBlocks(s[:fold*d], g[:fold*d], d, 30))
	if err != nil {
		t.Fatal(err)
	}
	if got := held.Residual(0, x[0].W); math.Abs(got-res[0]) > 1e-10*res[0] {
		t.Errorf("held-out residual %g, by rows %g", got, res[0])
	}
	rest.Merge(held)
	if off := worst(rest.A, all.A); !(off <= 1e-10) || rest.Rows != rows {
		t.Errorf("merged again: A off by %g, %d rows", off, rest.Rows)
	}

	// Ridge: (A + λI) X = B, and from least squares to the identity as λ grows.
	last := math.Inf(1)
	for _, lambda := range []float64{0, 0.1, 10, 1000} {
		sol, err := all.Ridge(0, lambda*all.MeanEigenvalue())
		if err != nil {
			t.Fatal(err)
		}
		left := all.full()
		for i := range d {
			left[i*d+i] += lambda * all.MeanEigenvalue()
		}
		xs := append([]float64(nil), sol.W...)
		for i := range d {
			xs[i*d+i]--
		}
		b := make([]float64, d*d)
		gemmNaive(false, false, d, d, d, 1, left, d, xs, d, 0, b, d)
		if off := worst(b, all.B[0]); !(off <= 1e-9*norm(all.B[0])) {
			t.Errorf("ridge %g solves its equations to %g", lambda, off)
		}
		if !(sol.NormDelta < last) {
			t.Errorf("ridge %g: ||W - I|| %g is not below %g", lambda, sol.NormDelta, last)
		}
		last = sol.NormDelta
	}
}

func TestFitRefuses(t *testing.T) {
	ctx, bl := context.Background(), openBuiltin(1)
	_, err := Fit(ctx, bl, 4, 1, 0x1p-24, inBlocks(nil, nil, 4, 10))
	if err == nil || err.Error() != "least squares over rows of 4 values: no rows" {
		t.Errorf("no rows: %v", err)
	}
	if _, err := FitReference(ctx, bl, 4, 1, inBlocks(nil, nil, 4, 10)); err == nil {
		t.Error("no rows: the reference's way gave no error")
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		s, g := problem(1, 20, 4, 4, 0, f32)
		s[7] = bad
		if _, err := Fit(ctx, bl, 4, 1, 0x1p-24, inBlocks(s, g, 4, 10)); err == nil || err.Error() != "least squares over 20 rows of 4 values: rows hold NaN or infinite values" {
			t.Errorf("%g in S: %v", bad, err)
		}
		s, g = problem(1, 20, 4, 4, 0, f32)
		g[7] = bad
		if _, err := Fit(ctx, bl, 4, 1, 0x1p-24, inBlocks(s, g, 4, 10)); err == nil || err.Error() != "least squares over 20 rows of 4 values: target 0 holds NaN or infinite values" {
			t.Errorf("%g in G: %v", bad, err)
		}
	}
	stop, cancel := context.WithCancel(ctx)
	cancel()
	s, g := problem(1, 20, 4, 4, 0, f32)
	if _, err := Fit(stop, bl, 4, 1, 0x1p-24, inBlocks(s, g, 4, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestUnchanged: where nothing changed, or S is zero, W is the identity, exactly.
func TestUnchanged(t *testing.T) {
	const d = 9
	s, _ := problem(1, 50, d, d, 0, f32)
	zero := make([]float64, len(s))
	for name, p := range map[string][2][]float64{"identity": {s, s}, "S is zero": {zero, s}} {
		sols, err := Fit(context.Background(), openBuiltin(1), d, 1, 0x1p-24, inBlocks(p[0], p[1], d, 16))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range sols[0].W {
			if want := float64(b2i(i%(d+1) == 0)); v != want {
				t.Fatalf("%s: W[%d] = %g, want %g", name, i, v, want)
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSolveThreads(t *testing.T) {
	for _, rank := range []int{70, 20} {
		s, g := problem(9, 500, 70, rank, 0.01, f32)
		var w [2][]float64
		for i, threads := range []int{1, 8} {
			sols, err := Fit(context.Background(), openBuiltin(threads), 70, 1, 0x1p-24, inBlocks(s, g, 70, 128))
			if err != nil {
				t.Fatal(err)
			}
			w[i] = sols[0].W
		}
		for i := range w[0] {
			if w[0][i] != w[1][i] {
				t.Fatalf("rank %d: W[%d] is %g on 1 worker, %g on 8", rank, i, w[0][i], w[1][i])
			}
		}
	}
}

func TestCholesky(t *testing.T) {
	for _, n := range []int{1, 5, 95, 96, 97, 250} {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		s := randn(r, 2*n*n)
		a := make([]float64, n*n)
		gemmNaive(true, false, n, n, 2*n, 1, s, n, s, n, 0, a, n)
		f := append([]float64(nil), a...)
		bl := openBuiltin(2)
		if err := cholesky(bl, 2, n, f, n); err != nil {
			t.Fatal(err)
		}
		x := randn(r, n*7)
		b := make([]float64, n*7)
		gemmNaive(false, false, n, 7, n, 1, a, n, x, 7, 0, b, 7)
		solveUpperT(bl, 2, n, 7, f, n, b, 7)
		solveUpper(bl, 2, n, 7, f, n, b, 7)
		if off := worst(b, x); !(off <= 1e-10*float64(n)) {
			t.Errorf("n %d: solution is off by %g", n, off)
		}
	}
	if err := cholesky(openBuiltin(1), 1, 2, []float64{1, 2, 2, 1}, 2); !errors.Is(err, errNotPositive) {
		t.Errorf("an indefinite matrix: %v", err)
	}
}

func TestProject(t *testing.T) {
	const n, d = 30, 24
	r := rand.New(rand.NewPCG(1, 2))
	rows, w := randn(r, n*d), randn(r, d*d)
	scale(0.1, w)
	for i := range d {
		w[i*d+i]++
	}
	rows32 := make([]float32, n*d)
	for i := range rows {
		rows32[i] = float32(rows[i])
		rows[i] = float64(rows32[i])
	}
	want, got, got32 := make([]float64, n*d), make([]float64, n*d), make([]float32, n*d)
	gemmNaive(false, false, n, d, d, 1, rows, d, w, d, 0, want, d)
	bl := openBuiltin(2)
	Project(bl, got, n, rows, w, d)
	if off := worst(got, want); !(off <= 1e-13) {
		t.Errorf("Project is off by %g", off)
	}
	delta := Delta32(w, d)
	ProjectDelta32(bl, got32, n, rows32, delta, d)
	for i := range n {
		for j := range d {
			var sum float64
			for p := range d {
				sum += math.Abs(rows[i*d+p]) * math.Abs(float64(delta[p*d+j]))
			}
			bound := 0x1p-23*math.Abs(rows[i*d+j]) + (d*0x1p-24+0x1p-23)*sum
			if x := math.Abs(float64(got32[i*d+j]) - want[i*d+j]); !(x <= bound) {
				t.Fatalf("ProjectDelta32 [%d,%d] is off by %g, bound %g", i, j, x, bound)
			}
		}
	}
}
