package gguf

import (
	"fmt"
	"strings"
)

// Type is the element type of a tensor: plain numbers, or blocks of quantized ones.
type Type uint32

// The types that [AppendRow] writes. Headers may name others; see [Type.Block].
const (
	F32  Type = 0
	F16  Type = 1
	Q8_0 Type = 8 // blocks of 32: a half-precision scale and 32 signed bytes
	BF16 Type = 30
)

// layout is how a type is stored: bytes for each block of elements of a row.
type layout struct {
	name            string
	elements, bytes int
}

// layouts lists every type of ggml.h that a file may hold.
var layouts = map[Type]layout{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, 2: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 40}, 10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292}, 16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74},
	18: {"IQ3_XXS", 256, 98}, 19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110}, 22: {"IQ2_S", 256, 82},
	23: {"IQ4_XS", 256, 136}, 24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
	29: {"IQ1_M", 256, 56}, BF16: {"BF16", 1, 2}, 34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66}, 39: {"MXFP4", 32, 17},
}

// writable are the types of AppendRow, in the order in which they are offered.
var writable = []Type{F32, F16, BF16, Q8_0}

// String returns ggml's name of the type, "Q8_0".
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block returns how many elements of a row are stored together and in how many bytes, 0 and 0 for a
// type that is not known.
func (t Type) Block() (elements, bytes int) {
	l := layouts[t]
	return l.elements, l.bytes
}

// RowSize returns the bytes of a row of cols elements. ok is false if a row cannot have that many.
func (t Type) RowSize(cols int) (size int, ok bool) {
	l, ok := layouts[t]
	if !ok || cols < 0 || cols%l.elements != 0 {
		return 0, false
	}
	return cols / l.elements * l.bytes, true
}

// ParseType reads the name of a type that can be written, in any case.
func ParseType(name string) (Type, error) {
	var names []string
	for _, t := range writable {
		if strings.EqualFold(name, t.String()) {
			return t, nil
		}
		names = append(names, strings.ToLower(t.String()))
	}
	return 0, fmt.Errorf("type %q, want one of %s", name, strings.Join(names, ", "))
}

// Field is an entry of a header. Value is an uint8, int8, uint16, int16, uint32, int32, uint64, int64,
// float32, float64, bool or string, or a slice of one of these; an array of arrays is an []any of
// slices. Strings are bytes: tokens need not be UTF-8.
type Field struct {
	Key   string
	Value any
}

// Tensor is an entry of the table of tensors.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // (rows, cols) as everywhere in lep; the file has them the other way round
	// Offset is where the tensor begins, in bytes from the start of the data; Size its bytes.
	Offset, Size int64
}

// The codes of value types in a header.
const (
	codeUint8 uint32 = iota
	codeInt8
	codeUint16
	codeInt16
	codeUint32
	codeInt32
	codeFloat32
	codeBool
	codeString
	codeArray
	codeUint64
	codeInt64
	codeFloat64
)

const (
	magic            = "GGUF"
	version          = 3
	defaultAlignment = 32
	maxAlignment     = 1 << 20
	maxDims          = 4
	maxName          = 63 // bytes of a tensor's name: ggml has 64 with the final zero
	maxKey           = 1<<16 - 1
	alignmentKey     = "general.alignment"
)

func align(n int64, to int64) int64 { return (n + to - 1) / to * to }
