package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"

	"lep/tensor"
)

// Difference is a tensor that two models do not share.
type Difference struct {
	Tensor string
	// MaxAbs is the largest absolute difference of two elements, +Inf where the
	// tensors cannot be compared or one holds NaN.
	MaxAbs   float64
	Row, Col int    // of that element
	Why      string // missing, of another shape; "" if the values differ
}

func (d Difference) String() string {
	if d.Why != "" {
		return fmt.Sprintf("tensor %q: %s", d.Tensor, d.Why)
	}
	return fmt.Sprintf("tensor %q: differs by up to %.3g (row %d, column %d)", d.Tensor, d.MaxAbs, d.Row, d.Col)
}

// LayerNames returns the names of all tensors but the input and output matrices.
func (m *Model) LayerNames() []string {
	embed, head, err := m.embeddingNames()
	if err != nil {
		return m.names
	}
	return slices.DeleteFunc(slices.Clone(m.names), func(n string) bool { return n == embed || n == head })
}

// Compare streams the named tensors of two models and returns those that differ,
// largest difference first. What both models read from the same place of the same
// file, and holes of sparse files, is not read.
func Compare(ctx context.Context, a, b *Model, names []string) ([]Difference, error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		found []Difference
		errs  []error
		next  = make(chan string)
	)
	for range min(len(names), runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for name := range next {
				d, differs, err := compare(ctx, a, b, name)
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else if differs {
					found = append(found, d)
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	group.Wait()
	slices.SortFunc(found, func(x, y Difference) int {
		return cmp.Or(cmp.Compare(y.MaxAbs, x.MaxAbs), cmp.Compare(x.Tensor, y.Tensor))
	})
	return found, errors.Join(errs...)
}

func compare(ctx context.Context, a, b *Model, name string) (Difference, bool, error) {
	d := Difference{Tensor: name, MaxAbs: math.Inf(1)}
	if !a.Has(name) || !b.Has(name) {
		d.Why = "is not in both models"
		return d, true, ctx.Err()
	}
	va, errA := a.Tensor(name)
	vb, errB := b.Tensor(name)
	if err := errors.Join(errA, errB, ctx.Err()); err != nil {
		return d, false, err
	}
	if !slices.Equal(va.Shape, vb.Shape) {
		d.Why = fmt.Sprintf("shape %v and %v", va.Shape, vb.Shape)
		return d, true, nil
	}
	if va.DType != vb.DType && !(va.DType.IsFloat() && vb.DType.IsFloat()) {
		d.Why = fmt.Sprintf("dtype %s and %s", va.DType, vb.DType)
		return d, true, nil
	}
	regionA, regionB := place(a, name), place(b, name)
	if regionA.same(regionB) {
		return d, false, nil
	}
	d.MaxAbs = 0
	differs := false
	for from, blockA := range a.Blocks(va) {
		if err := ctx.Err(); err != nil {
			return d, false, err
		}
		blockB := vb.Block(from, blockA.Rows())
		if !regionA.empty(from, blockA) || !regionB.empty(from, blockB) {
			differs = d.block(blockA, blockB, from) || differs
		}
		b.Release(blockB)
	}
	return d, differs, nil
}

// block compares two blocks that begin with row from.
func (d *Difference) block(a, b tensor.View, from int) bool {
	if a.DType == b.DType && bytes.Equal(a.Data, b.Data) {
		return false
	}
	if !a.DType.IsFloat() {
		d.MaxAbs, d.Why = math.Inf(1), "integers differ"
		return true
	}
	x, y := make([]float64, a.Cols()), make([]float64, a.Cols())
	differs := a.DType == b.DType // ±0 and payloads of NaN count: the bytes differ
	for r := range a.Rows() {
		tensor.Decode64(x, a.Row(r), a.DType)
		tensor.Decode64(y, b.Row(r), b.DType)
		for c := range x {
			diff := math.Abs(x[c] - y[c])
			if math.IsNaN(diff) && x[c] != y[c] { // equal infinities differ by NaN
				diff = math.Inf(1)
			}
			if diff > d.MaxAbs {
				d.MaxAbs, d.Row, d.Col = diff, from+r, c
				differs = true
			}
		}
	}
	return differs
}

// span is where a tensor lies in its file, and which parts of that hold data.
type span struct {
	file *File
	from int64
	data []extent
}

func place(m *Model, name string) span {
	f := m.at[name]
	e := f.entries[f.byName[name]]
	return span{f, f.start + e.Begin, extents(f.f, f.start+e.Begin, f.start+e.End)}
}

func (s span) same(t span) bool {
	a, errA := s.file.f.Stat()
	b, errB := t.file.f.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b) && s.from == t.from
}

// empty reports whether a block lies in a hole, so that its bytes are zero.
func (s span) empty(from int, block tensor.View) bool {
	lo := s.from + int64(from)*int64(block.Cols()*block.DType.Size())
	hi := lo + int64(len(block.Data))
	return !slices.ContainsFunc(s.data, func(e extent) bool { return e.from < hi && e.to > lo })
}
