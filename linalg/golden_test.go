package linalg

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"lep/internal/golden"
	"lep/tensor"
)

// stored is a safetensors file in float64, for tests: checkpoint reads the real ones.
type stored struct {
	values map[string][]float64
	shape  map[string][]int
	dtype  map[string]tensor.DType
}

func readStored(t *testing.T, path string) stored {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	s := stored{map[string][]float64{}, map[string][]int{}, map[string]tensor.DType{}}
	for name, h := range header {
		if name == "__metadata__" {
			continue
		}
		count := 1
		for _, d := range h.Shape {
			count *= d
		}
		raw := data[8+int(n)+h.Offsets[0]:]
		out := make([]float64, count)
		if h.DType == "I32" {
			for i := range out {
				out[i] = float64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
			}
		} else {
			d, err := tensor.ParseDType(h.DType)
			if err != nil {
				t.Fatal(err)
			}
			tensor.Decode64(out, raw, d)
			s.dtype[name] = d
		}
		s.values[name], s.shape[name] = out, h.Shape
	}
	return s
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.NewDecoder(bytes.NewReader(golden.Read(t, path))).Decode(v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func worst(a, b []float64) float64 {
	var d float64
	for i := range a {
		if x := math.Abs(a[i] - b[i]); !(x <= d) {
			d = x
		}
	}
	return d
}

// gather returns the means of groups of rows, in float64.
func gather(rows []float64, d int, groups [][]int) []float64 {
	var out []float64
	for _, ids := range groups {
		mean := make([]float64, d)
		for _, id := range ids {
			DAXPY(1/float64(len(ids)), rows[id*d:id*d+d], mean)
		}
		out = append(out, mean...)
	}
	return out
}

type soundFacts struct {
	Rows       int     `json:"rows"`
	Dim        int     `json:"dim"`
	Rank       int     `json:"rank"`
	NoiseFloor float64 `json:"noise_floor"`
	SigmaMax   float64 `json:"sigma_max"`
	SigmaMin   float64 `json:"sigma_min"`
	Residual   float64 `json:"residual_fro"`
}

// TestGoldenSound solves the propagation cases of the reference data under the rules
// of its section 3.2. Tolerances of W are those of its README: 1e-8, 1e-6 for the
// rank-deficient e and f.
func TestGoldenSound(t *testing.T) {
	bl := openBuiltin(2)
	for _, c := range []string{"a", "b", "c", "d", "e", "f", "g", "j"} {
		t.Run(c, func(t *testing.T) {
			dir := filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "lep", c+".tar.gz")), c)
			source, target := readStored(t, dir+"/source/model.safetensors"), readStored(t, dir+"/target/model.safetensors")
			want := readStored(t, dir+"/expected/sound.safetensors")
			modes := readStored(t, dir+"/expected/modes.safetensors")
			var facts map[string]json.RawMessage
			readJSON(t, dir+"/expected/sound.json", &facts)
			var lists []struct{ Sound []int }
			readJSON(t, dir+"/expected/conversion.json.gz", &lists)
			groups := map[string][][]int{}
			for _, l := range lists {
				if l.Sound != nil {
					groups["conversion"] = append(groups["conversion"], l.Sound)
				}
			}
			for i, id := range want.values["union.pairs_old_new"] {
				if i%2 == 0 {
					groups["union"] = append(groups["union"], []int{int(id)})
				}
			}
			for _, module := range []string{"embed_tokens", "lm_head"} {
				tensorName := map[string]string{"embed_tokens": "model.embed_tokens.weight", "lm_head": "lm_head.weight"}[module]
				src, dst := source.values[tensorName], target.values[tensorName]
				if src == nil {
					continue // tied
				}
				d, u := source.shape[tensorName][1], source.dtype[tensorName].UnitRoundoff()
				for mode, list := range groups {
					w := want.values[mode+"."+module+".W"]
					if w == nil {
						t.Fatalf("no golden for %s.%s", mode, module)
					}
					var f soundFacts
					if err := json.Unmarshal(facts[mode+"."+module], &f); err != nil {
						t.Fatal(err)
					}
					s, g := gather(src, d, list), gather(dst, d, list)
					sols, err := Fit(context.Background(), bl, d, 1, u, inBlocks(s, g, d, 100))
					if err != nil {
						t.Fatal(err)
					}
					compareSound(t, mode+"."+module, sols[0], f, w)
				}
				if shared := modes.values["union.shared_old_ids"]; shared != nil {
					compareReference(t, bl, module, modes, shared, src, dst, d)
				}
			}
		})
	}
}

func compareSound(t *testing.T, what string, got *Solution, f soundFacts, w []float64) {
	t.Helper()
	tol := 1e-8
	if f.Rank < f.Dim {
		tol = 1e-6
	}
	if got.Rank != f.Rank || got.Rows != f.Rows {
		t.Errorf("%s (%s): rank %d of %d rows, want %d of %d", what, got.Method, got.Rank, got.Rows, f.Rank, f.Rows)
	}
	if d := worst(got.W, w); !(d <= tol) {
		t.Errorf("%s (%s): W is off by %g, tolerance %g", what, got.Method, d, tol)
	}
	for _, x := range []struct {
		name      string
		got, want float64
	}{{"noise floor", got.NoiseFloor, f.NoiseFloor}, {"residual", got.Residual, f.Residual}, {"sigma max", got.SigmaMax, f.SigmaMax}, {"sigma min", got.SigmaMin, f.SigmaMin}} {
		if math.Abs(x.got-x.want) > 1e-6*x.want+1e-14 {
			t.Errorf("%s (%s): %s %g, want %g", what, got.Method, x.name, x.got, x.want)
		}
	}
}

// compareReference holds FitReference to what the authors' solver gives, at its README's
// 1e-9: W of full rank, W_gelsd (min-norm) where the rank is deficient.
func compareReference(t *testing.T, bl BLAS, module string, modes stored, shared, src, dst []float64, d int) {
	t.Helper()
	var list [][]int
	for _, id := range shared {
		list = append(list, []int{int(id)})
	}
	want, deficient := modes.values["union."+module+".W_gelsd"]
	if !deficient {
		want = modes.values["union."+module+".W"]
	}
	s, g := gather(src, d, list), gather(dst, d, list)
	sols, err := FitReference(context.Background(), bl, d, 1, inBlocks(s, g, d, 64))
	if err != nil {
		t.Fatal(err)
	}
	if x := worst(sols[0].W, want); !(x <= 1e-9) {
		t.Errorf("reference union.%s: W is off by %g (rank %d)", module, x, sols[0].Rank)
	}
	if deficient != (sols[0].Rank < d) {
		t.Errorf("reference union.%s: rank %d of %d, deficient in the golden: %v", module, sols[0].Rank, d, deficient)
	}
}

// TestGoldenFormula is case R1: a real pair of vocabularies, weights by formula.
func TestGoldenFormula(t *testing.T) {
	dir := golden.Untar(t, golden.Shared(t, "reference", "lep", "lep", "R1.tar.gz"))
	want := readStored(t, dir+"/R1/real.safetensors")
	var facts map[string]json.RawMessage
	readJSON(t, dir+"/R1/facts.json", &facts)
	const d, vocab = 48, 32000
	value := func(stream, n uint64) float64 {
		z := stream + (n+1)*0x9E3779B97F4A7C15
		z ^= z >> 30
		z *= 0xBF58476D1CE4E5B9
		z ^= z >> 27
		z *= 0x94D049BB133111EB
		z ^= z >> 31
		return (float64(z>>40)/(1<<24)*2 - 1) / 32
	}
	if v := value(1, 2); v != 0.02943766862154007 {
		t.Fatalf("third value of stream 1 is %v", v)
	}
	for module, streams := range map[string][2]uint64{"embed_tokens": {1, 3}, "lm_head": {2, 4}} {
		src, dst := make([]float64, vocab*d), make([]float64, vocab*d)
		for i := range src {
			row, col := i/d, i%d
			x := value(streams[0], uint64(i))
			src[i] = f32(x)
			dst[i] = f32(x + 0.25*value(streams[0], uint64(row*d+(col+1)%d)) + 0.125*value(streams[1], uint64(i)))
		}
		var list [][]int
		for _, id := range want.values["union."+module+".shared_old_ids"] {
			list = append(list, []int{int(id)})
		}
		var f struct {
			Rows     int     `json:"rows"`
			Rank     int     `json:"rank"`
			Residual float64 `json:"residual_fro"`
		}
		if err := json.Unmarshal(facts["union."+module], &f); err != nil {
			t.Fatal(err)
		}
		s, g := gather(src, d, list), gather(dst, d, list)
		sols, err := Fit(context.Background(), openBuiltin(2), d, 1, 0x1p-24, inBlocks(s, g, d, 1000))
		if err != nil {
			t.Fatal(err)
		}
		sol := sols[0]
		if x := worst(sol.W, want.values["union."+module+".W"]); !(x <= 1e-9) || sol.Rank != f.Rank || sol.Rows != f.Rows || math.Abs(sol.Residual-f.Residual) > 1e-9 {
			t.Errorf("%s: W off by %g, rank %d of %d rows, residual %.12g; want rank %d of %d, residual %.12g", module, x, sol.Rank, sol.Rows, sol.Residual, f.Rank, f.Rows, f.Residual)
		}
	}
}
