package propagate

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tensor"
	"lep/tokenizer"
)

// load opens a result folder.
func load(t *testing.T, dir string) *model {
	t.Helper()
	m, err := openModel("result", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// values widens a tensor.
func values(t *testing.T, m *model, name string) []float64 {
	t.Helper()
	v, err := m.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, v.Rows()*v.Cols())
	tensor.Decode64(out, v.Data, v.DType)
	return out
}

// TestReferenceFolders compares whole folders with those that the authors' command
// wrote: every tensor (rows by token string, for appended ids are random there), configs,
// tokenizer, roles and chat template.
func TestReferenceFolders(t *testing.T) {
	for _, name := range []string{"a", "b", "d", "g", "L1", "L2"} {
		t.Run(name, func(t *testing.T) {
			dir := caseDir(t, name)
			opts := caseOptions(dir)
			opts.Compat = "reference"
			if name == "L2" {
				opts.AlphaScale = 1.5
			}
			result, err := Run(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range result.Targets[0].Checks {
				if !c.OK {
					t.Errorf("check %s: %s", c.Name, c.Detail)
				}
			}
			got, want := load(t, opts.Targets[0].Out), load(t, filepath.Join(dir, "expected", "cli_conversion"))
			compareTokens(t, got, want)
			compareTensors(t, got, want)
			compareObjects(t, "config.json", got.Config(), want.Config(), got, want)
			compareObjects(t, "generation_config.json", got.GenerationConfig(), want.GenerationConfig(), got, want)
			a, b := got.tok.Config(), want.tok.Config()
			if a.BOS != b.BOS || a.EOS != b.EOS || a.PAD != b.PAD || a.UNK != b.UNK || a.ChatTemplate != b.ChatTemplate {
				t.Errorf("roles %q %q %q %q, want %q %q %q %q", a.BOS, a.EOS, a.PAD, a.UNK, b.BOS, b.EOS, b.PAD, b.UNK)
			}
		})
	}
}

func compareTokens(t *testing.T, got, want *model) {
	t.Helper()
	if got.tok.Size() != want.tok.Size() {
		t.Fatalf("%d tokens, want %d", got.tok.Size(), want.tok.Size())
	}
	for id := range int32(want.tok.Size()) {
		if _, ok := got.tok.ID(want.tok.Token(id)); !ok {
			t.Errorf("token %q is missing", want.tok.Token(id))
		}
	}
	flags := func(m *model) map[string][5]bool {
		f := map[string][5]bool{}
		for _, a := range m.tok.Definition().AddedTokens {
			f[a.Content] = [5]bool{a.Special, a.Normalized, a.LStrip, a.RStrip, a.SingleWord}
		}
		return f
	}
	if a, b := flags(got), flags(want); !reflect.DeepEqual(a, b) {
		t.Errorf("added tokens %v, want %v", a, b)
	}
	for _, text := range scripts {
		a, b := tokensOf(got, got.tok.EncodeSpecial(text)), tokensOf(want, want.tok.EncodeSpecial(text))
		if !slices.Equal(a, b) {
			t.Errorf("%q is %q, want %q", text, a, b)
		}
	}
}

func compareTensors(t *testing.T, got, want *model) {
	t.Helper()
	if len(got.Names()) != len(want.Names()) {
		t.Errorf("tensors %v, want %v", got.Names(), want.Names())
	}
	for _, name := range want.Names() {
		g, w := values(t, got, name), values(t, want, name)
		if len(g) != len(w) {
			t.Errorf("%s: %d values, want %d", name, len(g), len(w))
			continue
		}
		dim, rows := want.embed.Cols(), name == want.embed.Name || name == want.head.Name
		worst := 0.0
		for i := range w {
			at := i
			if rows {
				id, _ := got.tok.ID(want.tok.Token(int32(i / dim)))
				at = int(id)*dim + i%dim
			}
			worst = max(worst, ulps(want.embed.DType, g[at], w[i]))
		}
		if worst > 1 {
			t.Errorf("%s differs by %.3g of the tolerance", name, worst)
		}
	}
}

// compareObjects compares configs by value; ids by the token that they name.
func compareObjects(t *testing.T, name string, a, b json.Marshaler, got, want *model) {
	t.Helper()
	decode := func(o json.Marshaler, m *model) map[string]any {
		raw, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]any{}
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		delete(out, "_name_or_path")
		for key, v := range out {
			if id, ok := v.(float64); ok && strings.HasSuffix(key, "_token_id") {
				out[key] = m.tok.Token(int32(id))
			}
		}
		return out
	}
	if x, y := decode(a, got), decode(b, want); !reflect.DeepEqual(x, y) {
		t.Errorf("%s: %v\nwant %v", name, x, y)
	}
}

// TestSoundFolder looks at what the sound rules write for a target with tokens of its own.
func TestSoundFolder(t *testing.T) {
	dir := caseDir(t, "b")
	opts := caseOptions(dir)
	generation := `{"bos_token_id": 1, "eos_token_id": [640, 2], "suppress_tokens": [5], "temperature": 0.6, "max_length": 640}`
	if err := os.WriteFile(filepath.Join(dir, "target", "generation_config.json"), []byte(generation), 0o644); err != nil {
		t.Fatal(err)
	}
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	tr := result.Targets[0]
	for _, c := range tr.Checks {
		t.Log(c.Name, c.OK, c.Detail)
		if !c.OK {
			t.Errorf("check %s: %s", c.Name, c.Detail)
		}
	}
	for _, n := range append(result.Notes, tr.Notes...) {
		t.Log("note:", n)
	}
	got := load(t, opts.Targets[0].Out)
	if tr.Rows != 802 || got.embed.Rows() != 802 || !slices.Equal(tr.Added, []string{"<|end_of_turn|>", "<|pad_0|>"}) {
		t.Errorf("%d rows, added %q, want 802 rows and the target's tokens in the order of their ids", tr.Rows, tr.Added)
	}
	var g struct {
		EOS       []int   `json:"eos_token_id"`
		MaxLength int     `json:"max_length"`
		T         float64 `json:"temperature"`
		Suppress  []int   `json:"suppress_tokens"`
	}
	if err := json.Unmarshal(golden.Read(t, filepath.Join(tr.Out, "generation_config.json")), &g); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.EOS, []int{800, 2}) || g.MaxLength != 640 || g.T != 0.6 || !slices.Equal(g.Suppress, []int{5}) {
		t.Errorf("generation config %+v, want every stop token in its new number and nothing else changed", g)
	}
	target := load(t, filepath.Join(dir, "target"))
	for _, a := range target.tok.Definition().AddedTokens {
		if a.ID < 640 {
			continue
		}
		want := a
		want.ID += 160
		if !slices.Contains(got.tok.Definition().AddedTokens, want) {
			t.Errorf("%+v is not among the result's added tokens, %+v", want, got.tok.Definition().AddedTokens)
		}
	}
	if string(got.embed.Row(800)) != string(target.embed.Row(640)) {
		t.Error("the row of <|end_of_turn|> is not the target's")
	}
	for _, file := range []string{"README.md", "lep.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"} {
		if !slices.Contains(tr.Files, file) {
			t.Errorf("%s is missing in %v", file, tr.Files)
		}
	}
	var rec record
	if err := json.Unmarshal(golden.Read(t, filepath.Join(tr.Out, "lep.json")), &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Options.Method != Conversion || len(rec.Inputs["target"]) != 2 || rec.Result.Targets[0].Rows != 802 {
		t.Errorf("lep.json: %+v", rec)
	}
}

// TestMethodsAndTargets runs every method on two targets at once; results equal those of
// runs of their own, and keep-shared leaves the target's rows alone.
func TestMethodsAndTargets(t *testing.T) {
	dir := caseDir(t, "c")
	for _, method := range Methods() {
		if method == OccConversion {
			continue
		}
		t.Run(string(method), func(t *testing.T) {
			out := t.TempDir()
			opts := caseOptions(dir)
			opts.Method, opts.KeepShared = method, method == Auto
			opts.Targets = []Target{{Model: filepath.Join(dir, "target"), Out: filepath.Join(out, "one")},
				{Model: filepath.Join(dir, "source"), Out: filepath.Join(out, "two")}}
			result, err := Run(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			alone := opts
			alone.Targets = []Target{{Model: filepath.Join(dir, "target"), Out: filepath.Join(out, "three")}}
			if _, err := Run(context.Background(), alone); err != nil {
				t.Fatal(err)
			}
			a, b := load(t, filepath.Join(out, "one")), load(t, filepath.Join(out, "three"))
			for _, name := range a.Names() {
				if d := maxDifference(values(t, a, name), values(t, b, name)); d > 0 {
					t.Errorf("%s: alone and together differ by %g", name, d)
				}
			}
			// The source as its own target: W = I and every row is the donor's.
			self := result.Targets[1].Modules[0]
			if self.NormDelta > 1e-9 && method != Ridge && method != Auto {
				t.Errorf("source to source: ||W - I|| = %g", float64(self.NormDelta))
			}
			if method != Swap {
				h := result.Targets[0].Modules[0].HeldOut
				if h == nil || math.IsNaN(float64(h.R2)) || h.Tokens < minHeld {
					t.Errorf("held out: %+v", h)
				}
			}
			if opts.KeepShared {
				m := result.Targets[0].Modules[0]
				if m.FromTarget != result.Shared {
					t.Errorf("%d rows from the target, want the %d shared", m.FromTarget, result.Shared)
				}
			}
		})
	}
}

// TestBadInput: each stops with a clear error and nothing is written.
func TestBadInput(t *testing.T) {
	edit := func(path, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			file := filepath.Join(dir, path)
			data := golden.Read(t, file)
			changed := strings.Replace(string(data), old, new, 1)
			if changed == string(data) {
				t.Fatalf("%s has no %s", path, old)
			}
			if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	poison := func(path, name string, row int, bits byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			file := filepath.Join(dir, path, "model.safetensors")
			m := load(t, filepath.Join(dir, path))
			v, err := m.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			data := golden.Read(t, file)
			at := strings.Index(string(data), string(v.Row(row)))
			size := v.DType.Size()
			data[at+size-1], data[at+size-2] = 0x7f, bits
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name, from string
		spoil      func(*testing.T, string)
		opts       func(*Options)
		want       []string
	}{
		{"family", "c", edit("donor/config.json", `"model_type": "llama"`, `"model_type": "mistral"`), nil, []string{"donor/config.json", "mistral", "source has llama"}},
		{"tied", "c", func(t *testing.T, dir string) {
			o := caseOptions(caseDir(t, "d"))
			if err := os.Rename(o.Donor, filepath.Join(dir, "tied")); err != nil {
				t.Fatal(err)
			}
			edit("tied/config.json", `"model_type": "qwen2"`, `"model_type": "llama"`)(t, dir)
		}, func(o *Options) { o.Donor = filepath.Join(filepath.Dir(o.Donor), "tied") }, []string{"tied embeddings true, source has false"}},
		{"hidden size", "c", func(t *testing.T, dir string) {
			o := caseOptions(caseDir(t, "b"))
			if err := os.Rename(o.Donor, filepath.Join(dir, "other")); err != nil {
				t.Fatal(err)
			}
		}, func(o *Options) { o.Donor = filepath.Join(filepath.Dir(o.Donor), "other") }, []string{"other/config.json", "hidden_size is 24, source has 32"}},
		{"nan in the donor", "c", poison("donor", "lm_head.weight", 700, 0xc0), nil, []string{"donor", "lm_head.weight", "row 700", "not finite"}},
		{"inf in the target", "c", poison("target", "model.embed_tokens.weight", 3, 0x80), nil, []string{"target", "embed_tokens.weight", "row 3", "not finite"}},
		{"rows", "i", nil, nil, []string{"757 rows", "760 tokens"}},
		{"other vocabulary", "c", func(t *testing.T, dir string) {
			data := golden.Read(t, filepath.Join(dir, "donor", "tokenizer.json"))
			for _, m := range []string{"target"} {
				if err := os.WriteFile(filepath.Join(dir, m, "tokenizer.json"), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			// Enough rows for the other tokenizer, so that it is the tokens that differ.
			copyAll(t, filepath.Join(dir, "donor"), filepath.Join(dir, "target"))
		}, nil, []string{"in the source's tokenizer"}},
		{"out exists", "c", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"out", "already exists"}},
		{"no such model", "c", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "target")); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"target"}},
		{"method", "c", nil, func(o *Options) { o.Method = "unoin" }, []string{`"unoin"`, "want one of swap, overlap"}},
		{"occurrences", "c", nil, func(o *Options) { o.Method = OccConversion }, []string{"occurrences", "no file"}},
		{"pairs", "c", nil, func(o *Options) { o.Targets[0].Out = "" }, []string{"want both"}},
		{"generation id", "c", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "target", "generation_config.json"), []byte(`{"eos_token_id": [2, 99999]}`), 0o644); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"generation_config.json", "eos_token_id", "99999"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := caseDir(t, tt.from)
			if tt.spoil != nil {
				tt.spoil(t, dir)
			}
			opts := caseOptions(dir)
			if tt.opts != nil {
				tt.opts(&opts)
			}
			_, err := Run(context.Background(), opts)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q (hint %q) does not say %q", err, hint.Of(err), part)
				}
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".out") || e.Name() == "out" && tt.name != "out exists" {
					t.Errorf("%s is left behind", e.Name())
				}
			}
		})
	}
}

func copyAll(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.WriteFile(filepath.Join(to, e.Name()), golden.Read(t, filepath.Join(from, e.Name())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSoundCases writes every case by the sound rules; all checks pass, ids below the
// donor's stay, and tied models stay tied.
func TestSoundCases(t *testing.T) {
	for _, name := range []string{"a", "c", "d", "e", "f", "g", "j", "L1", "L2"} {
		t.Run(name, func(t *testing.T) {
			dir := caseDir(t, name)
			opts := caseOptions(dir)
			opts.AlphaScale = 1.5 // only adapters know of it
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
			got, target := load(t, tr.Out), load(t, opts.Targets[0].Model)
			if got.tied != target.tied || got.embed.Rows() != got.tok.Size() || got.embed.DType != target.embed.DType {
				t.Errorf("tied %t, %d rows for %d tokens, %s", got.tied, got.embed.Rows(), got.tok.Size(), got.embed.DType)
			}
			for _, a := range target.tok.Definition().AddedTokens {
				id, ok := got.tok.ID(a.Content)
				if !ok || string(got.embed.Row(int(id))) != string(target.embed.Row(int(a.ID))) {
					t.Errorf("%q does not have the target's row", a.Content)
				}
			}
			if a, b := got.tok.EncodeSpecial("a"), target.tok.EncodeSpecial("a"); got.tok.Token(a[0]) != target.tok.Token(b[0]) && outside(kindOf(target, b[0])) {
				t.Errorf("a text begins with %q, the target's with %q", got.tok.Token(a[0]), target.tok.Token(b[0]))
			}
		})
	}
}

func kindOf(m *model, id int32) tokenizer.Kind {
	_, kind := m.tok.Bytes(id)
	return kind
}
