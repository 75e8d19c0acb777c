package embedding

import (
	"encoding/binary"
	"math"

	"lep/tensor"
)

// addScaled adds w times a stored row to out, without a buffer between for the
// types that models come in.
func addScaled(out []float64, row []byte, d tensor.DType, w float64) {
	switch d {
	case tensor.BF16:
		row = row[:2*len(out)]
		for i := range out {
			out[i] += w * float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(row[2*i:]))<<16))
		}
	case tensor.F32:
		row = row[:4*len(out)]
		for i := range out {
			out[i] += w * float64(math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:])))
		}
	default:
		wide := make([]float64, len(out))
		tensor.Decode64(wide, row, d)
		for i, x := range wide {
			out[i] += w * x
		}
	}
}

// allZero reports whether a stored row holds nothing but (positive or negative) zeros.
func allZero(row []byte, d tensor.DType) bool {
	size := d.Size()
	for i, b := range row {
		if b != 0 && !(b == 0x80 && i%size == size-1) {
			return false
		}
	}
	return true
}
