package linalg

import "sync"

// Int8Group is the number of consecutive weights of a row that share a scale in
// SGEMVInt8 with group scales.
const Int8Group = 32

// gemv is a matrix-vector product in progress, pooled so that a call allocates nothing.
type gemv struct {
	m, k, lda int
	x, y      []float32
	f32       []float32
	bf16      []uint16
	int8      []int8
	scale     []float32
	groups    int // scales per row
	span      int
	team      team
	run       func(worker, unit int)
}

var gemvPool = sync.Pool{New: func() any {
	g := &gemv{}
	g.run = g.rows
	return g
}}

// SGEMV computes y = A x for A (m, k) with row stride lda, x (k), y (m): one inner
// product per row, spread over up to threads processors, whose number does not
// change the result. It is for reading weights once, at batch 1, where memory
// bandwidth is the limit.
func SGEMV(threads, m, k int, a []float32, lda int, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	g := gemvPool.Get().(*gemv)
	g.f32 = a
	g.do(threads, m, k, lda, 4, x, y)
}

// SGEMVBF16 is SGEMV for bf16 weights, which are widened on the way.
func SGEMVBF16(threads, m, k int, a []uint16, lda int, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	g := gemvPool.Get().(*gemv)
	g.bf16 = a
	g.do(threads, m, k, lda, 2, x, y)
}

// SGEMVInt8 is SGEMV for int8 weights: the weight is a[i,j]*scale. Either scale is
// (m), one per row, or (m, ceil(k/Int8Group)), one per group of a row.
func SGEMVInt8(threads, m, k int, a []int8, lda int, scale []float32, x, y []float32) {
	checkGEMV(m, k, len(a), lda, x, y)
	g := gemvPool.Get().(*gemv)
	g.int8, g.scale = a, scale
	switch groups := (k + Int8Group - 1) / Int8Group; len(scale) {
	case m:
		g.groups = 1
	case m * groups:
		g.groups = groups
	default:
		panic("linalg: scale has neither one value per row nor one per group")
	}
	g.do(threads, m, k, lda, 1, x, y)
}

func checkGEMV(m, k, lenA, lda int, x, y []float32) {
	if m < 0 || k < 0 {
		panic("linalg: negative size")
	}
	checkMatrix("a", m, k, lenA, lda)
	if len(x) < k {
		panic("linalg: x is too short")
	}
	if len(y) < m {
		panic("linalg: y is too short")
	}
}

func (g *gemv) do(threads, m, k, lda, size int, x, y []float32) {
	const unitBytes = 64 << 10 // a unit of work takes some microseconds
	if k == 0 {
		clear(y[:m])
		m = 0
	}
	g.m, g.k, g.lda, g.x, g.y = m, k, lda, x[:k], y[:m]
	g.span = max(4, unitBytes/max(1, k*size)&^3)
	units := (m + g.span - 1) / g.span
	if units < 4 {
		threads = 1
	}
	g.team.run(threads, units, g.run)
	g.x, g.y, g.f32, g.bf16, g.int8, g.scale = nil, nil, nil, nil, nil, nil
	gemvPool.Put(g)
}

func (g *gemv) rows(_, unit int) {
	lo, hi := unit*g.span, min((unit+1)*g.span, g.m)
	k := g.k
	i := lo
	for ; i+4 <= hi && g.rows4(i); i += 4 {
	}
	for ; i < hi; i++ {
		at := i * g.lda
		switch {
		case g.f32 != nil:
			g.y[i] = SDOT(g.f32[at:at+k], g.x)
		case g.bf16 != nil:
			g.y[i] = SDOTBF16(g.bf16[at:at+k], g.x)
		case g.groups == 1:
			g.y[i] = g.scale[i] * dotInt8(g.int8[at:at+k], g.x)
		default:
			g.y[i] = dotInt8Groups(g.int8[at:at+k], g.scale[i*g.groups:(i+1)*g.groups], g.x)
		}
	}
}

// rows4 computes 4 elements of y from row i on; false if there is no kernel for it.
func (g *gemv) rows4(i int) bool {
	y, at := g.y[i:i+4], i*g.lda
	end := at + 3*g.lda + g.k
	var done int
	switch {
	case g.f32 != nil:
		done = fastRows4(g.f32[at:end], g.lda, g.x, y)
	case g.bf16 != nil:
		done = fastRows4BF16(g.bf16[at:end], g.lda, g.x, y)
	case g.groups > 1:
		done = fastRows4Int8(g.int8[at:end], g.lda, g.scale[i*g.groups:(i+4)*g.groups], g.groups, g.x, y)
	}
	if done == 0 {
		return false
	}
	if done == g.k {
		return true
	}
	for r := range y { // the last columns
		from, to := at+r*g.lda+done, at+r*g.lda+g.k
		switch {
		case g.f32 != nil:
			y[r] += dotPlain(g.f32[from:to], g.x[done:])
		case g.bf16 != nil:
			y[r] += SDOTBF16(g.bf16[from:to], g.x[done:])
		default:
			y[r] += dotInt8Groups(g.int8[from:to], g.scale[(i+r+1)*g.groups-1:(i+r+1)*g.groups], g.x[done:])
		}
	}
	return true
}

func dotInt8(a []int8, x []float32) float32 {
	x = x[:len(a)]
	sum, done := fastSDOTInt8(a, x)
	for i, v := range a[done:] {
		sum += float32(v) * x[done+i]
	}
	return sum
}

func dotInt8Groups(a []int8, scale, x []float32) float32 {
	x = x[:len(a)]
	sum, done := fastSDOTInt8Groups(a, scale, x)
	for ; done < len(a); done += Int8Group {
		var group float32
		for i := done; i < min(done+Int8Group, len(a)); i++ {
			group += float32(a[i]) * x[i]
		}
		sum += scale[done/Int8Group] * group
	}
	return sum
}

// QuantizeInt8 rounds a row to int8 with one scale per Int8Group weights, absmax/127
// each, to nearest: row[i] ≈ q[i]*scale[i/Int8Group]. len(scale) is
// ceil(len(row)/Int8Group). A group of zeros gets scale 0.
func QuantizeInt8(q []int8, scale, row []float32) {
	q = q[:len(row)]
	for g := range scale {
		part := row[g*Int8Group : min((g+1)*Int8Group, len(row))]
		var top float32
		for _, v := range part {
			top = max(top, v, -v)
		}
		scale[g] = top / 127
		var inv float32
		if top > 0 {
			inv = 127 / top
		}
		for i, v := range part {
			r := v * inv
			if r < 0 {
				q[g*Int8Group+i] = int8(r - 0.5)
			} else {
				q[g*Int8Group+i] = int8(r + 0.5)
			}
		}
	}
}
