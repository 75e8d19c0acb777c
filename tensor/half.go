package tensor

import "math"

// BF16FromF32 rounds to bfloat16, to nearest with ties to even; NaN stays NaN.
func BF16FromF32(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}

// BF16FromF64 rounds a float64 once. Going through float32 would round twice
// and miss by one unit where the float32 falls on a tie.
func BF16FromF64(x float64) uint16 { return BF16FromF32(oddF32(x)) }

// oddF32 rounds x to float32 "to odd": an inexact result gets its last bit set,
// so that a second rounding to fewer bits gives what one rounding would.
func oddF32(x float64) float32 {
	f := float32(x)
	if float64(f) == x || math.IsNaN(x) || math.IsInf(float64(f), 0) {
		return f
	}
	b := math.Float32bits(f)
	if b&1 == 1 {
		return f
	}
	// f is the even neighbour: step to the odd one, towards x.
	if math.Abs(float64(f)) < math.Abs(x) {
		return math.Float32frombits(b + 1)
	}
	return math.Float32frombits(b - 1)
}

// F16ToF32 widens an IEEE half, exactly.
func F16ToF32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, frac := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) * 0x1p-24
	if sign != 0 {
		v = -v
	}
	return v
}

// F16FromF64 rounds to an IEEE half, to nearest with ties to even; values from
// 65520 on become infinity.
func F16FromF64(x float64) uint16 {
	sign := uint16(math.Float64bits(x)>>63) << 15
	a := math.Abs(x)
	switch {
	case math.IsNaN(x):
		return sign | 0x7e00
	case a >= 65520:
		return sign | 0x7c00
	case a < 0x1p-14: // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(a*0x1p24))
	}
	frac, exp := math.Frexp(a) // a = frac * 2^exp, frac in [0.5, 1)
	m := math.RoundToEven(frac * 2048)
	if m == 2048 {
		m, exp = 1024, exp+1
	}
	return sign | uint16(exp+14)<<10 | uint16(m)&0x3ff
}
