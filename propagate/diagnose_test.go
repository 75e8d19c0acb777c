package propagate

import (
	"context"
	"math"
	"slices"
	"testing"

	"lep/tensor"
)

// TestDiagnose holds spectrum and neighbours against plain computations over the files.
func TestDiagnose(t *testing.T) {
	opts := newFamily(t, tensor.F32)
	opts.Diagnose = 8 // more than there are
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	got, donor := load(t, result.Targets[0].Out), load(t, opts.Donor)
	for mod, name := range []string{"model.embed_tokens.weight", "lm_head.weight"} {
		d := result.Targets[0].Modules[mod].Diagnosis
		if d == nil {
			t.Fatalf("%s: no diagnosis", name)
		}
		var words []string
		for _, n := range d.Neighbours {
			words = append(words, n.Token)
			for _, side := range []struct {
				m    *model
				list []Neighbour
			}{{donor, n.Before}, {got, n.After}} {
				if want := plainNearest(values(t, side.m, name), side.m.tok.Size(), 4, int(n.ID)); len(side.list) != neighbourCount || int(side.list[0].ID) != want {
					t.Errorf("%s: %q: nearest of %s: got %+v, want id %d", name, n.Token, side.m.Dir(), side.list, want)
				}
				if !slices.IsSortedFunc(side.list, func(a, b Neighbour) int { return int(math.Copysign(1, float64(b.Cosine-a.Cosine))) }) {
					t.Errorf("%s: %q: not by falling cosine: %+v", name, n.Token, side.list)
				}
			}
		}
		if !slices.Equal(words, []string{"миро", "миров", "мирово", "мировой", "словом", "words"}) {
			t.Errorf("%s: new words: got %q", name, words)
		}
		if !slices.Equal(d.Ranks, []int{1, 2, 3, 4}) || !slices.IsSortedFunc(d.After, func(a, b Number) int { return int(math.Copysign(1, float64(b-a))) }) {
			t.Errorf("%s: ranks %v, values %v", name, d.Ranks, d.After)
		}
		if got, want := energy(d.Before), plainVariance(values(t, donor, name), 4); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s: the squares of the spectrum sum to %g, the variance of the donor's rows is %g", name, got, want)
		}
	}
}

func energy(sigma []Number) (sum float64) {
	for _, s := range sigma {
		sum += float64(s * s)
	}
	return sum
}

// plainVariance is the mean squared distance of rows from their mean.
func plainVariance(v []float64, dim int) (sum float64) {
	n := len(v) / dim
	for j := range dim {
		mean := 0.0
		for i := range n {
			mean += v[i*dim+j] / float64(n)
		}
		for i := range n {
			sum += (v[i*dim+j] - mean) * (v[i*dim+j] - mean) / float64(n)
		}
	}
	return sum
}

// plainNearest is the row with the largest cosine to row id, among the first rows.
func plainNearest(v []float64, rows, dim, id int) int {
	best, at := math.Inf(-1), -1
	for i := range rows {
		dot, a, b := 0.0, 0.0, 0.0
		for j := range dim {
			x, y := v[i*dim+j], v[id*dim+j]
			dot, a, b = dot+x*y, a+x*x, b+y*y
		}
		if c := dot / math.Sqrt(a*b); i != id && c > best {
			best, at = c, i
		}
	}
	return at
}

func TestThinned(t *testing.T) {
	all := make([]float64, 1000)
	values, ranks := thinned(all)
	if len(values) != spectrumValues || ranks[0] != 1 || ranks[spectrumValues-1] != 1000 || !slices.IsSorted(ranks) {
		t.Errorf("%d values, ranks %v", len(values), ranks)
	}
	if v, r := thinned([]float64{2}); len(v) != 1 || r[0] != 1 {
		t.Errorf("one value: got %v %v", v, r)
	}
}
