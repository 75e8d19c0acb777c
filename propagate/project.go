package propagate

import (
	"context"
	"io"

	"lep/linalg"
	"lep/tensor"
)

// projection writes one matrix of the result: the donor's rows times W, and rows of
// the target where it has its own.
type projection struct {
	blas       linalg.BLAS
	donor      matrix
	target     matrix
	dtype      tensor.DType // of the result
	w          []float64    // nil for I, or if delta is set
	delta      []float32    // W - I, for results of 16 bits
	reference  bool         // W rounded to the dtype, product in float32
	tokens     int          // of the result; rows of the donor beyond its own tokens are padding
	donorRows  int          // the donor's tokens
	rows       int          // of the result
	fromTarget []int32      // for each token of the result the target's row, or -1
	progress   *progress    // nil for none
}

// settle keeps W in the form that the product needs: for a 16-bit result, whose rounding
// is far coarser, the change of I in float32.
func (p *projection) settle() {
	if p.w != nil && sixteenBits(p.dtype) && !p.reference {
		p.delta = linalg.Delta32(p.w, p.donor.Cols())
		p.w = nil
	}
}

// product multiplies n donor rows and rounds them to the result's dtype. For 16-bit
// results it is in float32 (linalg.ProjectDelta32), else in float64.
func (p *projection) product() func(out []byte, from, n int) {
	dim, dt := p.donor.Cols(), p.donor.DType
	size := dim * dt.Size()
	stored := func(from, n int) []byte { return p.donor.Data[from*size : (from+n)*size] }
	switch {
	case p.w == nil && p.delta == nil && dt == p.dtype:
		return func(out []byte, from, n int) { copy(out, stored(from, n)) }
	case p.w == nil && p.delta == nil:
		x := make([]float64, blockRows*dim)
		return func(out []byte, from, n int) {
			tensor.Decode64(x[:n*dim], stored(from, n), dt)
			tensor.Encode64(out, x[:n*dim], p.dtype)
		}
	case p.reference && p.dtype != tensor.F64:
		raw := make([]byte, len(p.w)*p.dtype.Size())
		w, x, y := make([]float32, len(p.w)), make([]float32, blockRows*dim), make([]float32, blockRows*dim)
		tensor.Encode64(raw, p.w, p.dtype)
		tensor.Decode32(w, raw, p.dtype)
		return func(out []byte, from, n int) {
			tensor.Decode32(x[:n*dim], stored(from, n), dt)
			p.blas.SGEMM(false, false, n, dim, dim, 1, x, dim, w, dim, 0, y, dim)
			tensor.Encode32(out, y[:n*dim], p.dtype)
		}
	case p.delta != nil:
		x, y := make([]float32, blockRows*dim), make([]float32, blockRows*dim)
		return func(out []byte, from, n int) {
			tensor.Decode32(x[:n*dim], stored(from, n), dt)
			linalg.ProjectDelta32(p.blas, y, n, x, p.delta, dim)
			tensor.Encode32(out, y[:n*dim], p.dtype)
		}
	}
	x, y := make([]float64, blockRows*dim), make([]float64, blockRows*dim)
	return func(out []byte, from, n int) {
		tensor.Decode64(x[:n*dim], stored(from, n), dt)
		linalg.Project(p.blas, y, n, x, p.w, dim)
		tensor.Encode64(out, y[:n*dim], p.dtype)
	}
}

// write streams all rows. Rows beyond the tokens are zero.
func (p *projection) write(ctx context.Context, w io.Writer) error {
	multiply := p.product()
	size := p.donor.Cols() * p.dtype.Size()
	out := make([]byte, blockRows*size)
	released := 0
	for from := 0; from < p.rows; from += blockRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(blockRows, p.rows-from)
		part := out[:n*size]
		projected := min(max(p.donorRows-from, 0), n)
		if projected > 0 {
			multiply(part[:projected*size], from, projected)
		}
		clear(part[projected*size:])
		for id := from; id < min(from+n, p.tokens); id++ {
			if row := p.fromTarget[id]; row >= 0 {
				copy(part[(id-from)*size:(id-from+1)*size], p.target.Row(int(row)))
			}
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		if p.progress != nil {
			p.progress.at(from + n)
		}
		if (from-released)*size > keptBytes {
			releaseAll([]matrix{p.donor, p.target})
			released = from
		}
	}
	releaseAll([]matrix{p.donor, p.target})
	return nil
}

// describe counts the rows of each kind into a result.
func (p *projection) describe(r *ModuleResult) {
	r.FromTarget = 0
	for _, row := range p.fromTarget {
		if row >= 0 {
			r.FromTarget++
		}
	}
	r.Projected = p.tokens - r.FromTarget
	r.Padding = p.rows - p.tokens
}
