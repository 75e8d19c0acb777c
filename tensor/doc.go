// Package tensor owns what an array in a file is: element types, shapes, the
// conversion between stored bytes (BF16, F16, F32, F64, little-endian) and
// float32 or float64, and row-major views. It does no mathematics.
//
// The main names are [DType] and [View]; [Decode32], [Decode64], [Encode32] and
// [Encode64] convert rows:
//
//	row := make([]float64, v.Cols())
//	tensor.Decode64(row, v.Row(17), v.DType)
package tensor
