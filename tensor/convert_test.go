package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDTypes(t *testing.T) {
	for d := F64; d <= C64; d++ {
		back, err := ParseDType(d.String())
		if err != nil || back != d || d.Size() == 0 {
			t.Errorf("%d: %q, size %d, %v, %v", d, d, d.Size(), back, err)
		}
		if (d.TorchName() != "") != d.IsFloat() || (d.UnitRoundoff() > 0) != d.IsFloat() {
			t.Errorf("%s: torch name %q, unit roundoff %v, float %v", d, d.TorchName(), d.UnitRoundoff(), d.IsFloat())
		}
	}
	for _, name := range []string{"INVALID", "", "bf16", "Q4_0"} {
		if d, err := ParseDType(name); err == nil {
			t.Errorf("%q is %s", name, d)
		}
	}
}

// roundTo rounds x to a binary format with p bits of precision, by exact
// arithmetic: the oracle of the bit tricks.
func roundTo(x float64, p uint, minExp int, largest float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	_, exp := math.Frexp(x)
	ulp := math.Ldexp(1, max(exp-int(p), minExp)) // of the result's binade
	q := new(big.Float).SetPrec(200).Quo(big.NewFloat(x), big.NewFloat(ulp))
	f, _ := q.Float64() // exact: ulp is a power of two
	r := math.RoundToEven(f) * ulp
	if math.Abs(r) > largest {
		r = math.Copysign(math.Inf(1), x)
	}
	if r == 0 {
		r = math.Copysign(0, x)
	}
	return r
}

func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Float64bits(a) == math.Float64bits(b)
}

// hardValues are ties, neighbours of ties, subnormals, limits and random bits.
func hardValues(rng *rand.Rand) []float64 {
	list := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 65504, 65519.99, 65520, 65536,
		math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat32, math.SmallestNonzeroFloat64, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-14,
		3.3895313892515355e38, 3.3961775292304957e38, 3.4e38, 0x1p-133, 0x1p-134, 0x1.8p-134}
	for range 20000 {
		list = append(list, math.Float64frombits(rng.Uint64()), float64(math.Float32frombits(rng.Uint32())))
		for _, bits := range []int{8, 11} { // a tie of BF16 or F16, and what lies just beside it
			m := float64(rng.IntN(1<<bits)) + float64(int(1)<<bits) + 0.5
			tie := math.Ldexp(m, rng.IntN(60)-40)
			list = append(list, tie, -tie, math.Nextafter(tie, 1e300), math.Nextafter(tie, 0), tie*(1+0x1p-30))
		}
	}
	return list
}

func TestRoundingIsToNearestEvenOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, x := range hardValues(rng) {
		var bf, f16 [1]float64
		var b [2]byte
		Encode64(b[:], []float64{x}, BF16)
		Decode64(bf[:], b[:], BF16)
		if want := roundTo(x, 8, -133, 3.3895313892515355e38); !same(bf[0], want) {
			t.Fatalf("BF16 of %v (%x) is %v, want %v", x, x, bf[0], want)
		}
		Encode64(b[:], []float64{x}, F16)
		Decode64(f16[:], b[:], F16)
		if want := roundTo(x, 11, -24, 65504); !same(f16[0], want) {
			t.Fatalf("F16 of %v (%x) is %v, want %v", x, x, f16[0], want)
		}
		if f := float32(x); f == f {
			Encode32(b[:], []float32{f}, BF16)
			Decode64(bf[:], b[:], BF16)
			if want := roundTo(float64(f), 8, -133, 3.3895313892515355e38); !same(bf[0], want) {
				t.Fatalf("BF16 of float32 %v is %v, want %v", f, bf[0], want)
			}
		}
	}
}

func TestEvery16BitPatternSurvives(t *testing.T) {
	for _, d := range []DType{BF16, F16} {
		var in, out [2]byte
		var x32 [1]float32
		var x64 [1]float64
		for bits := range 1 << 16 {
			binary.LittleEndian.PutUint16(in[:], uint16(bits))
			Decode32(x32[:], in[:], d)
			Decode64(x64[:], in[:], d)
			if !same(float64(x32[0]), x64[0]) {
				t.Fatalf("%s %04x: float32 %v, float64 %v", d, bits, x32[0], x64[0])
			}
			if x64[0] != x64[0] {
				continue // a NaN stays one, its payload may change
			}
			Encode32(out[:], x32[:], d)
			if in != out {
				t.Fatalf("%s %04x came back as %x from float32", d, bits, out)
			}
			Encode64(out[:], x64[:], d)
			if in != out {
				t.Fatalf("%s %04x came back as %x from float64", d, bits, out)
			}
		}
	}
}

func TestNaNStaysNaN(t *testing.T) {
	for _, d := range []DType{BF16, F16, F32, F64} {
		b := make([]byte, d.Size())
		var x [1]float64
		for _, bits := range []uint64{0x7ff0000000000001, 0x7ff8000000000000, 0xfff4000000000000, 0x7ff0000020000000} {
			Encode64(b, []float64{math.Float64frombits(bits)}, d)
			Decode64(x[:], b, d)
			if x[0] == x[0] {
				t.Errorf("%s: NaN %x became %v", d, bits, x[0])
			}
		}
		Encode32(b, []float32{math.Float32frombits(0x7f800001)}, d)
		Decode64(x[:], b, d)
		if x[0] == x[0] {
			t.Errorf("%s: float32 NaN became %v", d, x[0])
		}
	}
}

// Lengths around the width of the unrolled loops.
func TestConversionsOfEveryLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 40 {
		src := make([]float64, n)
		for i := range src {
			src[i] = math.Round(rng.NormFloat64() * 8) // exact in every type
		}
		src32 := make([]float32, n)
		for i, x := range src {
			src32[i] = float32(x)
		}
		for _, d := range []DType{BF16, F16, F32, F64} {
			a, b := make([]byte, n*d.Size()+1), make([]byte, n*d.Size()+1)
			a[n*d.Size()], b[n*d.Size()] = 0xa5, 0xa5
			Encode64(a, src, d)
			Encode32(b, src32, d)
			if !slices.Equal(a, b) || a[n*d.Size()] != 0xa5 {
				t.Fatalf("%s, %d elements: %x and %x", d, n, a, b)
			}
			x, y := make([]float64, n), make([]float32, n)
			Decode64(x, a, d)
			Decode32(y, a, d)
			if !slices.Equal(x, src) || !slices.Equal(y, src32) {
				t.Fatalf("%s, %d elements: %v and %v, want %v", d, n, x, y, src)
			}
		}
	}
}

func TestViews(t *testing.T) {
	v := View{Name: "w", DType: U8, Shape: []int{4, 2, 3}, Data: make([]byte, 24)}
	for i := range v.Data {
		v.Data[i] = byte(i)
	}
	b := v.Block(1, 2)
	if v.Rows() != 4 || v.Cols() != 6 || string(v.Row(3)) != string(v.Data[18:]) || cap(v.Row(0)) != 6 {
		t.Errorf("rows %d, cols %d, row 3 %v", v.Rows(), v.Cols(), v.Row(3))
	}
	if fmt.Sprint(b.Shape) != "[2 2 3]" || b.Name != "w" || string(b.Data) != string(v.Data[6:18]) || cap(b.Data) != 12 {
		t.Errorf("block %+v", b)
	}
	if s := (View{DType: F32, Data: make([]byte, 4)}); s.Rows() != 1 || s.Cols() != 1 || len(s.Float32()) != 1 {
		t.Error("a scalar is no 1 by 1")
	}
	for _, r := range [][2]int{{-1, 1}, {3, 2}, {0, -1}, {5, 0}, {math.MaxInt, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("block %v did not panic", r)
				}
			}()
			v.Block(r[0], r[1])
		}()
	}
}

func benchmarkRow(b *testing.B, d DType, convert func(data []byte, x32 []float32, x64 []float64)) {
	const n = 4096
	data, x32, x64 := make([]byte, n*d.Size()), make([]float32, n), make([]float64, n)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range x64 {
		x64[i] = rng.NormFloat64()
		x32[i] = float32(x64[i])
	}
	Encode64(data, x64, d)
	b.SetBytes(n) // MB/s reads as million elements a second
	for b.Loop() {
		convert(data, x32, x64)
	}
}

func BenchmarkConvert(b *testing.B) {
	for _, d := range []DType{BF16, F16, F32} {
		b.Run("Decode32/"+d.String(), func(b *testing.B) {
			benchmarkRow(b, d, func(data []byte, x32 []float32, _ []float64) { Decode32(x32, data, d) })
		})
		b.Run("Decode64/"+d.String(), func(b *testing.B) {
			benchmarkRow(b, d, func(data []byte, _ []float32, x64 []float64) { Decode64(x64, data, d) })
		})
		b.Run("Encode32/"+d.String(), func(b *testing.B) {
			benchmarkRow(b, d, func(data []byte, x32 []float32, _ []float64) { Encode32(data, x32, d) })
		})
		b.Run("Encode64/"+d.String(), func(b *testing.B) {
			benchmarkRow(b, d, func(data []byte, _ []float32, x64 []float64) { Encode64(data, x64, d) })
		})
	}
}
