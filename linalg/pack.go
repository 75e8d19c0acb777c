package linalg

import "math"

// packOperand packs depth [p0, p0+k) of columns [j0, j0+w) of an operand (the B side; the A
// side asks for its transpose) into panels (k, width) one after the other, the last filled
// with zeros; where the kernel takes pairs, a panel has half as many rows in the same room. No
// memory beyond the operand is read.
func (kn *kernel[F]) packOperand(dst []F, width int, src operand[F], j0, w, p0, k int) {
	switch full := w / width; {
	case src.bf16 != nil && src.trans && kn.packHalves != nil:
		for j := 0; j < w; j += width {
			kn.packHalves(dst[j*k:], width, src.bf16, src.ld, j0+j, min(width, w-j), p0, k)
		}
		return
	case src.bf16 != nil: // by the plain way
	case src.trans && kn.packPairs != nil:
		for j := 0; j < w; j += width {
			kn.packPairs(dst[j*k:], width, src.data, src.ld, j0+j, min(width, w-j), p0, k)
		}
		return
	case !src.trans && kn.copyRows != nil && full > 0:
		first := p0*src.ld + j0
		_, _ = src.data[first+(k-1)*src.ld+full*width-1], dst[full*width*k-1]
		kn.copyRows(dst, src.data[first:], full, width, src.ld, k)
		dst, j0, w = dst[full*width*k:], j0+full*width, w-full*width
	}
	packPanels(kn, dst, width, src, j0, w, p0, k)
	if kn.pair != nil {
		for j := 0; j < w; j += width {
			kn.pair(dst[j*k:(j+width)*k], width)
		}
	}
}

// packPanels is packOperand for any operand, without pairs.
func packPanels[F Float](kn *kernel[F], dst []F, r int, src operand[F], j0, w, p0, k int) {
	if w == 0 {
		return
	}
	if src.trans {
		for j := 0; j < w; j += r {
			if src.bf16 != nil {
				packBF16Columns(any(dst[j*k:]).([]float32), r, src.bf16, src.ld, j0+j, min(r, w-j), p0, k)
			} else {
				packColumns(kn, dst[j*k:], r, src.data, src.ld, j0+j, min(r, w-j), p0, k)
			}
		}
		return
	}
	for p := range k {
		o := (p0+p)*src.ld + j0
		for j := 0; j < w; j += r {
			row := dst[j*k+p*r : j*k+p*r+r]
			n := min(r, w-j)
			if src.bf16 != nil {
				widenBF16(any(row).([]float32)[:n], src.bf16[o+j:])
			} else {
				copy(row[:n], src.data[o+j:o+j+n])
			}
			clear(row[n:])
		}
	}
}

// packColumns packs rows [j0, j0+w) of a stored transpose: dst[p*r+j] =
// data[(j0+j)*ld+p0+p].
func packColumns[F Float](kn *kernel[F], dst []F, r int, data []F, ld, j0, w, p0, k int) {
	j := 0
	if kn.transpose4 != nil {
		for ; j+4 <= w; j += 4 {
			o := (j0+j)*ld + p0
			_ = data[o+3*ld+k-1]
			kn.transpose4(&dst[j], r, &data[o], ld, k)
		}
	}
	for ; j < w; j++ {
		row := data[(j0+j)*ld+p0:]
		row = row[:k]
		for p, v := range row {
			dst[p*r+j] = v
		}
	}
	clearColumns(dst, r, w, k)
}

func clearColumns[F Float](dst []F, r, w, k int) {
	if w == r {
		return
	}
	for p := range k {
		clear(dst[p*r+w : p*r+r])
	}
}

// packBF16Columns is packColumns for bf16 rows.
func packBF16Columns(dst []float32, r int, data []uint16, ld, j0, w, p0, k int) {
	j := 0
	if transposeBF16x4 != nil {
		for ; j+4 <= w; j += 4 {
			o := (j0+j)*ld + p0
			_ = data[o+3*ld+k-1]
			transposeBF16x4(&dst[j], r, &data[o], ld, k)
		}
	}
	for ; j < w; j++ {
		row := data[(j0+j)*ld+p0:]
		row = row[:k]
		for p, v := range row {
			dst[p*r+j] = bf16ToF32(v)
		}
	}
	clearColumns(dst, r, w, k)
}

func bf16ToF32(v uint16) float32 {
	return math.Float32frombits(uint32(v) << 16)
}
