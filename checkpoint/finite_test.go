package checkpoint

import (
	"math"
	"strings"
	"testing"

	"lep/tensor"
)

func TestFindNonFinite(t *testing.T) {
	bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	for _, d := range []tensor.DType{tensor.BF16, tensor.F16, tensor.F32, tensor.F64} {
		const rows, cols = 5, 7 // no multiple of a word
		largest := map[tensor.DType]float64{tensor.BF16: 3.3895313892515355e38, tensor.F16: 65504, tensor.F32: math.MaxFloat32, tensor.F64: math.MaxFloat64}[d]
		values := make([]float64, rows*cols)
		for i := range values {
			values[i] = []float64{largest, -largest, 0, math.Copysign(0, -1), 1, -1e-30}[i%6]
		}
		v := tensor.View{DType: d, Shape: []int{rows, cols}, Data: make([]byte, rows*cols*d.Size())}
		tensor.Encode64(v.Data, values, d)
		if row, col, found := FindNonFinite(v); found {
			t.Fatalf("%s: found (%d, %d) among finite values", d, row, col)
		}
		for i := range values {
			for _, x := range bad {
				was := values[i]
				values[i] = x
				tensor.Encode64(v.Data, values, d)
				if row, col, found := FindNonFinite(v); !found || row != i/cols || col != i%cols {
					t.Fatalf("%s: %v at (%d, %d) found at (%d, %d), %v", d, x, i/cols, i%cols, row, col, found)
				}
				values[i] = was
			}
		}
	}
	if _, _, found := FindNonFinite(tensor.View{DType: tensor.I64, Shape: []int{1}, Data: []byte{255, 255, 255, 255, 255, 255, 255, 255}}); found {
		t.Error("an integer is not finite")
	}
	if _, _, found := FindNonFinite(tensor.View{DType: tensor.F32, Shape: []int{0, 4}}); found {
		t.Error("an empty tensor is not finite")
	}
}

func TestCheckFiniteNamesTheRow(t *testing.T) {
	v := ramp("w", 5, 3, 0)
	tensor.Encode32(v.Data[4*10:], []float32{float32(math.Inf(-1))}, tensor.F32)
	dir := t.TempDir()
	saveModel(t, dir, "{}", ramp("a", 2, 2, 0), v)
	m := openModel(t, dir)
	if err := m.CheckFinite(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	err := m.CheckFinite(t.Context())
	if want := `model.safetensors: tensor "w": row 3, column 1 is -Inf`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := m.CheckFinite(t.Context(), "q"); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkFindNonFinite(b *testing.B) {
	v := tensor.View{DType: tensor.BF16, Shape: []int{1024, 4096}, Data: make([]byte, 8<<20)}
	b.SetBytes(int64(len(v.Data)))
	for b.Loop() {
		if _, _, found := FindNonFinite(v); found {
			b.Fatal("found")
		}
	}
}
