package linalg

import (
	"context"
	"math"
	"slices"
)

// orthogonalizeRows turns the rows of G (n, n) by plane rotations until they are
// orthogonal to each other, the one-sided Jacobi method (Hestenes 1958; Demmel &
// Veselić 1992): J·G = ΣVᵀ with J orthogonal, so that the length of row i is a
// singular value of G and its direction a right singular vector. The rotations
// are applied to the rows of Z (n, cols) as well, which becomes J·Z; cols may be 0.
// Rows that are shorter than negligible are not turned against each other: together
// they span singular values below sqrt(n)·negligible only.
//
// The pairs are visited in a fixed order whatever the number of threads. The cost
// is about a dozen sweeps of n²/2 rotations, minutes at n = 4096, and ctx is heeded;
// singular values come out to a few epsilon times the largest.
func orthogonalizeRows(ctx context.Context, threads, n int, g []float64, ldg int, z []float64, ldz, cols int, negligible float64) error {
	const (
		maxSweeps = 40
		rows      = 16 // rows of a block: two blocks stay in the cache
	)
	tol := 0.5 * epsilon * math.Sqrt(float64(n))
	blocks := (n + rows - 1) / rows
	even := blocks + blocks%2 // a bye if odd
	order := make([]int, even)
	for i := range order {
		order[i] = i
	}
	norms := make([]float64, n)
	for range maxSweeps {
		for i := range n { // fresh squares: the updates below drift
			norms[i] = DDOT(g[i*ldg:i*ldg+n], g[i*ldg:i*ldg+n])
		}
		turned := make([]bool, even/2)
		rotated := false
		for round := range max(even-1, 1) { // a round-robin tournament of blocks
			if err := ctx.Err(); err != nil {
				return err
			}
			share(threads, even/2, func(u int) {
				p, q := order[u], order[even-1-u]
				turned[u] = rotateBlocks(n, g, ldg, z, ldz, cols, norms, p, q, rows, round == 0, tol, negligible)
			})
			rotated = rotated || slices.Contains(turned, true)
			if even > 2 { // circle method: the first stays, the others move on
				last := order[even-1]
				copy(order[2:], order[1:even-1])
				order[1] = last
			}
		}
		if !rotated {
			break
		}
	}
	return nil
}

// rotateBlocks orthogonalizes the pairs of rows between two blocks, with inner
// also those within each. It reports whether any pair needed it.
func rotateBlocks(n int, g []float64, ldg int, z []float64, ldz, cols int, norms []float64, p, q, rows int, inner bool, tol, negligible float64) bool {
	p, q = min(p, q), max(p, q)
	p0, p1, q0, q1 := p*rows, min((p+1)*rows, n), q*rows, min((q+1)*rows, n)
	rotated := false
	small := negligible * negligible
	pair := func(i, j int) {
		if norms[i] <= small && norms[j] <= small {
			return
		}
		gi, gj := g[i*ldg:i*ldg+n], g[j*ldg:j*ldg+n]
		cos, sin, ok := jacobiAngle(norms, i, j, DDOT(gi, gj), tol)
		if !ok {
			return
		}
		rotated = true
		rotate(cos, sin, gi, gj)
		if cols > 0 {
			rotate(cos, sin, z[i*ldz:i*ldz+cols], z[j*ldz:j*ldz+cols])
		}
	}
	for i := p0; i < p1; i++ {
		if inner {
			for j := i + 1; j < p1; j++ {
				pair(i, j)
			}
		}
		for j := q0; j < q1; j++ {
			pair(i, j)
		}
	}
	if inner {
		for i := q0; i < q1; i++ {
			for j := i + 1; j < q1; j++ {
				pair(i, j)
			}
		}
	}
	return rotated
}

// jacobiAngle returns the rotation that makes rows i and j orthogonal, whose
// squared lengths are in norms and whose inner product is c, and updates norms.
// It is false if they are orthogonal already.
func jacobiAngle(norms []float64, i, j int, c, tol float64) (cos, sin float64, ok bool) {
	a, b := norms[i], norms[j]
	if c == 0 || math.Abs(c) <= tol*math.Sqrt(a)*math.Sqrt(b) {
		return 0, 0, false
	}
	zeta := (b - a) / (2 * c)
	tan := 1 / (math.Abs(zeta) + math.Hypot(1, zeta))
	if zeta < 0 {
		tan = -tan
	}
	cos = 1 / math.Hypot(1, tan)
	sin = cos * tan
	if sin == 0 {
		return 0, 0, false
	}
	a, b = max(a-tan*c, 0), max(b+tan*c, 0)
	if a < b { // the longer row goes first: sorted rows converge sooner (de Rijk 1989)
		a, b = b, a
		cos, sin = sin, -cos
	}
	norms[i], norms[j] = a, b
	return cos, sin, true
}

// truncatedSolve returns X (n, cols) = G⁺Z with the singular values of G (n, n) at
// or below cut taken as zero, the singular values in descending order, the
// number kept and the rows of J·Z that were not. G is overwritten, and Z with J·Z,
// the rows that were kept divided by their singular value.
func truncatedSolve(ctx context.Context, bl BLAS, n, cols int, g, z []float64, cut float64) (x, sigma []float64, rank int, lost []int, err error) {
	if err := orthogonalizeRows(ctx, threadsOf(bl), n, g, n, z, cols, cols, 0.1*cut/math.Sqrt(float64(n))); err != nil {
		return nil, nil, 0, nil, err
	}
	// G = JᵀΣVᵀ: G⁺Z = VΣ⁺(JZ), and row i of J·G is σᵢvᵢᵀ.
	sigma = make([]float64, n)
	for i := range n {
		row := g[i*n : i*n+n]
		s := norm(row)
		sigma[i] = s
		if s <= cut || s == 0 {
			clear(row)
			lost = append(lost, i)
			continue
		}
		rank++
		scale(1/s, row)
		scale(1/s, z[i*cols:i*cols+cols])
	}
	x = make([]float64, n*cols)
	bl.DGEMM(true, false, n, cols, n, 1, g, n, z, cols, 0, x, cols)
	slices.Sort(sigma)
	slices.Reverse(sigma)
	return x, sigma, rank, lost, nil
}

// norm returns the Euclidean length without overflow or underflow of the squares.
func norm(x []float64) float64 {
	var top float64
	for _, v := range x {
		top = max(top, math.Abs(v))
	}
	if top == 0 || math.IsInf(top, 0) || top > 1e-140 && top < 1e140 {
		return math.Sqrt(DDOT(x, x))
	}
	var sum float64
	for _, v := range x {
		sum += v / top * (v / top)
	}
	return top * math.Sqrt(sum)
}
