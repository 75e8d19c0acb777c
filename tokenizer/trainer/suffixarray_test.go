package trainer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSuffixArray(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		n, k := rng.IntN(60), 1+rng.IntN(5)
		s := make([]int32, n)
		for i := range s {
			s[i] = rng.Int32N(int32(k))
		}
		if n > 10 && rng.IntN(2) == 0 { // repetitions, which make deep recursion
			copy(s[n/2:], s[:n/2])
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortFunc(want, func(a, b int32) int { return slices.Compare(s[a:], s[b:]) })
		got := make([]int32, n)
		suffixArray(s, got, k)
		if !slices.Equal(got, want) {
			t.Fatalf("suffix array of %v: %v, want %v", s, got, want)
		}
	}
}
