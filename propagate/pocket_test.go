package propagate

import (
	"context"
	"math"
	"testing"
	"unicode/utf8"

	"lep/checkpoint"
	"lep/internal/golden"
	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

func pocketOptions(t *testing.T, donor string) Options {
	t.Helper()
	opts := DefaultOptions()
	opts.Source = golden.Shared(t, "reference", "pocket", "pocket-base")
	opts.Donor = golden.Shared(t, "reference", "pocket", "donors", donor)
	opts.Targets = []Target{{Model: golden.Shared(t, "reference", "pocket", "pocket-instruct"), Out: t.TempDir() + "/out"}}
	opts.Threads, opts.FitSpecial = 1, false // the experiment's rules: text tokens only
	return opts
}

// pocketLists are the old subtokens as that experiment took them: for bytes that are no
// UTF-8 one old token a byte, where the sound rules use the old merges.
func pocketLists(old, next *tokenizer.Tokenizer) *vocab.Conversion {
	byBytes := map[string]int32{}
	for id := range int32(old.Size()) {
		if b, kind := old.Bytes(id); kind == tokenizer.Text {
			byBytes[string(b)] = id
		}
	}
	lists := make([][]int32, next.Size())
	for id := range lists {
		b, kind := next.Bytes(int32(id))
		if kind == tokenizer.Special {
			continue
		}
		if same, ok := byBytes[string(b)]; ok {
			lists[id] = []int32{same}
		} else if utf8.Valid(b) {
			lists[id] = old.Encode(string(b))
		} else {
			for i := range b {
				lists[id] = append(lists[id], byBytes[string(b[i:i+1])])
			}
		}
	}
	return vocab.NewConversion(lists)
}

// TestPocketGoldens compares with the independent experiment on real weights: exactly
// with its lists, and closely with ours, which differ in one to four tokens.
func TestPocketGoldens(t *testing.T) {
	for _, donor := range []string{"bpe", "extension"} {
		for _, method := range []Method{Overlap, Conversion} {
			t.Run(donor+"/"+string(method), func(t *testing.T) {
				opts := pocketOptions(t, donor)
				opts.Method = method
				f, err := checkpoint.OpenFile(golden.Shared(t, "reference", "pocket", "projections", donor+".safetensors"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				want := expected{t, f}
				r, err := prepared(t, opts)
				if err != nil {
					t.Fatal(err)
				}
				// 2e-3 of the rows is the rounding of the bf16 result.
				comparePocket(t, r, want, 1e-2, 2e-3)
				r.ops.conversion = pocketLists(r.in.source.tok, r.in.donor.tok)
				comparePocket(t, r, want, 1e-12, 1e-12)
			})
		}
	}
}

func comparePocket(t *testing.T, r *run, want expected, tolW, tolRows float64) {
	t.Helper()
	for mod, donor := range r.in.donor.matrices() {
		fits, err := r.fitter(mod).run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		key := moduleNames[mod] + "." + string(r.opts.Method)
		w := want.floats(key)
		if d := maxDifference(fits[0].w, w); d > tolW {
			t.Errorf("%s: W differs by %.3g, want at most %g", key, d, tolW)
		}
		dim := donor.Cols()
		x := make([]float64, donor.Rows()*dim)
		tensor.Decode64(x, donor.Data, donor.DType)
		a, b := make([]float64, len(x)), make([]float64, len(x))
		r.blas.DGEMM(false, false, donor.Rows(), dim, dim, 1, x, dim, fits[0].w, dim, 0, a, dim)
		r.blas.DGEMM(false, false, donor.Rows(), dim, dim, 1, x, dim, w, dim, 0, b, dim)
		var wrong, all float64
		for i := range a {
			wrong += (a[i] - b[i]) * (a[i] - b[i])
			all += b[i] * b[i]
		}
		if d := math.Sqrt(wrong / all); d > tolRows {
			t.Errorf("%s: rows differ by %.3g of their norm, want at most %g", key, d, tolRows)
		}
	}
}

// TestPocketFolder writes a whole result of the real family and looks at its checks.
func TestPocketFolder(t *testing.T) {
	opts := pocketOptions(t, "bpe")
	opts.Method = Auto
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	tr := result.Targets[0]
	for _, c := range tr.Checks {
		if !c.OK {
			t.Errorf("check %s: %s", c.Name, c.Detail)
		}
	}
	for _, m := range tr.Modules {
		if m.HeldOut == nil || m.HeldOut.R2 < m.Candidates[0].Score.R2 {
			t.Errorf("%s: %s has R² %+v, swap %+v: auto must not choose what is worse", m.Module, m.Method, m.HeldOut, m.Candidates[0].Score)
		}
		for _, c := range m.Candidates {
			t.Logf("%s %s λ %g: R² %.4f cosine %.4f", m.Module, c.Method, float64(c.Lambda), float64(c.Score.R2), float64(c.Score.Cosine))
		}
	}
	t.Log(result.Notes, tr.Notes)
}
