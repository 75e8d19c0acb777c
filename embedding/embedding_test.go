package embedding

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

// made is a matrix of the given values.
func made(dt tensor.DType, rows, cols int, at func(i, j int) float64) tensor.View {
	v := tensor.View{Name: "e", DType: dt, Shape: []int{rows, cols}, Data: make([]byte, rows*cols*dt.Size())}
	row := make([]float64, cols)
	for i := range rows {
		for j := range row {
			row[j] = at(i, j)
		}
		tensor.Encode64(v.Row(i), row, dt)
	}
	return v
}

// rowsNaive is Rows in its plainest form.
func rowsNaive(op *Operator, e tensor.View) []float64 {
	d := e.Cols()
	out := make([]float64, op.Len()*d)
	row := make([]float64, d)
	for i := range op.Len() {
		ids := op.IDs(i)
		for k, id := range ids {
			tensor.Decode64(row, e.Row(int(id)), e.DType)
			w := 1.0
			switch {
			case op.weighted(i):
				w = op.weights[int(op.start[i])+k]
			case op.combine == Mean:
				w = 1 / float64(len(ids))
			}
			for j, x := range row {
				out[i*d+j] += w * x / op.divisor(i)
			}
		}
	}
	return out
}

// TestRowsEqualNaive holds the batched rows against the plain ones, in any blocks and for
// every dtype; rounded rows are off by the rounding of the dtype at most.
func TestRowsEqualNaive(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const rows = 12
		d := rapid.IntRange(1, 70).Draw(r, "dim")
		dt := rapid.SampledFrom([]tensor.DType{tensor.BF16, tensor.F16, tensor.F32, tensor.F64}).Draw(r, "dtype")
		e := made(dt, rows, d, func(i, j int) float64 { return math.Sin(float64(i*d + j)) })
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.Int32Range(0, rows-1), 0, 9), 1, 30).Draw(r, "lists")
		for i, l := range lists {
			if len(l) == 0 {
				lists[i] = nil
			}
		}
		c := vocab.NewConversion(lists)
		op := Conversion(c, rapid.SampledFrom([]Combine{Mean, Sum}).Draw(r, "combine"))
		if rapid.Bool().Draw(r, "penalty") {
			op.Divide(2, c)
		}
		want := rowsNaive(op, e)
		got, rounded := make([]float64, len(want)), make([]float64, len(want))
		step := rapid.IntRange(1, 7).Draw(r, "step")
		for from := 0; from < op.Len(); from += step {
			n := min(step, op.Len()-from)
			op.Rows(got[from*d:], e, from, n)
			op.RoundedRows(rounded[from*d:], e, from, n)
		}
		u := max(dt.UnitRoundoff(), 0x1p-24)
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-14 {
				r.Fatalf("value %d: %g, want %g", i, got[i], want[i])
			}
			if math.Abs(rounded[i]-want[i]) > 20*u {
				r.Fatalf("rounded value %d: %g, want about %g", i, rounded[i], want[i])
			}
		}
	})
}

func TestOccurrences(t *testing.T) {
	c := vocab.NewConversion([][]int32{{0}, {1, 2}, nil, {0, 3}})
	e := made(tensor.F64, 4, 1, func(i, _ int) float64 { return float64(i) })
	op, err := Occurrences(c, map[int32]map[int32]float64{1: {2: 3, 1: 1}, 2: {3: 1}})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, op.Len())
	op.Rows(got, e, 0, op.Len())
	for i, want := range []float64{0, 1*0.25 + 2*0.75, 1.5} { // token 2 is left out; 3 has no counts
		if math.Abs(got[i]-want) > 1e-15 {
			t.Errorf("row %d (token %d): %g, want %g", i, op.Token(i), got[i], want)
		}
	}
	if op.Len() != 3 || op.MaxID() != 3 {
		t.Errorf("%d rows, highest id %d", op.Len(), op.MaxID())
	}
	if _, err := Occurrences(c, map[int32]map[int32]float64{1: {2: 0}}); err == nil || !strings.Contains(err.Error(), "positive") {
		t.Errorf("a count of 0: error %v", err)
	}
}

func TestFilter(t *testing.T) {
	op := Overlap([]vocab.Pair{{Old: 4, New: 0}, {Old: 1, New: 5}, {Old: 2, New: 6}})
	kept := op.Filter(func(row int) bool { return row != 1 })
	if kept.Len() != 2 || kept.Token(1) != 6 || kept.IDs(1)[0] != 2 || kept.MaxID() != 4 {
		t.Errorf("%d rows, token %d of %v", kept.Len(), kept.Token(1), kept.IDs(1))
	}
	if empty := op.Filter(func(int) bool { return false }); empty.Len() != 0 || empty.MaxID() != -1 {
		t.Errorf("empty operator has %d rows", empty.Len())
	}
}

// pieces makes a Unigram vocabulary with an added token.
func pieces(t testing.TB, list []string, added ...string) *tokenizer.Tokenizer {
	t.Helper()
	d := &tokenizer.Definition{}
	d.Model.Type = tokenizer.Unigram
	for i, p := range append([]string{"<unk>"}, list...) {
		d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: int32(i), Text: p, Score: -float64(i)})
	}
	for i, a := range added {
		d.AddedTokens = append(d.AddedTokens, tokenizer.AddedToken{ID: int32(len(d.Model.Pieces) + i), Content: a, Special: true, Normalized: i == 0})
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestInitialRows(t *testing.T) {
	old := pieces(t, []string{"a", "b", "zero"}, "<s>", "<e>")
	next, names, err := WithSpecial(old, pieces(t, []string{"ab", "b", "zero", "ж", "<e>"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 || names[0] != "<s>" {
		t.Errorf("appended %q, want <s> alone: <e> is a piece already", names)
	}
	for _, a := range next.Definition().AddedTokens {
		if id, _ := next.ID(a.Content); id != a.ID || a.Content == "<s>" && !a.Normalized {
			t.Errorf("%+v: want id %d and the flags of the old tokenizer", a, id)
		}
	}
	embed := made(tensor.F32, old.Size(), 2, func(i, j int) float64 {
		if i == 3 {
			return 0
		}
		return float64(1+i) * float64(1+10*j)
	})
	mean := []float64{(1 + 2 + 3 + 5 + 6) / 6., (1 + 2 + 3 + 5 + 6) * 11 / 6.}
	x, err := NewInitial(old, next, embed, tensor.View{}, nil, DefaultInitOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		token string
		want  []float64
		zero  bool
	}{
		{"ab", []float64{2.5, 27.5}, false}, {"b", []float64{3, 33}, false}, {"zero", mean, true},
		{"ж", mean, false}, {"<s>", []float64{5, 55}, false}, {"<e>", []float64{6, 66}, false},
	} {
		id, ok := next.ID(tt.token)
		if !ok {
			t.Fatalf("no %q", tt.token)
		}
		raw, got := make([]byte, 8), make([]float64, 2)
		zero := x.Row(raw, 0, int(id))
		tensor.Decode64(got, raw, tensor.F32)
		if zero != tt.zero || math.Abs(got[0]-tt.want[0]) > 1e-6 || math.Abs(got[1]-tt.want[1]) > 1e-5 {
			t.Errorf("%q: %v (zero %t), want %v (%t)", tt.token, got, zero, tt.want, tt.zero)
		}
	}
	if c := x.Counts; c.Copied != 3 || c.Averaged != 1 || c.Mean != 1 || c.Special != 2 {
		t.Errorf("%+v", c)
	}
}

// TestRandomRows: rows depend on seed, module and id, not on the order they are asked for.
func TestRandomRows(t *testing.T) {
	old := pieces(t, []string{"a", "b"})
	embed := made(tensor.F32, old.Size(), 400, func(int, int) float64 { return 1 })
	opts := DefaultInitOptions()
	opts.Method, opts.Seed = "random", 7
	row := func(seed uint64, mod, id int) []float64 {
		o := opts
		o.Seed = seed
		x, err := NewInitial(old, old, embed, embed, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		raw, out := make([]byte, 1600), make([]float64, 400)
		x.Row(raw, mod, id)
		tensor.Decode64(out, raw, tensor.F32)
		return out
	}
	a := row(7, 0, 2)
	sum := 0.0
	for _, v := range a {
		sum += v * v
	}
	if std := math.Sqrt(sum / 400); math.Abs(std-0.02) > 0.004 {
		t.Errorf("standard deviation %g, want 0.02", std)
	}
	if b := row(7, 0, 2); b[0] != a[0] {
		t.Error("the same row twice differs")
	}
	for name, b := range map[string][]float64{"seed": row(8, 0, 2), "module": row(7, 1, 2), "id": row(7, 0, 1)} {
		if b[0] == a[0] {
			t.Errorf("another %s gives the same row", name)
		}
	}
}

func TestInitialErrors(t *testing.T) {
	old := pieces(t, []string{"a", "b"})
	small := made(tensor.F32, 2, 4, func(int, int) float64 { return 1 })
	if _, err := NewInitial(old, old, small, tensor.View{}, nil, DefaultInitOptions()); err == nil || !strings.Contains(err.Error(), "2 rows") {
		t.Errorf("too few rows: %v", err)
	}
	if _, err := NewInitial(old, old, tensor.View{}, tensor.View{}, nil, DefaultInitOptions()); err == nil {
		t.Error("no matrix: no error")
	}
	for want, set := range map[string]func(*InitOptions){
		"method": func(o *InitOptions) { o.Method = "x" }, "head": func(o *InitOptions) { o.Head = "x" }, "compat": func(o *InitOptions) { o.Compat = "x" },
		"mult": func(o *InitOptions) { o.Mult = math.NaN() }, "space_weight": func(o *InitOptions) { o.SpaceWeight = -1 },
		"mean_cutoff": func(o *InitOptions) { o.MeanCutoff = -1 }, "pad_to_multiple_of": func(o *InitOptions) { o.PadToMultipleOf = -1 },
		"initializer_range": func(o *InitOptions) { o.Range = 0 },
	} {
		o := DefaultInitOptions()
		set(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// BenchmarkRows gathers conversion rows in bf16, as propagation does; 8 of 10 tokens are
// copied.
func BenchmarkRows(b *testing.B) {
	const rows, d = 4096, 1024
	e := made(tensor.BF16, rows, d, func(i, j int) float64 { return float64(i-j) * 1e-3 })
	lists := make([][]int32, rows)
	for i := range lists {
		if lists[i] = []int32{int32(i)}; i%5 == 0 {
			lists[i] = []int32{int32(i), int32(i * 7 % rows), int32(i * 13 % rows)}
		}
	}
	op := Conversion(vocab.NewConversion(lists), Mean)
	dst := make([]float64, rows*d)
	b.SetBytes(rows * d * 2)
	b.ReportAllocs()
	for b.Loop() {
		op.Rows(dst, e, 0, rows)
	}
}
