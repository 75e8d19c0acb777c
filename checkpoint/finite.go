package checkpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"lep/tensor"
)

// exponents gives for each float type a word of exponent masks, one for each
// element in eight bytes, and the lowest exponent bit of each. An element is NaN
// or infinite when its exponent bits are all ones: adding the lowest one then
// carries into the sign bit, which the mask has cleared.
func exponents(d tensor.DType) (mask, one, carry uint64) {
	switch d {
	case tensor.BF16:
		return 0x7f80_7f80_7f80_7f80, 0x0080_0080_0080_0080, 0x8000_8000_8000_8000
	case tensor.F16:
		return 0x7c00_7c00_7c00_7c00, 0x0400_0400_0400_0400, 0x8000_8000_8000_8000
	case tensor.F32:
		return 0x7f80_0000_7f80_0000, 0x0080_0000_0080_0000, 0x8000_0000_8000_0000
	case tensor.F64:
		return 0x7ff0_0000_0000_0000, 0x0010_0000_0000_0000, 0x8000_0000_0000_0000
	}
	return 0, 0, 0
}

// FindNonFinite returns the first NaN or infinite element of a tensor, in row-major
// order. Tensors of integers have none.
func FindNonFinite(v tensor.View) (row, col int, found bool) {
	if !v.DType.IsFloat() {
		return 0, 0, false
	}
	mask, one, carry := exponents(v.DType)
	data, at := v.Data, 0
	for len(data) >= 32 { // four words at a time; which one is found out below
		a, b := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
		c, d := binary.LittleEndian.Uint64(data[16:]), binary.LittleEndian.Uint64(data[24:])
		if ((a&mask+one)|(b&mask+one)|(c&mask+one)|(d&mask+one))&carry != 0 {
			break
		}
		data, at = data[32:], at+32
	}
	n, cols := v.DType.Size(), v.Cols()
	for ; at < len(v.Data); at += n {
		var x [1]float64
		tensor.Decode64(x[:], v.Data[at:at+n], v.DType)
		if math.IsNaN(x[0]) || math.IsInf(x[0], 0) {
			i := at / n
			return i / cols, i % cols, true
		}
	}
	return 0, 0, false
}

// CheckFinite returns a [TensorError] for the first NaN or infinite element of the
// named tensors, of all if there are no names.
func (m *Model) CheckFinite(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = m.names
	}
	for _, name := range names {
		v, err := m.Tensor(name)
		if err != nil {
			return err
		}
		stored := place(m, name)
		for from, b := range m.Blocks(v) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if stored.empty(from, b) {
				continue
			}
			if row, col, found := FindNonFinite(b); found {
				return m.nonFinite(v, from+row, col)
			}
		}
	}
	return nil
}

func (m *Model) nonFinite(v tensor.View, row, col int) error {
	x := make([]float64, v.Cols())
	tensor.Decode64(x, v.Row(row), v.DType)
	return &TensorError{File: m.at[v.Name].name, Tensor: v.Name, What: fmt.Sprintf("row %d, column %d is %v", row, col, x[col]),
		Advice: "the model is damaged: fetch or train it again"}
}
