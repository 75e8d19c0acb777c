package model

import (
	"encoding/binary"
	"math"
	"unsafe"
)

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// asFloat32 views the bytes of a mapped tensor as float32 without a copy; nil if they are
// not aligned or this machine's byte order is not the file's.
func asFloat32(data []byte) []float32 {
	p := unsafe.Pointer(unsafe.SliceData(data))
	if len(data) == 0 || !littleEndian || uintptr(p)%4 != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(p), len(data)/4)
}

// asUint16 is asFloat32 for 16-bit elements.
func asUint16(data []byte) []uint16 {
	p := unsafe.Pointer(unsafe.SliceData(data))
	if len(data) == 0 || !littleEndian || uintptr(p)%2 != 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(p), len(data)/2)
}

func sqrt(x float64) float64 { return math.Sqrt(x) }
