package tensor

import "fmt"

// DType is an element type of the safetensors format.
type DType uint8

// The element types that lep carries. Arithmetic is defined on F64, F32, F16
// and BF16; the others are only copied.
const (
	Invalid DType = iota
	F64
	F32
	F16
	BF16
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	Bool
	F8E4M3
	F8E5M2
	F8E8M0
	C64
)

var dtypes = [...]struct {
	name string
	size int
}{
	Invalid: {"INVALID", 0}, F64: {"F64", 8}, F32: {"F32", 4}, F16: {"F16", 2}, BF16: {"BF16", 2},
	I64: {"I64", 8}, I32: {"I32", 4}, I16: {"I16", 2}, I8: {"I8", 1},
	U64: {"U64", 8}, U32: {"U32", 4}, U16: {"U16", 2}, U8: {"U8", 1}, Bool: {"BOOL", 1},
	F8E4M3: {"F8_E4M3", 1}, F8E5M2: {"F8_E5M2", 1}, F8E8M0: {"F8_E8M0", 1}, C64: {"C64", 8},
}

// ParseDType returns the type with a safetensors name such as "BF16".
func ParseDType(name string) (DType, error) {
	for d, t := range dtypes {
		if d != 0 && t.name == name {
			return DType(d), nil
		}
	}
	return Invalid, fmt.Errorf("unknown dtype %q", name)
}

// String returns the safetensors name.
func (d DType) String() string { return dtypes[d].name }

// Size returns the bytes of one element.
func (d DType) Size() int { return dtypes[d].size }

// IsFloat reports whether rows of this type convert to float32 and float64.
func (d DType) IsFloat() bool { return d >= F64 && d <= BF16 }

// TorchName returns the name that config.json uses ("bfloat16"), or "" for
// types that are not model dtypes.
func (d DType) TorchName() string {
	switch d {
	case F64:
		return "float64"
	case F32:
		return "float32"
	case F16:
		return "float16"
	case BF16:
		return "bfloat16"
	}
	return ""
}

// UnitRoundoff returns the rounding noise that stored rows of this type carry
// relative to their size: 2^-53, 2^-24, 2^-11 or 2^-9, and 0 for types without
// rounding. For BF16 it is half of the largest error, 2^-8: the rule for the rank
// of a fit was measured with it.
func (d DType) UnitRoundoff() float64 {
	switch d {
	case F64:
		return 0x1p-53
	case F32:
		return 0x1p-24
	case F16:
		return 0x1p-11
	case BF16:
		return 0x1p-9
	}
	return 0
}

// View is a named, row-major, little-endian tensor that it does not own: Data may
// be a part of a mapped file, valid until that file is closed.
type View struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte // len = product(Shape) * DType.Size()
}

// Rows returns the first dimension, 1 for a scalar.
func (v View) Rows() int {
	if len(v.Shape) == 0 {
		return 1
	}
	return v.Shape[0]
}

// Cols returns the number of elements of one row.
func (v View) Cols() int {
	n := 1
	for i := 1; i < len(v.Shape); i++ {
		n *= v.Shape[i]
	}
	return n
}

// Row returns the bytes of row i; it aliases Data.
func (v View) Row(i int) []byte {
	n := v.Cols() * v.DType.Size()
	return v.Data[i*n : (i+1)*n : (i+1)*n]
}

// Block returns the n rows from row `from` on as a view; it aliases Data. A
// range outside the tensor is the caller's fault and panics.
func (v View) Block(from, n int) View {
	if n < 0 || from < 0 || from > v.Rows()-n {
		panic("tensor: block outside the tensor")
	}
	b := View{Name: v.Name, DType: v.DType, Shape: []int{n}}
	if len(v.Shape) > 1 {
		b.Shape = append(b.Shape, v.Shape[1:]...)
	}
	size := v.Cols() * v.DType.Size()
	b.Data = v.Data[from*size : (from+n)*size : (from+n)*size]
	return b
}

// Float32 widens (or for F64 rounds) the whole tensor into a new slice.
func (v View) Float32() []float32 {
	out := make([]float32, v.Rows()*v.Cols())
	Decode32(out, v.Data, v.DType)
	return out
}
