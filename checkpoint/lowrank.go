package checkpoint

import (
	"io"
	"runtime"
	"sync"

	"lep/tensor"
)

// stream writes the rows of a changed tensor.
func (m *Merged) stream(c *change, out io.Writer) error {
	terms := make([]factors, len(c.terms))
	for i, t := range c.terms {
		terms[i] = newFactors(t)
	}
	rows, cols := c.rows(), c.cols()
	step := max(1, blockBytes/max(1, cols*8))
	block := make([]byte, min(step, rows)*cols*c.dtype.Size())
	for from := 0; from < rows; from += step {
		n := min(step, rows-from)
		part := block[:n*cols*c.dtype.Size()]
		parallelRows(n, func(lo, hi int) {
			acc := make([]float64, cols)
			other := make([]float64, cols)
			for r := lo; r < hi; r++ {
				c.row(acc, other, from+r)
				for i := range terms {
					terms[i].add(acc, from+r)
				}
				tensor.Encode64(part[r*cols*c.dtype.Size():], acc, c.dtype)
			}
		})
		if c.saved == nil || c.blend != 1 {
			m.Release(c.base.Block(from, n))
		}
		if c.saved != nil {
			m.Release(c.saved.Block(from, n))
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// row sets acc to row r before the low-rank terms: base + blend·(saved - base).
func (c *change) row(acc, other []float64, r int) {
	if c.saved == nil {
		tensor.Decode64(acc, c.base.Row(r), c.base.DType)
		return
	}
	tensor.Decode64(acc, c.saved.Row(r), c.saved.DType)
	if c.blend == 1 {
		return
	}
	tensor.Decode64(other, c.base.Row(r), c.base.DType)
	for i, b := range other {
		acc[i] = b + c.blend*(acc[i]-b)
	}
}

// factors are the two matrices of a low-rank term in float64, laid out so that
// row i of the product is Σ_k left[i·r+k]·right[k].
type factors struct {
	r     int
	left  []float64 // (rows, r), scale included
	right []float64 // (r, cols)
}

func newFactors(t LoRA) factors {
	f := factors{r: t.A.Rows()}
	a, b := make([]float64, t.A.Rows()*t.A.Cols()), make([]float64, t.B.Rows()*t.B.Cols())
	tensor.Decode64(a, t.A.Data, t.A.DType)
	tensor.Decode64(b, t.B.Data, t.B.DType)
	f.left, f.right = b, a
	if t.Transposed { // (B·A)ᵀ = Aᵀ·Bᵀ
		f.left, f.right = transpose(a, f.r, t.A.Cols()), transpose(b, t.B.Rows(), f.r)
	}
	for i := range f.left {
		f.left[i] *= t.Scale
	}
	return f
}

func transpose(m []float64, rows, cols int) []float64 {
	out := make([]float64, len(m))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = m[i*cols+j]
		}
	}
	return out
}

// add adds row i of the product to acc. The order of the sum depends on r alone.
func (f *factors) add(acc []float64, i int) {
	left := f.left[i*f.r : (i+1)*f.r]
	n := len(acc)
	k := 0
	for ; k+4 <= f.r; k += 4 {
		c0, c1, c2, c3 := left[k], left[k+1], left[k+2], left[k+3]
		r0, r1, r2, r3 := f.right[k*n:][:n], f.right[(k+1)*n:][:n], f.right[(k+2)*n:][:n], f.right[(k+3)*n:][:n]
		for j := range acc {
			acc[j] += c0*r0[j] + c1*r1[j] + c2*r2[j] + c3*r3[j]
		}
	}
	for ; k < f.r; k++ {
		c, row := left[k], f.right[k*n:][:n]
		for j := range acc {
			acc[j] += c * row[j]
		}
	}
}

// parallelRows calls do for parts of 0..n, one for each processor.
func parallelRows(n int, do func(lo, hi int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() { do(n*w/workers, n*(w+1)/workers) })
	}
	group.Wait()
}
