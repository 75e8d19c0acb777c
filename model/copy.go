package model

// Copies of whole activations are shared out like all other work: on many processors, what
// one does alone is what the others wait for.

// copyPart is how many elements a part of a copy has.
const copyPart = 1 << 14

// copyTask copies src to dst, or sets dst to zero if src is nil.
type copyTask struct{ dst, src []float32 }

func (t *copyTask) Part(_, i int) {
	lo, hi := i*copyPart, min((i+1)*copyPart, len(t.dst))
	if t.src == nil {
		clear(t.dst[lo:hi])
		return
	}
	copy(t.dst[lo:hi], t.src[lo:hi])
}

// copyUnlessSame copies len(dst) elements of src, if they are not dst.
func (m *Model) copyUnlessSame(dst, src []float32) {
	if &dst[0] != &src[0] {
		m.runCopy(copyTask{dst, src[:len(dst)]})
	}
}

func (m *Model) clear(dst []float32) { m.runCopy(copyTask{dst: dst}) }

func (m *Model) runCopy(t copyTask) {
	m.tasks.copy = t
	m.crew.Run(parts(len(t.dst), copyPart), &m.tasks.copy)
}

// gatherTask copies rows of d elements: row i of dst is row rows[i] of src, or with scatter
// row rows[i] of dst is row i of src.
type gatherTask struct {
	dst, src []float32
	d        int
	rows     []int32
	scatter  bool
}

func (t *gatherTask) Part(_, i int) {
	size, d := rowsPerPart(t.d), t.d
	for n := i * size; n < min((i+1)*size, len(t.rows)); n++ {
		to, from := n, int(t.rows[n])
		if t.scatter {
			to, from = from, to
		}
		copy(t.dst[to*d:(to+1)*d], t.src[from*d:(from+1)*d])
	}
}

func (m *Model) gather(dst, src []float32, rows []int32, scatter bool) {
	d := m.Config.HiddenSize
	m.tasks.gather = gatherTask{dst: dst, src: src, d: d, rows: rows, scatter: scatter}
	m.crew.Run(parts(len(rows), rowsPerPart(d)), &m.tasks.gather)
}
