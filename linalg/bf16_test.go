package linalg

import (
	"math"
	"slices"
	"strings"
	"testing"

	"lep/tensor"
)

// TestBF16Product holds the bf16 kernel against the plain product of rounded operands: products
// of bf16 values are exact, so that the bound is that of float32 sums.
func TestBF16Product(t *testing.T) {
	bl, err := OpenBF16("auto", 1)
	if err != nil {
		t.Skip(err)
	}
	many, err := OpenBF16("builtin", 3)
	if err != nil {
		t.Fatal(err)
	}
	cases := append(gemmCases(), gemmCase{m: 40, n: 70, k: 1301, alpha: 1}, gemmCase{m: 40, n: 70, k: 641, alpha: 1, transA: true, transB: true})
	for _, c := range cases {
		rounded := func(x []float32) []float32 {
			out := make([]float32, len(x))
			for i, v := range x {
				out[i] = bf16ToF32(tensor.BF16FromF32(v))
			}
			return out
		}
		product := func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, cm []float32, ldc int) {
			start := slices.Clone(cm)
			bl.SGEMM(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, cm, ldc)
			for _, again := range []struct {
				bl   BLAS
				a, b []float32
			}{{bl, rounded(a), rounded(b)}, {many, a, b}} {
				other := slices.Clone(start)
				again.bl.SGEMM(transA, transB, m, n, k, alpha, again.a, lda, again.b, ldb, beta, other, ldc)
				for i := range other {
					if math.Float32bits(other[i]) != math.Float32bits(cm[i]) && !(other[i] != other[i] && cm[i] != cm[i]) {
						t.Fatalf("%+v: element %d is %g, of operands rounded before, or with 3 workers, %g", c, i, cm[i], other[i])
					}
				}
			}
			want, bound := widen(start), absolute(start)
			gemmNaive(transA, transB, m, n, k, float64(alpha), widen(rounded(a)), lda, widen(rounded(b)), ldb, float64(beta), want, ldc)
			gemmNaive(transA, transB, m, n, k, math.Abs(float64(alpha)), absolute(rounded(a)), lda, absolute(rounded(b)), ldb, math.Abs(float64(beta)), bound, ldc)
			for i := range want {
				if i%ldc < n && !(math.Abs(float64(cm[i])-want[i]) <= 2*float64(k+3)*0x1p-24*bound[i]) {
					t.Fatalf("%+v: element %d is %g, want %g", c, i, cm[i], want[i])
				}
			}
		}
		// The outer bound is that of rounding the operands: 2^-8 of each product.
		checkProduct(t, c, 0x1p-9, product)
	}
}

// TestBF16ProductNaN: an operand that is no number must not round to one.
func TestBF16ProductNaN(t *testing.T) {
	bl, err := OpenBF16("auto", 1)
	if err != nil {
		t.Skip(err)
	}
	for _, k := range []int{1, 2, 5} {
		for _, bad := range []float32{math.Float32frombits(0x7fffffff), math.Float32frombits(0xff800001), float32(math.Inf(1))} {
			a, b, c := make([]float32, k), []float32{1, 1, 1, 1, 1}[:k], make([]float32, 1)
			a[k-1] = bad
			bl.SGEMM(false, true, 1, 1, k, 1, a, k, b, k, 0, c, 1)
			if c[0]-c[0] == 0 {
				t.Errorf("k %d: %g became %g", k, bad, c[0])
			}
		}
	}
}

func TestOpenBF16Refuses(t *testing.T) {
	if _, err := OpenBF16("openblas", 1); err == nil || !strings.Contains(err.Error(), "blas openblas: lep calls no bf16 product of it") {
		t.Errorf("got %v", err)
	}
}
