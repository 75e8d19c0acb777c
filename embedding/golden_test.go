package embedding

import (
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"lep/internal/golden"
	"lep/tensor"
	"lep/tokenizer"
)

// readTensors reads a safetensors file of the reference data. checkpoint does this
// for the program; this package may not import it.
func readTensors(t *testing.T, path string) map[string]tensor.View {
	t.Helper()
	data := golden.Read(t, path)
	n := int(uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	out := map[string]tensor.View{}
	for name, h := range header {
		if name == "__metadata__" {
			continue
		}
		d, err := tensor.ParseDType(h.DType)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = tensor.View{Name: name, DType: d, Shape: h.Shape, Data: data[8+n+h.Offsets[0] : 8+n+h.Offsets[1]]}
	}
	return out
}

func openTokenizer(t *testing.T, dir string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type initFacts struct {
	Special map[string]json.RawMessage `json:"special_tokens_map"`
	ZeroIn  []int                      `json:"mean_fallback_in"`
	ZeroOut []int                      `json:"mean_fallback_out"`
}

func (f initFacts) specials(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, raw := range f.Special {
		var one string
		var list []string
		if json.Unmarshal(raw, &one) == nil {
			out = append(out, one)
		} else if err := json.Unmarshal(raw, &list); err == nil {
			out = append(out, list...)
		} else {
			t.Fatal(err)
		}
	}
	return out
}

// initCase is one case of the reference data, opened.
type initCase struct {
	dir         string
	old, next   *tokenizer.Tokenizer
	embed, head tensor.View
	facts       map[string]initFacts
}

func openCase(t *testing.T, name string) initCase {
	t.Helper()
	dir := filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "init", name+".tar.gz")), name)
	c := initCase{dir: dir, old: openTokenizer(t, filepath.Join(dir, "source"))}
	var err error
	if c.next, _, err = WithSpecial(c.old, openTokenizer(t, filepath.Join(dir, "new_tokenizer"))); err != nil {
		t.Fatal(err)
	}
	weights := readTensors(t, filepath.Join(dir, "source", "model.safetensors"))
	c.embed, c.head = weights["model.embed_tokens.weight"], weights["lm_head.weight"]
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "facts.json")), &c.facts); err != nil {
		t.Fatal(err)
	}
	return c
}

// compare checks the rows of one variant; the tolerance is 1e-6 absolute in float32,
// one unit in the last place in bf16 (README of the reference data, section 2.4).
func (c initCase) compare(t *testing.T, x *Initial, variant string, want map[string]tensor.View) (zero [2][]int) {
	t.Helper()
	ids, ok := want[variant+".rows"]
	if !ok {
		ids = want["rows"] // the sound files have one list
	}
	for mod, name := range []string{"embed_tokens", "lm_head"} {
		ref, ok := want[variant+"."+name]
		if !ok || mod == 1 && c.head.Data == nil {
			continue
		}
		d := c.embed.Cols()
		kept := ref.Cols() // the files hold the first columns only
		raw := make([]byte, d*c.embed.DType.Size())
		got, exp := make([]float64, d), make([]float64, kept)
		bad := 0
		for i := range ref.Rows() {
			id := int(uint32(ids.Data[4*i]) | uint32(ids.Data[4*i+1])<<8 | uint32(ids.Data[4*i+2])<<16)
			if x.Row(raw, mod, id) {
				zero[mod] = append(zero[mod], id)
			}
			tensor.Decode64(got, raw, c.embed.DType)
			tensor.Decode64(exp, ref.Row(i), ref.DType)
			for j := range kept {
				tol := 1e-6
				if c.embed.DType == tensor.BF16 && exp[j] != 0 {
					_, e := math.Frexp(exp[j])
					tol = math.Ldexp(1, e-8)
				}
				if math.Abs(got[j]-exp[j]) > tol {
					if bad++; bad < 4 {
						t.Errorf("%s.%s: row %d %q column %d: %g, want %g", variant, name, id, c.next.Token(int32(id)), j, got[j], exp[j])
					}
				}
			}
		}
		if bad > 0 {
			t.Errorf("%s.%s: %d values differ", variant, name, bad)
		}
	}
	return zero
}

var variants = map[string]func(*InitOptions){
	"mean_hm":     func(*InitOptions) {},
	"mean_tie":    func(o *InitOptions) { o.Head = "tie" },
	"wmean1_hm":   func(o *InitOptions) { o.Method = "weighted" },
	"wmean05_hm":  func(o *InitOptions) { o.Method, o.Mult = "weighted", 0.5 },
	"mean_cut_hm": func(o *InitOptions) { o.MeanCutoff = 200 },
}

// TestInitialGoldens compares first rows with the authors' code and, by the sound
// rules, with the independent program.
func TestInitialGoldens(t *testing.T) {
	for _, name := range []string{"I1", "I2", "I3", "I4"} {
		t.Run(name, func(t *testing.T) {
			c := openCase(t, name)
			ref := readTensors(t, filepath.Join(c.dir, "expected", "expected.safetensors"))
			for variant, set := range variants {
				opts := DefaultInitOptions()
				opts.Compat = "reference"
				set(&opts)
				facts := c.facts[variant]
				x, err := NewInitial(c.old, c.next, c.embed, c.head, facts.specials(t), opts)
				if err != nil {
					t.Fatal(err)
				}
				zero := c.compare(t, x, variant, ref)
				if variant == "mean_hm" && !equal(zero[0], facts.ZeroIn) {
					t.Errorf("rows set to the mean vector: %v, want %v", zero[0], facts.ZeroIn)
				}
			}
			sound := readTensors(t, filepath.Join(c.dir, "expected", "sound.safetensors"))
			for variant, method := range map[string]string{"mean": "mean", "wmean1": "weighted"} {
				opts := DefaultInitOptions()
				opts.Method = method
				x, err := NewInitial(c.old, c.next, c.embed, c.head, nil, opts)
				if err != nil {
					t.Fatal(err)
				}
				c.compare(t, x, variant, sound)
			}
		})
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
