package tensor

import (
	"encoding/binary"
	"math"
)

// The loops below move four elements (or two) as one 64-bit word, which takes about
// half the time of one at a time (BenchmarkConvert).

// Decode32 converts len(dst) elements of type d in src to float32. It panics
// if d is not a float type or src is too short.
func Decode32(dst []float32, src []byte, d DType) {
	switch src = src[:d.Size()*len(dst)]; d {
	case BF16:
		for ; len(dst) >= 4; dst, src = dst[4:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			lo, hi := uint32(w), uint32(w>>32)
			dst[0], dst[1] = math.Float32frombits(lo<<16), math.Float32frombits(lo&^0xffff)
			dst[2], dst[3] = math.Float32frombits(hi<<16), math.Float32frombits(hi&^0xffff)
		}
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for ; len(dst) >= 4; dst, src = dst[4:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			dst[0], dst[1] = F16ToF32(uint16(w)), F16ToF32(uint16(w>>16))
			dst[2], dst[3] = F16ToF32(uint16(w>>32)), F16ToF32(uint16(w>>48))
		}
		for i := range dst {
			dst[i] = F16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F32:
		for ; len(dst) >= 2; dst, src = dst[2:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			dst[0], dst[1] = math.Float32frombits(uint32(w)), math.Float32frombits(uint32(w>>32))
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F64:
		for ; len(dst) >= 1 && len(src) >= 8; dst, src = dst[1:], src[8:] {
			dst[0] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src)))
		}
	default:
		panic("tensor: " + d.String() + " is not a float type")
	}
}

// Decode64 converts len(dst) elements of type d in src to float64, exactly.
func Decode64(dst []float64, src []byte, d DType) {
	switch src = src[:d.Size()*len(dst)]; d {
	case BF16:
		for ; len(dst) >= 4; dst, src = dst[4:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			lo, hi := uint32(w), uint32(w>>32)
			dst[0], dst[1] = float64(math.Float32frombits(lo<<16)), float64(math.Float32frombits(lo&^0xffff))
			dst[2], dst[3] = float64(math.Float32frombits(hi<<16)), float64(math.Float32frombits(hi&^0xffff))
		}
		for i := range dst {
			dst[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16))
		}
	case F16:
		for ; len(dst) >= 4; dst, src = dst[4:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			dst[0], dst[1] = float64(F16ToF32(uint16(w))), float64(F16ToF32(uint16(w>>16)))
			dst[2], dst[3] = float64(F16ToF32(uint16(w>>32))), float64(F16ToF32(uint16(w>>48)))
		}
		for i := range dst {
			dst[i] = float64(F16ToF32(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case F32:
		for ; len(dst) >= 2; dst, src = dst[2:], src[8:] {
			w := binary.LittleEndian.Uint64(src)
			dst[0], dst[1] = float64(math.Float32frombits(uint32(w))), float64(math.Float32frombits(uint32(w>>32)))
		}
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case F64:
		for ; len(dst) >= 1 && len(src) >= 8; dst, src = dst[1:], src[8:] {
			dst[0] = math.Float64frombits(binary.LittleEndian.Uint64(src))
		}
	default:
		panic("tensor: " + d.String() + " is not a float type")
	}
}

// Encode32 rounds src (to nearest, ties to even) into elements of type d.
func Encode32(dst []byte, src []float32, d DType) {
	switch dst = dst[:d.Size()*len(src)]; d {
	case BF16:
		for ; len(src) >= 4 && len(dst) >= 8; src, dst = src[4:], dst[8:] {
			w, ok := bf16x4(src[0], src[1], src[2], src[3])
			if !ok {
				w = uint64(BF16FromF32(src[0])) | uint64(BF16FromF32(src[1]))<<16 | uint64(BF16FromF32(src[2]))<<32 | uint64(BF16FromF32(src[3]))<<48
			}
			binary.LittleEndian.PutUint64(dst, w)
		}
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], BF16FromF32(x))
		}
	case F16:
		for ; len(src) >= 1 && len(dst) >= 2; src, dst = src[1:], dst[2:] {
			if b := math.Float64bits(float64(src[0])); normal(b, 15) {
				binary.LittleEndian.PutUint16(dst, cutF16(b))
			} else {
				binary.LittleEndian.PutUint16(dst, F16FromF64(float64(src[0])))
			}
		}
	case F32:
		for ; len(src) >= 2 && len(dst) >= 8; src, dst = src[2:], dst[8:] {
			binary.LittleEndian.PutUint64(dst, uint64(math.Float32bits(src[0]))|uint64(math.Float32bits(src[1]))<<32)
		}
		for i, x := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case F64:
		for ; len(src) >= 1 && len(dst) >= 8; src, dst = src[1:], dst[8:] {
			binary.LittleEndian.PutUint64(dst, math.Float64bits(float64(src[0])))
		}
	default:
		panic("tensor: " + d.String() + " is not a float type")
	}
}

// Encode64 rounds src once (to nearest, ties to even) into elements of type d;
// a float64 does not pass through float32 on its way to a 16-bit type.
func Encode64(dst []byte, src []float64, d DType) {
	switch dst = dst[:d.Size()*len(src)]; d {
	case BF16:
		for ; len(src) >= 4 && len(dst) >= 8; src, dst = src[4:], dst[8:] {
			a, b, c, d := float32(src[0]), float32(src[1]), float32(src[2]), float32(src[3])
			w, ok := bf16x4(a, b, c, d)
			if !ok || onTie(a) || onTie(b) || onTie(c) || onTie(d) {
				w = uint64(BF16FromF64(src[0])) | uint64(BF16FromF64(src[1]))<<16 | uint64(BF16FromF64(src[2]))<<32 | uint64(BF16FromF64(src[3]))<<48
			}
			binary.LittleEndian.PutUint64(dst, w)
		}
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], BF16FromF64(x))
		}
	case F16:
		for ; len(src) >= 1 && len(dst) >= 2; src, dst = src[1:], dst[2:] {
			if b := math.Float64bits(src[0]); normal(b, 15) {
				binary.LittleEndian.PutUint16(dst, cutF16(b))
			} else {
				binary.LittleEndian.PutUint16(dst, F16FromF64(src[0]))
			}
		}
	case F32:
		for ; len(src) >= 2 && len(dst) >= 8; src, dst = src[2:], dst[8:] {
			lo, hi := math.Float32bits(float32(src[0])), math.Float32bits(float32(src[1]))
			binary.LittleEndian.PutUint64(dst, uint64(lo)|uint64(hi)<<32)
		}
		for i, x := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(x)))
		}
	case F64:
		for ; len(src) >= 1 && len(dst) >= 8; src, dst = src[1:], dst[8:] {
			binary.LittleEndian.PutUint64(dst, math.Float64bits(src[0]))
		}
	default:
		panic("tensor: " + d.String() + " is not a float type")
	}
}
