package gguf

import (
	"encoding/binary"
	"math"

	"lep/tensor"
)

// AppendRow appends a row of numbers in one of the types that [ParseType] knows. Numbers are rounded to
// nearest, ties to even; for Q8_0, whose rows are a multiple of 32 long, as ggml's quantize_row_q8_0_ref
// does: each block of 32 has the scale d = max|x|/127, stored in half precision, and x/d rounded to
// nearest, ties away from zero.
func AppendRow(dst []byte, row []float32, t Type) []byte {
	if t == Q8_0 {
		for i := 0; i < len(row); i += 32 {
			dst = appendQ8(dst, row[i:i+32])
		}
		return dst
	}
	d := map[Type]tensor.DType{F32: tensor.F32, F16: tensor.F16, BF16: tensor.BF16}[t]
	from := len(dst)
	size, ok := t.RowSize(len(row))
	if !ok || d == tensor.Invalid {
		panic("gguf: AppendRow of " + t.String())
	}
	dst = append(dst, make([]byte, size)...)
	tensor.Encode32(dst[from:], row, d)
	return dst
}

func appendQ8(dst []byte, block []float32) []byte {
	var bits uint32 // of the largest absolute value: without their signs, floats are ordered as integers
	for _, x := range block {
		bits = max(bits, math.Float32bits(x)&^(1<<31))
	}
	scale := math.Float32frombits(bits) / 127
	var inverse float32
	if scale != 0 {
		inverse = 1 / scale
	}
	dst = binary.LittleEndian.AppendUint16(dst, tensor.F16FromF64(float64(scale)))
	var quants [32]byte
	for i, x := range block {
		// In float64 the sum is exact, so that the conversion, which cuts, rounds halves away from zero.
		v := float64(x * inverse)
		quants[i] = byte(int8(v + math.Copysign(0.5, v)))
	}
	return append(dst, quants[:]...)
}
