package linalg

import "sync"

// The builtin product follows Goto & van de Geijn 2008 and BLIS (Van Zee & van
// de Geijn 2015): blocks of A and B are packed into panels of mr rows and nr
// columns that lie in the order in which the micro-kernel reads them, and each
// micro-kernel call adds a (mr, kc)·(kc, nr) product to a tile of C. B is packed by all
// workers for all of them; then each packs the rows of A it is about to use for itself, so
// that a block of B, which is all of it in a small model, has one meeting of the workers
// and not two for each kc. Every element of C gets the same operations in the same order
// wherever the tiles and blocks fall, so neither the number of threads nor the neighbours
// change a bit of it. The assembly kernels have one kc and fuse multiply and add, so they
// agree to the bit.

// kernel is a micro-kernel and the blocking that suits it.
type kernel[F Float] struct {
	name   string
	mr, nr int // tile of C; both multiples of 4
	kc     int // depth of a slice: an A panel (mr·kc) stays in L1
	mc     int // rows of A that a worker packs at once: mc·kc stays in L2
	block  int // block·kc is about how much of B is packed at once

	// tile computes C = alpha*A*B, or adds it to C, for a packed panel A (k, mr), a
	// packed panel B (k, nr) and a full tile C (mr, nr) with row stride ldc.
	tile func(k int, alpha F, a, b, c *F, ldc int, add bool)

	// pair rounds a packed panel (k, width) to bf16 and puts rows 2p and 2p+1 together in row p,
	// in place, or is nil. tile then counts pairs, and kc is even, so that no pair is cut.
	pair func(panel []F, width int)

	// copyRows packs the rows of whole panels, or is nil; packPairs packs the columns of one
	// panel from rows of the source, or is nil. Both do what pair does on the way.
	copyRows  func(dst, src []F, panels, width, ld, k int)
	packPairs func(dst []F, width int, src []F, ld, j0, w, p0, k int)
	// packHalves is packPairs of bf16 values, or nil.
	packHalves func(dst []F, width int, src []uint16, ld, j0, w, p0, k int)

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
	m, n, k int
	alpha   F
	a, b    operand[F]
	c       []F
	ldc     int
	upper   bool // compute only j >= i
	add     bool // to what C holds

	// The block in work: columns [j0, j0+nb) and depth [p0, p0+kb) of B, in slices of kc.
	j0, nb, p0, kb int
	packedB        []F   // slice by slice, each all its panels
	packedA        [][]F // by worker: rows of one slice
	tiles          [][]F // by worker: a tile of C, for the edges

	slices, groups, groupPanels int // units of packing B: slices × groups of panels
	rowUnits, rowsPerUnit       int // units of work: rowUnits × colUnits
	colUnits, colsPerUnit       int
}

func runProduct[F Float](pool *sync.Pool, kern *kernel[F], crew *Crew, m, n, k int, alpha F, a, b operand[F], beta F, c []F, ldc int, upper bool) {
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
	p.a, p.b, p.c, p.ldc, p.upper, p.add = a, b, c, ldc, upper, beta != 0
	p.run(crew)
	p.a, p.b, p.c = operand[F]{}, operand[F]{}, nil
	pool.Put(p)
}

// grow returns a slice of n elements, in the old memory if it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// run goes over the blocks of B.
func (p *product[F]) run(crew *Crew) {
	kn := p.kern
	// A worker gets some 20 µs of work at least: waking one costs about as much.
	threads := max(1, int(min(float64(crew.n), float64(p.m)*float64(p.n)*float64(p.k)/(1<<20))))
	if len(p.tiles) < crew.n {
		p.tiles, p.packedA = make([][]F, crew.n), make([][]F, crew.n)
	}
	blocks := max(1, (p.n+kn.block/2)/kn.block)
	width := roundUp((p.n+blocks-1)/blocks, kn.nr)
	depth := max(1, kn.block/width) * kn.kc
	p.packedB = grow(p.packedB, min(p.k, depth)*width)
	for p.j0 = 0; p.j0 < p.n; p.j0 += p.nb {
		p.nb = min(width, p.n-p.j0)
		for p.p0 = 0; p.p0 < p.k; p.p0 += p.kb {
			p.kb = min(depth, p.k-p.p0)
			p.split(threads)
			if threads == 1 {
				p.alone()
				continue
			}
			crew.Run(p.slices*p.groups, (*packing[F])(p))
			crew.Run(p.rowUnits*p.colUnits, (*multiplying[F])(p))
		}
	}
}

// packing and multiplying are the two tasks of a block.
type (
	packing[F Float]     product[F]
	multiplying[F Float] product[F]
)

func (t *packing[F]) Part(_, unit int)          { (*product[F])(t).packUnit(unit) }
func (t *multiplying[F]) Part(worker, unit int) { (*product[F])(t).multiplyUnit(worker, unit) }

func (p *product[F]) alone() {
	for u := range p.slices * p.groups {
		p.packUnit(u)
	}
	for u := range p.rowUnits * p.colUnits {
		p.multiplyUnit(0, u)
	}
}

// packGroup is the most panels that one unit packs. Packing several from the
// same rows uses the cache lines that it fetches; one at a time would fetch some of
// them again, as the rows of a matrix often fall into the same cache sets.
const packGroup = 8

// leastPanels is how many panels of A are packed together if there are so many: a panel of B
// is then worth fetching.
const leastPanels = 4

// split cuts the block into units of equal size, at least some for each worker.
func (p *product[F]) split(threads int) {
	kn := p.kern
	panels := (p.nb + kn.nr - 1) / kn.nr
	p.slices = (p.kb + kn.kc - 1) / kn.kc
	p.groupPanels = min(packGroup, max(1, p.slices*panels/(4*threads)))
	p.groups = (panels + p.groupPanels - 1) / p.groupPanels

	rows, cols := (p.m+kn.mr-1)/kn.mr, panels
	per := kn.mc / kn.mr
	if threads > 1 {
		per = min(per, max(leastPanels, rows/(4*threads)))
	}
	p.rowUnits = (rows + per - 1) / per
	if threads > 1 && p.rowUnits < 2*threads {
		perColumn := (2*threads + p.rowUnits - 1) / p.rowUnits
		cols = max(1, panels/perColumn)
	}
	p.rowsPerUnit, p.colsPerUnit = per*kn.mr, cols*kn.nr
	p.colUnits = (panels + cols - 1) / cols
}

// depth is how many rows a panel of k has once it is packed: pairs where they are paired.
func (kn *kernel[F]) depth(k int) int {
	if kn.pair != nil {
		return (k + 1) / 2
	}
	return k
}

// sliceOf returns where slice s begins in the packed block, counted from p0, and its depth.
func (p *product[F]) sliceOf(s int) (from, k int) {
	from = s * p.kern.kc
	return from, min(p.kern.kc, p.kb-from)
}

// packUnit packs some panels of a slice of B.
func (p *product[F]) packUnit(unit int) {
	kn := p.kern
	from, k := p.sliceOf(unit / p.groups)
	j := unit % p.groups * p.groupPanels * kn.nr
	w := min(p.groupPanels*kn.nr, p.nb-j)
	kn.packOperand(p.packedB[from*roundUp(p.nb, kn.nr)+j*k:], kn.nr, p.b, p.j0+j, w, p.p0+from, k)
}

// multiplyUnit does some rows and columns of C.
func (p *product[F]) multiplyUnit(worker, unit int) {
	kn := p.kern
	i0, j0 := unit/p.colUnits*p.rowsPerUnit, unit%p.colUnits*p.colsPerUnit
	rows, j1 := min(p.rowsPerUnit, p.m-i0), min(j0+p.colsPerUnit, p.nb)
	if p.upper && i0 >= p.j0+j1 {
		return
	}
	p.tiles[worker] = grow(p.tiles[worker], kn.mr*kn.nr)
	p.packedA[worker] = grow(p.packedA[worker], kn.mc*kn.kc)
	packed, a := p.packedA[worker], p.a
	a.trans = !a.trans // A is packed by rows: the transpose of B's packing
	for s := range p.slices {
		from, k := p.sliceOf(s)
		kn.packOperand(packed, kn.mr, a, i0, rows, p.p0+from, k)
		b := p.packedB[from*roundUp(p.nb, kn.nr):]
		for j := j0; j < j1; j += kn.nr {
			p.multiplyPanels(p.tiles[worker], packed, b[j*k:], i0, rows, p.j0+j, min(kn.nr, j1-j), k, p.add || p.p0+from > 0)
		}
	}
}

// multiplyPanels multiplies the packed rows [i0, i0+rows) of A with one panel of B, of w
// columns from column col on.
func (p *product[F]) multiplyPanels(tile, packedA, b []F, i0, rows, col, w, k int, add bool) {
	kn := p.kern
	depth := kn.depth(k)
	for i := 0; i < rows; i += kn.mr {
		h, row := min(kn.mr, rows-i), i0+i
		if p.upper && row >= col+w {
			return
		}
		c := p.c[row*p.ldc+col:]
		if h == kn.mr && w == kn.nr && !(p.upper && row+h > col+1) {
			kn.tile(depth, p.alpha, &packedA[i*k], &b[0], &c[0], p.ldc, add)
			continue
		}
		p.edge(tile, depth, &packedA[i*k], &b[0], c, row, col, h, w, add)
	}
}

// edge computes a tile that sticks out of C, or out of its upper triangle, in a
// buffer: the same kernel, so the same bits.
func (p *product[F]) edge(tile []F, depth int, a, b *F, c []F, row, col, h, w int, add bool) {
	kn := p.kern
	first := func(i int) int { // first column of row i that is wanted
		if !p.upper {
			return 0
		}
		return min(w, max(0, row+i-col))
	}
	if add {
		for i := range h {
			copy(tile[i*kn.nr+first(i):i*kn.nr+w], c[i*p.ldc+first(i):i*p.ldc+w])
		}
	}
	kn.tile(depth, p.alpha, a, b, &tile[0], kn.nr, add)
	for i := range h {
		copy(c[i*p.ldc+first(i):i*p.ldc+w], tile[i*kn.nr+first(i):i*kn.nr+w])
	}
}
