package metric

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPython(t *testing.T) {
	for _, tt := range []struct{ in, want, why string }{
		{"İΣ ΑΣ", "i\u0307ς ας", "İ has a dot of its own; Σ at the end of a word"},
		{"ΑΣΑ Σ", "ασα σ", "Σ inside a word, and alone"},
		{"ЁЖ", "ёж", "Russian"},
	} {
		if got := lower(tt.in); got != tt.want {
			t.Errorf("lower(%q) = %q, want %q: %s", tt.in, got, tt.want, tt.why)
		}
	}
}

// TestExam16 works the special rule of task 16 by hand.
func TestExam16(t *testing.T) {
	const kind = "multiple_choice_independent_options"
	for _, tt := range []struct {
		prediction string
		want       float64
	}{{"1,3", 2}, {"1", 1}, {"1,3,5", 1}, {"2,4", 0}, {"", 0}, {"3, 1", 2}} {
		if got := ExamScore(tt.prediction, "1,3", kind, "16"); got != tt.want {
			t.Errorf("ExamScore(%q) = %v, want %v", tt.prediction, got, tt.want)
		}
	}
}

func TestPairAccuracyWantsPairs(t *testing.T) {
	if _, err := PairAccuracy([]Keyed{{"1", 1}, {"1", 1}, {"2", 1}}); err == nil {
		t.Error("a single result passes for a pair")
	}
}

// TestMatchingBlocks checks that blocks are common, in order and end the list.
func TestMatchingBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(rapid.SampledFrom([]rune("абв")), 0, 30)
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		blocks := MatchingBlocks(a, b)
		i, j := 0, 0
		for _, m := range blocks {
			if m.Reference < i || m.Prediction < j || !slices.Equal(a[m.Reference:m.Reference+m.Length], b[m.Prediction:m.Prediction+m.Length]) {
				t.Fatalf("block %v of %v", m, blocks)
			}
			i, j = m.Reference+m.Length, m.Prediction+m.Length
		}
		if i != len(a) || j != len(b) {
			t.Fatalf("blocks end at %d, %d, want %d, %d", i, j, len(a), len(b))
		}
	})
}

func TestMCCUndefined(t *testing.T) {
	if got := MCC([]string{"1", "1"}, []string{"1", "1"}); got != 0 {
		t.Errorf("MCC of one label is %v, want 0", got)
	}
	if got := RPrecision([]float64{1}, []bool{false}); !math.IsNaN(got) {
		t.Errorf("R-precision without positives is %v, want NaN", got)
	}
}

func FuzzSQuAD(f *testing.F) {
	f.Add("The кто-то 12,5 «a»", "кто")
	f.Fuzz(func(t *testing.T, p, a string) {
		if v := SQuADF1(p, []string{a}); v < 0 || v > 1 {
			t.Errorf("F1 is %v", v)
		}
		once := SQuADNormalize(p)
		if SQuADExact(p, []string{p}) != 1 || len(once) > 3*len(p)+3 {
			t.Errorf("%q does not equal itself", p)
		}
	})
}
