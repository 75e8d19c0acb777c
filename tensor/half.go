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

// bf16x4 rounds four numbers at once, false if one is infinite or NaN.
func bf16x4(a, b, c, d float32) (uint64, bool) {
	const exps, one, top = 0x7f80_0000_7f80_0000, 0x0080_0000_0080_0000, 0x8000_0000_8000_0000
	lo := uint64(math.Float32bits(a)) | uint64(math.Float32bits(b))<<32
	hi := uint64(math.Float32bits(c)) | uint64(math.Float32bits(d))<<32
	if (lo&exps+one|hi&exps+one)&top != 0 {
		return 0, false
	}
	lo += 0x7fff_0000_7fff + lo>>16&0x1_0000_0001
	hi += 0x7fff_0000_7fff + hi>>16&0x1_0000_0001
	return lo>>16&0xffff | lo>>32&0xffff_0000 | (hi>>16&0xffff|hi>>32&0xffff_0000)<<32, true
}

// onTie reports whether a float32 is half way between two BF16 numbers: only then
// does rounding a float64 to it first, and then on, go wrong.
func onTie(x float32) bool { return math.Float32bits(x)&0xffff == 0x8000 }

// BF16FromF64 rounds a float64 once. Going through float32 would round twice
// and miss by one unit where the float32 falls on a tie.
func BF16FromF64(x float64) uint16 { return BF16FromF32(oddF32(x)) }

// normal reports whether a float64's pattern is that of a number which is normal
// in a type with the given exponent bias too, unless it rounds to infinity there.
func normal(b uint64, bias uint64) bool { return b>>52&0x7ff-(1023-bias+1) < 2*bias }

// cutF16 rounds the pattern of a number that is normal in F16.
func cutF16(b uint64) uint16 { return uint16(b>>48)&0x8000 | uint16(roundOff(b, 52-10)-(1023-15)<<10) }

// roundOff drops the sign and the lowest bits of a float64's pattern, rounding
// to nearest with ties to even; a carry moves into the exponent, as it should.
func roundOff(b uint64, bits int) uint64 {
	b &= 1<<63 - 1
	return (b + (1<<(bits-1) - 1) + b>>bits&1) >> bits
}

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

// F16ToF32 widens an IEEE half, exactly. The product moves the exponent from one
// bias to the other and makes subnormal halves normal on the way.
func F16ToF32(h uint16) float32 {
	m := uint32(h&0x7fff) << 13
	b := math.Float32bits(math.Float32frombits(m) * 0x1p112)
	if m >= 0x1f<<23 {
		b = m | 0x7f800000 // infinity and NaN
	}
	return math.Float32frombits(b | uint32(h&0x8000)<<16)
}

// F16FromF64 rounds to an IEEE half, to nearest with ties to even; values from
// 65520 on become infinity.
func F16FromF64(x float64) uint16 {
	b := math.Float64bits(x)
	sign := uint16(b>>48) & 0x8000
	switch a := math.Abs(x); {
	case normal(b, 15):
		return cutF16(b)
	case math.IsNaN(x):
		return sign | 0x7e00
	case a >= 65520:
		return sign | 0x7c00
	default: // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(a*0x1p24))
	}
}
