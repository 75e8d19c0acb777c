package propagate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/checkpoint"
	"lep/internal/testmodel"
	"lep/tensor"
)

// familyWords are the words of the source's vocabulary in newFamily.
var familyWords = []string{"мир", "слово", "word", "ing"}

func byteAlphabet(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 33 && c <= 126, c >= 161 && c <= 172, c >= 174:
			b.WriteRune(rune(c))
		case c <= 32:
			b.WriteRune(rune(256 + int(c)))
		case c <= 160:
			b.WriteRune(rune(256 + 33 + int(c) - 127))
		default:
			b.WriteRune(256 + 67)
		}
	}
	return b.String()
}

// tokenizerJSON is a byte-level BPE of all bytes, words and specials.
func tokenizerJSON(t testing.TB, words []string, special ...string) []byte {
	t.Helper()
	vocab := map[string]int{}
	merges := []string{}
	add := func(s string) {
		if _, ok := vocab[byteAlphabet(s)]; !ok {
			vocab[byteAlphabet(s)] = len(vocab)
		}
	}
	for b := range 256 {
		add(string([]byte{byte(b)}))
	}
	for _, w := range words {
		for n := 2; n <= len(w); n++ {
			if _, ok := vocab[byteAlphabet(w[:n])]; !ok {
				merges = append(merges, byteAlphabet(w[:n-1])+" "+byteAlphabet(w[n-1:n]))
				add(w[:n])
			}
		}
	}
	added := []map[string]any{}
	for i, s := range special {
		added = append(added, map[string]any{"id": len(vocab) + i, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	raw, err := json.Marshal(map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// writeModel writes a model folder with one layer tensor.
func writeModel(t testing.TB, dir string, tok []byte, rows, dim int, dt tensor.DType, config string, at func(mod, i, j int) float64) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
	names := []string{"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}
	for mod, name := range names {
		shape := []int{rows, dim}
		if mod == 2 {
			shape = []int{dim}
		}
		v := tensor.View{Name: name, DType: dt, Shape: shape}
		n := v.Rows() * v.Cols()
		v.Data = make([]byte, n*dt.Size())
		values := make([]float64, n)
		for i := range values {
			if mod == 2 {
				values[i] = 1
			} else {
				values[i] = at(mod, i/dim, i%dim)
			}
		}
		tensor.Encode64(v.Data, values, dt)
		if err := w.AddView(v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"tokenizer.json": string(tok), "config.json": config, "tokenizer_config.json": `{"eos_token": "<end>"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pseudo are fixed values between -1 and 1.
func pseudo(seed, i, j int) float64 { return formula(uint64(seed), i*64+j) * 32 }

// newFamily writes a little source, target and donor: byte-level vocabularies of all bytes
// and a few words, 4 columns, the target's rows those of the source times a known map.
func newFamily(t testing.TB, dt tensor.DType) Options {
	t.Helper()
	const dim = 4
	dir := t.TempDir()
	old := tokenizerJSON(t, familyWords, "<start>", "<end>")
	newTok := tokenizerJSON(t, append([]string{"мировой", "словом", "words"}, familyWords...), "<end>", "<other>")
	size := func(raw []byte) int {
		var probe struct {
			Model struct{ Vocab map[string]int }
		}
		if err := json.Unmarshal(raw, &probe); err != nil {
			t.Fatal(err)
		}
		return len(probe.Model.Vocab) + 2
	}
	oldRows, newRows := size(old), size(newTok)
	config := func(rows, eos int) string {
		raw, _ := json.Marshal(map[string]any{"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": rows, "hidden_size": dim,
			"num_hidden_layers": 0, "tie_word_embeddings": false, "eos_token_id": eos, "torch_dtype": dt.TorchName(), "rope_theta": 10000.0})
		return string(raw)
	}
	source := func(mod, i, j int) float64 { return pseudo(1+mod, i, j) }
	target := func(mod, i, j int) float64 { // rows times a fixed map
		return source(mod, i, j) + 0.25*source(mod, i, (j+1)%dim) - 0.125*source(mod, i, (j+2)%dim)
	}
	writeModel(t, filepath.Join(dir, "source"), old, oldRows, dim, dt, config(oldRows, oldRows-1), source)
	writeModel(t, filepath.Join(dir, "target"), old, oldRows, dim, dt, config(oldRows, oldRows-1), target)
	writeModel(t, filepath.Join(dir, "donor"), newTok, newRows+3, dim, dt, config(newRows+3, newRows-2), func(mod, i, j int) float64 { return pseudo(11+mod, i, j) })
	opts := DefaultOptions()
	opts.Source, opts.Donor, opts.Threads = filepath.Join(dir, "source"), filepath.Join(dir, "donor"), 1
	opts.Targets = []Target{{Model: filepath.Join(dir, "target"), Out: filepath.Join(dir, "out")}}
	return opts
}

// TestKnownMap: the target's rows are the source's times a known map, so every method but
// swap finds it, and the result's rows are the donor's times it.
func TestKnownMap(t *testing.T) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.BF16} {
		for _, method := range []Method{Overlap, Conversion, SumConversion, Bypass} {
			t.Run(dt.String()+"/"+string(method), func(t *testing.T) {
				opts := newFamily(t, dt)
				opts.Method = method
				result, err := Run(context.Background(), opts)
				if err != nil {
					t.Fatal(err)
				}
				tr := result.Targets[0]
				if !Passed(tr.Checks) {
					t.Errorf("checks: %+v", tr.Checks)
				}
				got, donor, target := load(t, tr.Out), load(t, opts.Donor), load(t, opts.Targets[0].Model)
				if got.embed.Rows() != donor.tok.Size()+1 || !slices.Equal(tr.Added, []string{"<start>"}) {
					t.Errorf("%d rows for %d donor tokens, added %q; padding is cut and <start> comes behind", got.embed.Rows(), donor.tok.Size(), tr.Added)
				}
				end, _ := got.tok.ID("<end>")
				oldEnd, _ := target.tok.ID("<end>")
				if string(got.head.Row(int(end))) != string(target.head.Row(int(oldEnd))) {
					t.Error("<end> does not have the target's row")
				}
				d, g := values(t, donor, "lm_head.weight"), values(t, got, "lm_head.weight")
				tol := 3e-6
				if dt == tensor.BF16 {
					tol = 3e-2 // the target's rows are rounded to 8 bits
				}
				for id := range donor.tok.Size() {
					if id == int(end) {
						continue
					}
					for j := range 4 {
						want := d[id*4+j] + 0.25*d[id*4+(j+1)%4] - 0.125*d[id*4+(j+2)%4]
						if math.Abs(g[id*4+j]-want) > tol {
							t.Fatalf("row %d column %d: %g, want %g", id, j, g[id*4+j], want)
						}
					}
				}
				if m := tr.Modules[1]; m.HeldOut == nil || m.HeldOut.R2 < 0.99 || m.Candidates[0].Method != Swap || m.Candidates[0].Score.R2 > 0.99 {
					t.Errorf("held out %+v, candidates %+v", m.HeldOut, m.Candidates)
				}
			})
		}
	}
}

// TestAutoChooses: with an exact map a fit is better than swap, with the source as target
// nothing is better than swap, which is named first.
func TestAutoChooses(t *testing.T) {
	opts := newFamily(t, tensor.F32)
	opts.Method = Auto
	opts.Targets = append(opts.Targets, Target{Model: opts.Source, Out: opts.Targets[0].Out + "2"})
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if m := result.Targets[0].Modules[0].Method; m != Overlap && m != Conversion {
		t.Errorf("exact map: chose %s", m)
	}
	if m := result.Targets[1].Modules[0].Method; m != Swap {
		t.Errorf("source as target: chose %s", m)
	}
}

func TestPlan(t *testing.T) {
	opts := newFamily(t, tensor.BF16)
	opts.PadToMultipleOf = 64
	p, err := NewPlan(context.Background(), opts, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(opts.Targets[0].Out); !errors.Is(err, os.ErrNotExist) {
		t.Error("the plan wrote something")
	}
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	tr := result.Targets[0]
	if tr.Rows%64 != 0 || p.Targets[0].Rows != tr.Rows || p.Rows[Conversion] != tr.Modules[0].Rows {
		t.Errorf("plan %+v, done %d rows, %d fitted", p, tr.Rows, tr.Modules[0].Rows)
	}
	got := load(t, tr.Out)
	size := int64(0)
	for _, name := range got.Names() {
		v, err := got.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		size += int64(len(v.Data))
	}
	if p.Targets[0].Bytes != size {
		t.Errorf("plan says %d bytes, %d were written", p.Targets[0].Bytes, size)
	}
	if s := p.String(); !strings.Contains(s, "memory about") || !strings.Contains(s, "time about") {
		t.Errorf("plan: %s", s)
	}
}

// TestKeepShared: tokens that the target has keep its rows to the bit.
func TestKeepShared(t *testing.T) {
	opts := newFamily(t, tensor.BF16)
	opts.KeepShared = true
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	got, target := load(t, result.Targets[0].Out), load(t, opts.Targets[0].Model)
	for id := range int32(target.tok.Size()) {
		n, ok := got.tok.ID(target.tok.Token(id))
		if !ok || string(got.embed.Row(int(n))) != string(target.embed.Row(int(id))) {
			t.Errorf("token %d %q does not have the target's row", id, target.tok.Token(id))
		}
	}
}

// TestCancel: a run that is stopped leaves nothing.
func TestCancel(t *testing.T) {
	opts := newFamily(t, tensor.BF16)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Run(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	entries, _ := os.ReadDir(filepath.Dir(opts.Targets[0].Out))
	if len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
}

// fakeEngine answers as told.
type fakeEngine struct {
	ids  []int32
	bits float64
	next float32
	vary float32
	err  error
}

func (e *fakeEngine) Greedy(context.Context, string, []int32, []int32, int) ([]int32, error) {
	return e.ids, e.err
}
func (e *fakeEngine) BitsPerByte(context.Context, string, []string) (float64, error) {
	return e.bits, e.err
}
func (e *fakeEngine) Logits(context.Context, string, []int32) ([]float32, error) {
	e.next += e.vary
	return []float32{1, e.next}, e.err
}

func TestCheckModel(t *testing.T) {
	opts := newFamily(t, tensor.BF16)
	dir := opts.Targets[0].Model
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(`{% for m in messages %}{{ m['content'] }}<end>{% endfor %}`), 0o644); err != nil {
		t.Fatal(err)
	}
	end, _ := load(t, dir).tok.ID("<end>")
	for _, tt := range []struct {
		name   string
		engine fakeEngine
		failed []string
	}{
		{"good", fakeEngine{ids: []int32{5, end}, bits: 2}, nil},
		{"endless", fakeEngine{ids: []int32{5, 6}, bits: 2}, []string{"greedy answer"}},
		{"knows nothing", fakeEngine{ids: []int32{end}, bits: 9}, []string{"bits per byte"}},
		{"reload", fakeEngine{ids: []int32{end}, bits: 1, vary: 1}, []string{"reload"}},
		{"broken", fakeEngine{err: errors.New("no such tensor")}, []string{"greedy answer", "bits per byte", "reload"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checks, err := CheckModel(context.Background(), dir, CheckOptions{Engine: &tt.engine, Texts: []string{"a"}})
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			for _, c := range checks {
				if !c.OK {
					failed = append(failed, c.Name)
				}
			}
			if len(checks) != 3 || !slices.Equal(failed, tt.failed) {
				t.Errorf("%+v, want failures %q", checks, tt.failed)
			}
		})
	}
}

// TestChecksFail: a folder that is wrong in one way fails that check.
func TestChecksFail(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, out string){
		"vocab_size": func(t *testing.T, out string) {
			replaceIn(t, filepath.Join(out, "config.json"), `"vocab_size": 2`, `"vocab_size": 1`)
		},
		"stop tokens": func(t *testing.T, out string) {
			replaceIn(t, filepath.Join(out, "generation_config.json"), `"eos_token_id": `, `"eos_token_id": 1`)
		},
		"chat template": func(t *testing.T, out string) {
			if err := os.WriteFile(filepath.Join(out, "chat_template.jinja"), []byte("other"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"finite layers": func(t *testing.T, out string) {
			m := testmodel.Read(t, filepath.Join(out, "model.safetensors"))
			for name, v := range m {
				if strings.HasSuffix(name, ".weight") && !strings.Contains(name, "embed_tokens") && !strings.Contains(name, "lm_head") {
					tensor.Encode32(v.Data, []float32{float32(math.NaN())}, v.DType)
					break
				}
			}
			m.Write(t, filepath.Join(out, "model.safetensors"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := newFamily(t, tensor.F32)
			target := opts.Targets[0].Model
			if err := os.WriteFile(filepath.Join(target, "chat_template.jinja"), []byte(`{{ messages[0]['content'] }}<end>`), 0o644); err != nil {
				t.Fatal(err)
			}
			result, err := Run(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			out := result.Targets[0].Out
			if !Passed(result.Targets[0].Checks) {
				t.Fatalf("%+v", result.Targets[0].Checks)
			}
			spoil(t, out)
			checks, err := CheckFolder(context.Background(), out, CheckOptions{Against: target, ScanLayers: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				if c.Name == "layers" && name == "finite layers" {
					continue // that differs too
				}
				if c.OK == (c.Name == name) {
					t.Errorf("%s: ok %t, %s", c.Name, c.OK, c.Detail)
				}
			}
		})
	}
}

// TestBrokenTemplate: a template that does not render is said to be the target's where it is.
func TestBrokenTemplate(t *testing.T) {
	const broken, whole = `{{ messages[0]['content'] | nofilter }}`, `{{ messages[0]['content'] }}<end>`
	for _, tt := range []struct{ name, result, target, want string }{
		{"both", broken, broken, "nor does that of the target, from which it comes"},
		{"the result's", broken, whole, "that of the target does"},
		{"the target's", whole, broken, "but the target's does not"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := newFamily(t, tensor.F32)
			target := opts.Targets[0].Model
			result, err := Run(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			out := result.Targets[0].Out
			for dir, template := range map[string]string{out: tt.result, target: tt.target} {
				if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			checks, err := CheckFolder(context.Background(), out, CheckOptions{Against: target})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == "chat template" })
			if checks[i].OK || !strings.Contains(checks[i].Detail, tt.want) {
				t.Errorf("%+v, want %q", checks[i], tt.want)
			}
		})
	}
}

func replaceIn(t *testing.T, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), old, new, 1)
	if changed == string(data) {
		t.Fatalf("%s has no %s: %s", file, old, data)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLicence: the target's licence goes along, a link out of its folder does not.
func TestLicence(t *testing.T) {
	opts := newFamily(t, tensor.BF16)
	target := opts.Targets[0].Model
	secret := filepath.Join(t.TempDir(), "secret")
	for file, text := range map[string]string{secret: "secret", filepath.Join(target, "LICENSE"): "terms",
		filepath.Join(target, "README.md"): "---\nlicense: other\nlicense_name: terms-1\ntags: [x]\n---\n# Model\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(target, "NOTICE")); err != nil {
		t.Fatal(err)
	}
	result, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	files := result.Targets[0].Files
	if !slices.Contains(files, "LICENSE") || slices.Contains(files, "NOTICE") {
		t.Errorf("files %q, want LICENSE and not NOTICE, which is a link out of the folder", files)
	}
	card, err := os.ReadFile(filepath.Join(result.Targets[0].Out, "README.md"))
	if err != nil || !strings.Contains(string(card), "license: other\nlicense_name: terms-1\n") || strings.Contains(string(card), "tags: [x]") {
		t.Errorf("card %s, %v", card, err)
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[Number]string{1.5: "1.5", Number(math.Inf(1)): "null"} {
		raw, err := json.Marshal(x)
		if err != nil || string(raw) != want {
			t.Errorf("%v is %s, %v", float64(x), raw, err)
		}
	}
	var back Number
	if err := json.Unmarshal([]byte("null"), &back); err != nil || !math.IsNaN(float64(back)) {
		t.Errorf("null is %v, %v", float64(back), err)
	}
}

// FuzzOccurrences: any file is counts or an error.
func FuzzOccurrences(f *testing.F) {
	for _, s := range []string{`{}`, `{"0": {"1": 2}}`, `{"x": {}}`, `{"0": {"-1": 1}}`, `{"99999999999": {"1": 1}}`, `[]`, `{"0": {"1": 1e999}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		counts, err := parseOccurrences("f", data)
		if err != nil {
			return
		}
		for id, of := range counts {
			if id < 0 {
				t.Errorf("token %d", id)
			}
			for old := range of {
				if old < 0 {
					t.Errorf("old token %d", old)
				}
			}
		}
	})
}
