package model

import "lep/tensor"

// mostSkinnyRows is up to how many rows of x a product is done without packing the weights,
// which a matrix product begins with: sequences that are generated together are few, and the
// weights are then read once, in place, for four of them at a time.
const mostSkinnyRows = 16

// skinny reports whether product does n rows by skinnyTask.
func (w *weight) skinny(n int) bool {
	return hasAVX2 && n > fewRows && n <= mostSkinnyRows && w.cols >= 8 && (w.data != nil || w.half != nil && w.halfType == tensor.BF16)
}

// skinnyTask computes y = x Wᵀ (plus y if add) for few rows of x. A part is some rows of W.
type skinnyTask struct {
	w   *weight
	y   []float32
	ldy int
	x   []float32 // (n rounded up to 4, cols), the rows beyond n zero
	n   int
	add bool
}

const skinnyPart = 32 // rows of W, even

func (t *skinnyTask) Part(_, i int) {
	w, cols := t.w, t.w.cols
	lead := cols &^ 7
	var sums [8]float32 // of rows r and r+1 with four rows of x
	for r := i * skinnyPart; r < min((i+1)*skinnyPart, w.rows); r += 2 {
		s := min(r+1, w.rows-1)
		for from := 0; from < t.n; from += 4 {
			x := t.x[from*cols:]
			if w.data != nil {
				dots2x4AVX2(lead, &w.data[r*cols], &w.data[s*cols], &x[0], cols, &sums)
			} else {
				dots2x4BF16AVX2(lead, &w.half[r*cols], &w.half[s*cols], &x[0], cols, &sums)
			}
			for j := range min(4, t.n-from) {
				y := t.y[(from+j)*t.ldy:]
				t.put(y, r, sums[j]+t.tail(r, x[j*cols:(j+1)*cols], lead))
				if s > r {
					t.put(y, s, sums[4+j]+t.tail(s, x[j*cols:(j+1)*cols], lead))
				}
			}
		}
	}
}

func (t *skinnyTask) put(y []float32, r int, v float32) {
	if t.add {
		v += y[r]
	}
	y[r] = v
}

// tail is the product of the columns from lead on.
func (t *skinnyTask) tail(r int, x []float32, lead int) float32 {
	var sum float32
	for c := lead; c < len(x); c++ {
		var v [1]float32
		if t.w.data != nil {
			v[0] = t.w.data[r*len(x)+c]
		} else {
			widenHalf(v[:], t.w.half[r*len(x)+c:r*len(x)+c+1], t.w.halfType)
		}
		sum += v[0] * x[c]
	}
	return sum
}

// skinnyProduct is product for 3 to mostSkinnyRows rows of x.
func (m *Model) skinnyProduct(y []float32, ldy int, x []float32, ldx, n int, w *weight, add bool) {
	rows := (n + 3) &^ 3
	m.work.skinny = grow(m.work.skinny, mostSkinnyRows*w.cols)
	packed := m.work.skinny[:rows*w.cols]
	for i := range n {
		copy(packed[i*w.cols:(i+1)*w.cols], x[i*ldx:])
	}
	clear(packed[n*w.cols:])
	t := &m.tasks.skinny
	*t = skinnyTask{w: w, y: y, ldy: ldy, x: packed, n: n, add: add}
	m.crew.Run(parts(w.rows, skinnyPart), t)
}
