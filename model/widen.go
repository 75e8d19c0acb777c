package model

import (
	"lep/linalg"
	"lep/tensor"
)

// tileElements is how many elements of a float16 or int8 matrix are widened at a time for a
// product of several rows: 4 MiB of float32, so that a tile stays in the cache between the
// widening and the product. (bfloat16 is widened by linalg as it packs.)
const tileElements = 1 << 20

// tileRows is the height of a tile.
func (w *weight) tileRows() int { return min(w.rows, max(1, tileElements/w.cols)) }

// row32 writes row i of a matrix to dst, widened.
func (w *weight) row32(dst []float32, i int) {
	from, to := i*w.cols, (i+1)*w.cols
	switch {
	case w.data != nil:
		copy(dst, w.data[from:to])
	case w.half != nil:
		widenHalf(dst[:w.cols], w.half[from:to], w.halfType)
	default:
		groups := int8Groups(w.cols)
		for g, s := range w.scales[i*groups : (i+1)*groups] {
			lo, hi := g*linalg.Int8Group, min((g+1)*linalg.Int8Group, w.cols)
			for j, q := range w.int8[from+lo : from+hi] {
				dst[lo+j] = s * float32(q)
			}
		}
	}
}

// widen returns rows of a matrix in float32, in scratch memory.
func (m *Model) widen(w *weight, first, rows int) []float32 {
	n := rows * w.cols
	m.work.tile = grow(m.work.tile, max(n, w.tileRows()*w.cols))
	t := &m.tasks.widen
	*t = widenTask{dst: m.work.tile[:n], w: w, first: first, rows: rows}
	m.crew.Run(parts(rows, rowsPerPart(w.cols)), t)
	return m.work.tile[:n]
}

type widenTask struct {
	dst         []float32
	w           *weight
	first, rows int
}

func (t *widenTask) Part(_, i int) {
	size, cols := rowsPerPart(t.w.cols), t.w.cols
	for r := i * size; r < min((i+1)*size, t.rows); r++ {
		t.w.row32(t.dst[r*cols:(r+1)*cols], t.first+r)
	}
}

func int8Groups(cols int) int { return (cols + linalg.Int8Group - 1) / linalg.Int8Group }

// quantizeTask rounds a mapped matrix to int8 with a scale for each linalg.Int8Group weights
// of a row.
type quantizeTask struct {
	w       *weight
	view    tensor.View
	scratch [][]float32 // by worker: a row
}

func (t *quantizeTask) Part(worker, i int) {
	w, groups := t.w, int8Groups(t.w.cols)
	size, row := rowsPerPart(w.cols), t.scratch[worker]
	for r := i * size; r < min((i+1)*size, w.rows); r++ {
		tensor.Decode32(row, t.view.Row(r), t.view.DType)
		linalg.QuantizeInt8(w.int8[r*w.cols:(r+1)*w.cols], w.scales[r*groups:(r+1)*groups], row)
	}
}

// quantize fills w from the file.
func (m *Model) quantize(w *weight, v tensor.View) {
	w.int8, w.scales = make([]int8, w.rows*w.cols), make([]float32, w.rows*int8Groups(w.cols))
	t := &quantizeTask{w: w, view: v, scratch: make([][]float32, m.crew.Size())}
	for i := range t.scratch {
		t.scratch[i] = make([]float32, w.cols)
	}
	m.crew.Run(parts(w.rows, rowsPerPart(w.cols)), t)
}
