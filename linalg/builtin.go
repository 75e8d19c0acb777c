package linalg

import (
	"sync"
	"sync/atomic"
)

// The builtin product follows Goto & van de Geijn 2008 and BLIS (Van Zee & van
// de Geijn 2015): blocks of A and B are packed into panels of mr rows and nr
// columns that lie in the order in which the micro-kernel reads them, and each
// micro-kernel call adds a (mr, kc)·(kc, nr) product to a tile of C. Every element
// of C gets the same operations in the same order wherever the tiles and blocks
// fall, so neither the number of threads nor the neighbours change a bit of it. The
// assembly kernels have one kc and fuse multiply and add, so they agree to the bit.

// kernel is a micro-kernel and the blocking that suits it.
type kernel[F Float] struct {
	name   string
	mr, nr int // tile of C; both multiples of 4
	kc     int // depth of a packed block: an A panel (mr·kc) stays in L1
	mc     int // rows of A of one unit of work: mc·kc stays in L2
	block  int // rows of A and columns of B packed at once

	// tile computes C = alpha*A*B, or adds it to C, for a packed panel A (k, mr), a
	// packed panel B (k, nr) and a full tile C (mr, nr) with row stride ldc.
	tile func(k int, alpha F, a, b, c *F, ldc int, add bool)

	// pair rounds a packed panel (k, width) to bf16 and puts rows 2p and 2p+1 together in row p,
	// in place, or is nil. tile then counts pairs, and kc is even, so that no pair is cut.
	pair func(panel []F, width int)

	// narrow is a kernel with fewer rows for products with few, or nil. It must have the
	// same kc and give the same bits.
	narrow *kernel[F]

	// transpose4 packs 4 rows of length n, stride ld, as columns: dst[p*stride+i] =
	// src[i*ld+p].
	transpose4 func(dst *F, stride int, src *F, ld, n int)
}

// operand is a matrix that is packed: float values, or bf16 ones (F = float32)
// that are widened on the way. trans says that its storage is the transpose of
// what the product needs.
type operand[F Float] struct {
	data  []F
	bf16  []uint16
	ld    int
	trans bool
}

// product is one call in progress. It is pooled with its buffers.
type product[F Float] struct {
	kern    *kernel[F]
	threads int
	m, n, k int
	alpha   F
	a, b    operand[F]
	c       []F
	ldc     int
	upper   bool // compute only j >= i
	add     bool

	// The block in work: A rows [i0, i0+mb), B columns [j0, j0+nb), depth [p0, p0+kb).
	i0, mb, j0, nb, p0, kb int
	depth                  int // kb, in pairs if they are paired
	addFirst, done         bool
	packedA, packedB       []F
	tiles                  [][]F // a tile of C per worker, for the edges
	packsA, packsB         int   // units of work that pack A and B
	rowUnits, colUnits     int
	colsPerUnit            int

	team    team
	meet    barrier
	next    atomic.Int64        // unit of the phase to be taken
	work    func(_, worker int) // the methods as values, made once
	packed  func()
	advance func()
}

type builtinBLAS struct {
	threads int
	s       *kernel[float32]
	d       *kernel[float64]
	pool32  *sync.Pool // of *product[float32]
	pool64  *sync.Pool
}

// newBuiltin returns the builtin kernels on up to threads processors.
func newBuiltin(threads int, s *kernel[float32], d *kernel[float64]) *builtinBLAS {
	return &builtinBLAS{threads: max(threads, 1), s: s, d: d,
		pool32: &sync.Pool{New: func() any { return newProduct[float32]() }},
		pool64: &sync.Pool{New: func() any { return newProduct[float64]() }},
	}
}

func newProduct[F Float]() *product[F] {
	p := &product[F]{}
	p.work, p.packed, p.advance = p.phases, p.restart, p.nextBlock
	p.meet.open = sync.NewCond(&p.meet.mu)
	return p
}

func (*builtinBLAS) Name() string { return "builtin" }

// Threads returns the number of processors it was opened for.
func (b *builtinBLAS) Threads() int { return b.threads }

func (b *builtinBLAS) SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, bm []float32, ldb int, beta float32, c []float32, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	runProduct(b.pool32, b.s, b.threads, m, n, k, alpha, operand[float32]{data: a, ld: lda, trans: transA},
		operand[float32]{data: bm, ld: ldb, trans: transB}, beta, c, ldc, false)
}

func (b *builtinBLAS) DGEMM(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, bm []float64, ldb int, beta float64, c []float64, ldc int) {
	checkGEMM(transA, transB, m, n, k, len(a), lda, len(bm), ldb, len(c), ldc)
	runProduct(b.pool64, b.d, b.threads, m, n, k, alpha, operand[float64]{data: a, ld: lda, trans: transA},
		operand[float64]{data: bm, ld: ldb, trans: transB}, beta, c, ldc, false)
}

func (b *builtinBLAS) DSYRK(n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	checkGEMM(true, false, n, n, k, len(a), lda, len(a), lda, len(c), ldc)
	runProduct(b.pool64, b.d, b.threads, n, n, k, alpha, operand[float64]{data: a, ld: lda, trans: true},
		operand[float64]{data: a, ld: lda}, beta, c, ldc, true)
}

func runProduct[F Float](pool *sync.Pool, kern *kernel[F], threads, m, n, k int, alpha F, a, b operand[F], beta F, c []F, ldc int, upper bool) {
	if onlyScaled(m, n, k, alpha, beta, c, ldc, upper) {
		return
	}
	if beta != 0 {
		scaleRows(m, n, beta, c, ldc, upper)
	}
	if kern.narrow != nil && m <= 2*kern.narrow.mr {
		kern = kern.narrow
	}
	p := pool.Get().(*product[F])
	p.kern, p.m, p.n, p.k, p.alpha = kern, m, n, k, alpha
	p.a, p.b, p.c, p.ldc, p.upper = a, b, c, ldc, upper
	// A worker gets some 20 µs of work at least: waking one costs about as much.
	p.threads = max(1, int(min(float64(threads), float64(m)*float64(n)*float64(k)/(1<<20))))
	p.run(beta != 0)
	p.a, p.b, p.c = operand[F]{}, operand[F]{}, nil
	pool.Put(p)
}

func grow[F any](s []F, n int) []F {
	if cap(s) < n {
		return make([]F, n)
	}
	return s[:n]
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func (p *product[F]) run(add bool) {
	kn := p.kern
	for len(p.tiles) < p.threads {
		p.tiles = append(p.tiles, nil)
	}
	for w := range p.threads {
		p.tiles[w] = grow(p.tiles[w], kn.mr*kn.nr)
	}
	kb, mb, nb := min(p.k, kn.kc), roundUp(min(p.m, kn.block), kn.mr), roundUp(min(p.n, kn.block), kn.nr)
	p.packedA, p.packedB = grow(p.packedA, kb*mb), grow(p.packedB, kb*nb)
	p.addFirst, p.done = add, false
	p.i0, p.j0, p.p0 = 0, 0, 0
	p.setBlock(true)
	p.meet.size = int32(p.threads)
	p.team.run(p.threads, p.threads, p.work)
}

// phases is what every worker does: pack, meet, compute, meet, until all blocks are done.
func (p *product[F]) phases(_, worker int) {
	for !p.done {
		units := int64(p.packsA + p.packsB)
		for u := p.next.Add(1) - 1; u < units; u = p.next.Add(1) - 1 {
			p.packUnit(int(u))
		}
		p.meet.wait(p.packed)
		units = int64(p.rowUnits * p.colUnits)
		for u := p.next.Add(1) - 1; u < units; u = p.next.Add(1) - 1 {
			p.computeUnit(worker, int(u))
		}
		p.meet.wait(p.advance)
	}
}

func (p *product[F]) restart() { p.next.Store(0) }

// nextBlock moves to the next block: rows of A first, then depth, then columns of B.
func (p *product[F]) nextBlock() {
	packB := false
	p.i0 += p.mb
	if p.i0 >= p.m || p.upper && p.i0 >= p.j0+p.nb { // the rest lies below the diagonal
		p.i0, packB = 0, true
		if p.p0 += p.kb; p.p0 >= p.k {
			p.p0 = 0
			if p.j0 += p.nb; p.j0 >= p.n {
				p.done = true
				return
			}
		}
	}
	p.setBlock(packB)
}

func (p *product[F]) setBlock(packB bool) {
	kn := p.kern
	p.mb = min(kn.block/kn.mr*kn.mr, p.m-p.i0)
	p.nb = min(kn.block/kn.nr*kn.nr, p.n-p.j0)
	p.kb = min(kn.kc, p.k-p.p0)
	p.depth = p.kb
	if kn.pair != nil {
		p.depth = (p.kb + 1) / 2
	}
	p.add = p.addFirst || p.p0 > 0
	p.packsA, p.packsB = (p.mb+packGroup*kn.mr-1)/(packGroup*kn.mr), 0
	if packB {
		p.packsB = (p.nb + packGroup*kn.nr - 1) / (packGroup * kn.nr)
	}
	p.split()
	p.next.Store(0)
}

// split cuts the block into units of mc rows, and of fewer columns where there
// are too few rows to keep all workers busy.
func (p *product[F]) split() {
	kn := p.kern
	p.rowUnits = (p.mb + kn.mc - 1) / kn.mc
	panels := (p.nb + kn.nr - 1) / kn.nr
	p.colUnits = 1
	if p.threads > 1 {
		p.colUnits = min(panels, max(1, 4*p.threads/p.rowUnits))
	}
	per := (panels + p.colUnits - 1) / p.colUnits
	p.colUnits = (panels + per - 1) / per
	p.colsPerUnit = per * kn.nr
}

// packGroup is the number of panels that one unit packs. Packing several from the
// same rows uses the cache lines that it fetches; one at a time would fetch most of
// them again, as the rows of a matrix often fall into the same cache sets.
const packGroup = 8

func (p *product[F]) packUnit(unit int) {
	kn := p.kern
	if unit < p.packsA {
		i := unit * packGroup * kn.mr
		a := p.a
		a.trans = !a.trans // A is packed by rows: the transpose of B's packing
		p.pack(p.packedA[i*p.kb:], kn.mr, a, p.i0+i, min(packGroup*kn.mr, p.mb-i))
		return
	}
	j := (unit - p.packsA) * packGroup * kn.nr
	p.pack(p.packedB[j*p.kb:], kn.nr, p.b, p.j0+j, min(packGroup*kn.nr, p.nb-j))
}

// pack packs w columns of an operand from column j0 on into panels of a width.
func (p *product[F]) pack(dst []F, width int, src operand[F], j0, w int) {
	packPanels(p.kern, dst, width, src, j0, w, p.p0, p.kb)
	if pair := p.kern.pair; pair != nil {
		for j := 0; j < w; j += width {
			pair(dst[j*p.kb:(j+width)*p.kb], width)
		}
	}
}

func (p *product[F]) computeUnit(worker, unit int) {
	kn, depth := p.kern, p.depth
	i0, j0 := unit/p.colUnits*kn.mc, unit%p.colUnits*p.colsPerUnit
	i1, j1 := min(i0+kn.mc, p.mb), min(j0+p.colsPerUnit, p.nb)
	for j := j0; j < j1; j += kn.nr {
		w := min(kn.nr, j1-j)
		b := &p.packedB[j*p.kb]
		for i := i0; i < i1; i += kn.mr {
			h := min(kn.mr, i1-i)
			row, col := p.i0+i, p.j0+j
			if p.upper && row >= col+w {
				break
			}
			a := &p.packedA[i*p.kb]
			c := p.c[row*p.ldc+col:]
			if h == kn.mr && w == kn.nr && !(p.upper && row+h > col+1) {
				kn.tile(depth, p.alpha, a, b, &c[0], p.ldc, p.add)
				continue
			}
			p.edge(p.tiles[worker], a, b, c, row, col, h, w)
		}
	}
}

// edge computes a tile that sticks out of C, or out of its upper triangle, in a
// buffer: the same kernel, so the same bits.
func (p *product[F]) edge(tile []F, a, b *F, c []F, row, col, h, w int) {
	kn := p.kern
	first := func(i int) int { // first column of row i that is wanted
		if !p.upper {
			return 0
		}
		return min(w, max(0, row+i-col))
	}
	if p.add {
		for i := range h {
			copy(tile[i*kn.nr+first(i):i*kn.nr+w], c[i*p.ldc+first(i):i*p.ldc+w])
		}
	}
	kn.tile(p.depth, p.alpha, a, b, &tile[0], kn.nr, p.add)
	for i := range h {
		copy(c[i*p.ldc+first(i):i*p.ldc+w], tile[i*kn.nr+first(i):i*kn.nr+w])
	}
}
