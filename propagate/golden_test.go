package propagate

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/checkpoint"
	"lep/internal/golden"
	"lep/tensor"
	"lep/vocab"
)

// The tolerances of the reference data's README, section 4.
const (
	tolW     = 1e-9 // W under compat reference: row means are rounded as there
	tolSound = 1e-8 // W by the sound rules
	tolRank  = 1e-6 // the same for the rank-deficient cases e and f
	tolOut32 = 1e-6 // float32 rows, absolute
)

func caseDir(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "lep", name+".tar.gz")), name)
}

func caseOptions(dir string) Options {
	o := DefaultOptions()
	o.Source, o.Donor = filepath.Join(dir, "source"), filepath.Join(dir, "donor")
	o.Targets = []Target{{Model: filepath.Join(dir, "target"), Out: filepath.Join(dir, "out")}}
	o.Threads = 1
	o.SpaceForMetaspace = "no" // the temporary folder's name must not matter
	return o
}

// expected is one safetensors file of the reference data.
type expected struct {
	t *testing.T
	f *checkpoint.File
}

func openExpected(t *testing.T, dir, name string) expected {
	t.Helper()
	return expected{t, openFile(t, filepath.Join(dir, "expected", name))}
}

func (e expected) floats(name string) []float64 {
	e.t.Helper()
	v, err := e.f.Tensor(name)
	if err != nil {
		e.t.Fatal(err)
	}
	out := make([]float64, v.Rows()*v.Cols())
	tensor.Decode64(out, v.Data, v.DType)
	return out
}

func (e expected) ints(name string) []int32 {
	e.t.Helper()
	v, err := e.f.Tensor(name)
	if err != nil {
		e.t.Fatal(err)
	}
	if v.DType != tensor.I32 && v.DType != tensor.I64 {
		e.t.Fatalf("%s: %s", name, v.DType)
	}
	var out []int32
	for i := 0; i < len(v.Data); i += v.DType.Size() {
		out = append(out, int32(uint32(v.Data[i])|uint32(v.Data[i+1])<<8|uint32(v.Data[i+2])<<16|uint32(v.Data[i+3])<<24))
	}
	return out
}

func maxDifference(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range a {
		if d := math.Abs(a[i] - b[i]); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

// prepared opens a case and its matrix library.
func prepared(t *testing.T, opts Options) (*run, error) {
	t.Helper()
	r, err := prepare(context.Background(), &opts)
	if err != nil {
		return nil, err
	}
	t.Cleanup(r.in.close)
	return r, r.openBLAS()
}

// rowsOf renders a whole module of the result and returns the rows asked for.
func rowsOf(t *testing.T, p *projection, rows []int32) []float64 {
	t.Helper()
	var b strings.Builder
	if err := p.write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	dim := p.donor.Cols()
	v := tensor.View{DType: p.dtype, Shape: []int{p.rows, dim}, Data: []byte(b.String())}
	out := make([]float64, 0, len(rows)*dim)
	row := make([]float64, dim)
	for _, id := range rows {
		tensor.Decode64(row, v.Row(int(id)), v.DType)
		out = append(out, row...)
	}
	return out
}

type goldenMode struct {
	Error       string
	Shared      int
	Copied      []string
	EmbedTokens *goldenModule `json:"embed_tokens"`
	LMHead      *goldenModule `json:"lm_head"`
}

type goldenModule struct {
	Rows, Rank  int
	RankGelsd   int     `json:"rank_gelsd"`
	ResidualFro float64 `json:"residual_fro_gelsd"`
}

// TestReferenceGoldens holds every mode of every case against what the authors' code
// computed: the rows fitted, W before rounding, and rows of the result.
func TestReferenceGoldens(t *testing.T) {
	methods := map[string]Method{"straight": Swap, "union": Overlap}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "j"} {
		dir := caseDir(t, name)
		var modes map[string]goldenMode
		if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "modes.json")), &modes); err != nil {
			t.Fatal(err)
		}
		want := openExpected(t, dir, "modes.safetensors")
		for mode, g := range modes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				opts := caseOptions(dir)
				opts.Compat = "reference"
				base := mode
				if s, ok := strings.CutPrefix(base, "llama_path_"); ok {
					base, opts.SpaceForMetaspace = s, "yes"
				}
				if s, ok := strings.CutSuffix(base, "@2.0"); ok {
					base, opts.OverlapPenalty = s, 2
				}
				opts.Method = Method(base)
				if m, ok := methods[base]; ok {
					opts.Method = m
				}
				if opts.Method == OccConversion {
					opts.Occurrences = unzipped(t, filepath.Join(dir, "occ.json.gz"))
				}
				r, err := prepared(t, opts)
				if g.Error != "" {
					if err == nil {
						t.Fatalf("no error, the authors' code fails: %s", g.Error)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if opts.Method == Overlap {
					r.ops.shared = r.ops.shared[:0] // which ids stand for a string is random there: take theirs
					for _, id := range want.ints(mode + ".shared_old_ids") {
						r.ops.shared = append(r.ops.shared, vocab.Pair{Old: id})
					}
				}
				for mod, gm := range []*goldenModule{g.EmbedTokens, g.LMHead} {
					if gm != nil && mod < len(r.in.source.matrices()) {
						checkReference(t, r, mod, mode, name, gm, want)
					}
				}
			})
		}
	}
}

func unzipped(t *testing.T, path string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "occ.json")
	if err := writeFile(file, golden.Read(t, path)); err != nil {
		t.Fatal(err)
	}
	return file
}

func checkReference(t *testing.T, r *run, mod int, mode, name string, g *goldenModule, want expected) {
	t.Helper()
	key := mode + "." + moduleNames[mod]
	fits, err := r.fitter(mod).run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fit := fits[0]
	if r.opts.Method != Swap {
		if fit.result.Rows != g.Rows {
			t.Errorf("%s: %d rows, want %d", key, fit.result.Rows, g.Rows)
		}
		if fit.result.Rank != g.RankGelsd {
			t.Errorf("%s: rank %d, want %d", key, fit.result.Rank, g.RankGelsd)
		}
		w := key + ".W"
		if g.RankGelsd < fit.result.Dim {
			w = key + ".W_gelsd"
		}
		tol := tolW
		if g.RankGelsd < fit.result.Dim {
			tol = tolRank
		}
		if d := maxDifference(fit.w, want.floats(w)); d > tol {
			t.Errorf("%s: W differs by %.3g, want at most %g", key, d, tol)
		}
	}
	if name == "e" && r.opts.Method != Swap {
		return // rank-deficient: the authors' rows are random
	}
	out, err := r.result(0)
	if err != nil {
		t.Fatal(err)
	}
	p := out.projection(r, 0, mod, fit.w)
	rows := want.ints(key + ".rows")
	got, ref := rowsOf(t, p, rows), want.floats(key+".out")
	dim := p.donor.Cols()
	worst := 0.0
	for i, id := range rows {
		if int(id) >= r.in.donor.tok.Size() {
			continue // appended: their order is random there, see TestReferenceFolders
		}
		for j := range dim {
			worst = max(worst, ulps(p.dtype, got[i*dim+j], ref[i*dim+j]))
		}
	}
	if worst > 1 {
		t.Errorf("%s: rows differ by %.3g of the tolerance", key, worst)
	}
}

// ulps is the difference as a multiple of what is tolerated: 1e-6 in float32, one unit
// in the last place in 16 bits.
func ulps(d tensor.DType, a, b float64) float64 {
	if !sixteenBits(d) {
		return math.Abs(a-b) / tolOut32
	}
	if a == b {
		return 0
	}
	_, exp := math.Frexp(math.Max(math.Abs(a), math.Abs(b)))
	return math.Abs(a-b) / math.Ldexp(4*d.UnitRoundoff(), exp-1)
}

type soundModule struct {
	Rows, Dim, Rank int
	NoiseFloor      float64 `json:"noise_floor"`
	SigmaMax        float64 `json:"sigma_max"`
	ResidualFro     float64 `json:"residual_fro"`
}

// TestSoundGoldens holds conversion and overlap against the independent program that
// follows the sound rules.
func TestSoundGoldens(t *testing.T) {
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "j"} {
		dir := caseDir(t, name)
		var all map[string]json.RawMessage
		if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "sound.json")), &all); err != nil {
			t.Fatal(err)
		}
		want := openExpected(t, dir, "sound.safetensors")
		for mode, method := range map[string]Method{"conversion": Conversion, "union": Overlap} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				opts := caseOptions(dir)
				opts.Method = method
				r, err := prepared(t, opts)
				if err != nil {
					t.Fatal(err)
				}
				if method == Overlap {
					var pairs []int32
					for _, p := range r.ops.shared {
						pairs = append(pairs, p.Old, p.New)
					}
					if ref := want.ints("union.pairs_old_new"); !slices.Equal(pairs, ref) {
						t.Errorf("%d shared, want %d: %v, want %v", len(pairs)/2, len(ref)/2, pairs, ref)
					}
				}
				for mod := range r.in.source.matrices() {
					key := mode + "." + moduleNames[mod]
					var g soundModule
					if err := json.Unmarshal(all[key], &g); err != nil {
						t.Fatal(err)
					}
					checkSound(t, r, mod, key, g, want)
				}
			})
		}
	}
}

func checkSound(t *testing.T, r *run, mod int, key string, g soundModule, want expected) {
	t.Helper()
	fits, err := r.fitter(mod).run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fit := fits[0]
	res := fit.result
	if res.Rows != g.Rows || res.Rank != g.Rank {
		t.Errorf("%s: %d rows of rank %d, want %d of %d", key, res.Rows, res.Rank, g.Rows, g.Rank)
	}
	for what, pair := range map[string][2]float64{"noise floor": {float64(res.NoiseFloor), g.NoiseFloor},
		"residual": {float64(res.Residual), g.ResidualFro}, "sigma max": {float64(res.SigmaMax), g.SigmaMax}} {
		if math.Abs(pair[0]-pair[1]) > 1e-3*pair[1] {
			t.Errorf("%s: %s %g, want %g", key, what, pair[0], pair[1])
		}
	}
	tol := tolSound
	if g.Rank < g.Dim {
		tol = tolRank
	}
	if d := maxDifference(fit.w, want.floats(key+".W")); d > tol {
		t.Errorf("%s: W differs by %.3g, want at most %g", key, d, tol)
	}
	donor := r.in.donor.matrices()[mod]
	p := &projection{blas: r.blas, donor: donor, dtype: donor.DType, w: fit.w, donorRows: donor.Rows(), rows: donor.Rows()}
	p.settle()
	got, ref := rowsOf(t, p, want.ints(key+".rows")), want.floats(key+".out")
	worst := 0.0
	for i := range ref {
		worst = max(worst, ulps(p.dtype, got[i], ref[i]))
	}
	if worst > 1 {
		t.Errorf("%s: rows differ by %.3g of the tolerance", key, worst)
	}
}

// TestFewerRowsThanTokens is case i: the donor's matrix lacks rows.
func TestFewerRowsThanTokens(t *testing.T) {
	_, err := prepared(t, caseOptions(caseDir(t, "i")))
	if err == nil || !strings.Contains(err.Error(), "757 rows") || !strings.Contains(err.Error(), "760 tokens") {
		t.Errorf("error %v, want one with 757 rows and 760 tokens", err)
	}
}

func openFile(t *testing.T, path string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
