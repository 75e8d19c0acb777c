package tensor

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestHalfWidths walks all 65,536 halves of both kinds: widening and rounding
// again is the identity.
func TestHalfWidths(t *testing.T) {
	for h := range 1 << 16 {
		h := uint16(h)
		if f := F16ToF32(h); !math.IsNaN(float64(f)) {
			if got := F16FromF64(float64(f)); got != h {
				t.Fatalf("F16 %#04x -> %g -> %#04x", h, f, got)
			}
		}
		if f := math.Float32frombits(uint32(h) << 16); !math.IsNaN(float64(f)) {
			if got := BF16FromF64(float64(f)); got != h {
				t.Fatalf("BF16 %#04x -> %g -> %#04x", h, f, got)
			}
		}
	}
}

func TestRounding(t *testing.T) {
	for _, tt := range []struct {
		name string
		x    float64
		bf16 uint16
		f16  uint16
		why  string
	}{
		{"one", 1, 0x3f80, 0x3c00, ""},
		{"tie to even, down", 1 + 0x1p-8, 0x3f80, 0x3c04, "half way between 1 and 1+2^-7 in BF16"},
		{"tie to even, up", 1 + 3*0x1p-8, 0x3f82, 0x3c0c, ""},
		{"just above a tie", 1 + 0x1p-8 + 0x1p-40, 0x3f81, 0x3c04, "float32 would lose the 2^-40 and round down"},
		{"F16 overflow", 65520, 0x4780, 0x7c00, "65520 is half way to 65536"},
		{"F16 subnormal", 0x1p-24, 0x3380, 0x0001, ""},
		{"negative", -2.5, 0xc020, 0xc100, ""},
		{"infinity", math.Inf(-1), 0xff80, 0xfc00, ""},
	} {
		if got := BF16FromF64(tt.x); got != tt.bf16 {
			t.Errorf("%s: BF16 %#04x, want %#04x %s", tt.name, got, tt.bf16, tt.why)
		}
		if got := F16FromF64(tt.x); got != tt.f16 {
			t.Errorf("%s: F16 %#04x, want %#04x %s", tt.name, got, tt.f16, tt.why)
		}
	}
	if b := BF16FromF64(math.NaN()); b&0x7fff <= 0x7f80 {
		t.Errorf("NaN became %#04x", b)
	}
}

// TestRoundsToNearest holds BF16FromF64 against the two neighbouring values.
func TestRoundsToNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(-1e30, 1e30).Draw(t, "x")
		h := BF16FromF64(x)
		widen := func(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }
		err := math.Abs(widen(h) - x)
		for _, n := range []uint16{h - 1, h + 1} {
			if w := widen(n); !math.IsNaN(w) && math.Abs(w-x) < err {
				t.Fatalf("%g became %g, %g is nearer", x, widen(h), w)
			}
		}
	})
}

func TestDecodeEncode(t *testing.T) {
	in := []float64{0, 1, -1.5, 0.375, 1024}
	for _, d := range []DType{F64, F32, F16, BF16} {
		raw := make([]byte, len(in)*d.Size())
		Encode64(raw, in, d)
		f64, f32 := make([]float64, len(in)), make([]float32, len(in))
		Decode64(f64, raw, d)
		Decode32(f32, raw, d)
		again := make([]byte, len(raw))
		Encode32(again, f32, d)
		for i, x := range in {
			if f64[i] != x || float64(f32[i]) != x {
				t.Errorf("%v: %g decoded as %g and %g", d, x, f64[i], f32[i])
			}
		}
		if string(raw) != string(again) {
			t.Errorf("%v: Encode32 and Encode64 differ", d)
		}
	}
}

func TestViewRows(t *testing.T) {
	v := View{DType: F32, Shape: []int{3, 2}, Data: make([]byte, 24)}
	Encode32(v.Data, []float32{1, 2, 3, 4, 5, 6}, F32)
	row := make([]float32, v.Cols())
	Decode32(row, v.Row(1), v.DType)
	if row[0] != 3 || row[1] != 4 || v.Rows() != 3 {
		t.Errorf("row 1 of a (3, 2) view is %v", row)
	}
}

func TestParseDType(t *testing.T) {
	for d := F64; d <= F8E5M2; d++ {
		if got, err := ParseDType(d.String()); err != nil || got != d {
			t.Errorf("ParseDType(%q) = %v, %v", d, got, err)
		}
	}
	for _, name := range []string{"", "INVALID", "bf16", "F4"} {
		if d, err := ParseDType(name); err == nil {
			t.Errorf("ParseDType(%q) = %v, want an error", name, d)
		}
	}
}
