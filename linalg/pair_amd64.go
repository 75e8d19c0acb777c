package linalg

import (
	"math"
	"unsafe"

	"lep/tensor"
)

// Packing for the bf16 kernel: two neighbours along the depth, rounded, become one element.

// pairBF16 is kernel.pair.
func pairBF16(panel []float32, width int) {
	k := len(panel) / width
	if k > 1 {
		pairBF16AVX512(k/2, &panel[0], width)
	}
	if k%2 == 1 {
		for i, v := range panel[(k-1)*width:] {
			panel[k/2*width+i] = pairOf(v, 0)
		}
	}
}

// pairOf rounds two values as the processor does, which takes what is too small for a normal
// number for zero.
func pairOf(low, high float32) float32 {
	return math.Float32frombits(uint32(roundBF16(low)) | uint32(roundBF16(high))<<16)
}

func roundBF16(x float32) uint16 {
	if bits := math.Float32bits(x); bits&0x7f800000 == 0 {
		return uint16(bits >> 16 & 0x8000)
	}
	return tensor.BF16FromF32(x)
}

// copyPairs is kernel.copyRows.
func copyPairs(dst, src []float32, panels, width, ld, k int) {
	if k > 1 {
		copyPairsAVX512(&dst[0], &src[0], panels, width*k, width, ld, k/2)
	}
	if k%2 == 1 {
		last := src[(k-1)*ld:]
		for j := range panels {
			row := dst[j*width*k+k/2*width:]
			for i, v := range last[j*width : (j+1)*width] {
				row[i] = pairOf(v, 0)
			}
		}
	}
}

// packPairs is kernel.packPairs.
func packPairs(dst []float32, width int, src []float32, ld, j0, w, p0, k int) {
	lead, j := k&^15, 0
	for ; j+4 <= w; j += 4 {
		o := (j0+j)*ld + p0
		_, _ = src[o+3*ld+k-1], dst[(k+1)/2*width-1]
		transposePairs4(&dst[j], width, &src[o], ld, lead)
		for i := j; i < j+4; i++ {
			pairRow(dst[i:], width, src[(j0+i)*ld+p0:], lead, k)
		}
	}
	for ; j < w; j++ {
		pairRow(dst[j:], width, src[(j0+j)*ld+p0:], 0, k)
	}
	clearColumns(dst, width, w, (k+1)/2)
}

// pairRow puts the pairs of a row from an even place on into a column of a panel.
func pairRow(column []float32, width int, row []float32, from, k int) {
	for p := from; p < k; p += 2 {
		var high float32
		if p+1 < k {
			high = row[p+1]
		}
		column[p/2*width] = pairOf(row[p], high)
	}
}

// packHalves is kernel.packHalves: two neighbours are an element as they lie.
func packHalves(dst []float32, width int, src []uint16, ld, j0, w, p0, k int) {
	j, lead := 0, 0
	if ld%2 == 0 {
		lead = k &^ 1
	}
	for ; lead > 0 && j+4 <= w; j += 4 {
		o := (j0+j)*ld + p0
		_, _ = src[o+3*ld+k-1], dst[(k+1)/2*width-1]
		transpose4Float32(&dst[j], width, (*float32)(unsafe.Pointer(&src[o])), ld/2, lead/2)
		for i := j; i < j+4; i++ {
			halfRow(dst[i:], width, src[(j0+i)*ld+p0:], lead, k)
		}
	}
	for ; j < w; j++ {
		halfRow(dst[j:], width, src[(j0+j)*ld+p0:], 0, k)
	}
	clearColumns(dst, width, w, (k+1)/2)
}

// halfRow is pairRow of bf16 values.
func halfRow(column []float32, width int, row []uint16, from, k int) {
	for p := from; p < k; p += 2 {
		pair := uint32(row[p])
		if p+1 < k {
			pair |= uint32(row[p+1]) << 16
		}
		column[p/2*width] = math.Float32frombits(pair)
	}
}
