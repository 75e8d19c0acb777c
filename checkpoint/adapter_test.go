package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tensor"
)

func openAdapter(t *testing.T, dir string) *Adapter {
	t.Helper()
	a, err := OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func openModel(t *testing.T, dir string) *Model {
	t.Helper()
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestAdapterScales(t *testing.T) {
	for _, name := range []string{"adapter-rslora-qv", "adapter-patterns", "adapter-regex-tied"} {
		dir := golden.Shared(t, "reference", "models", "training", name)
		var want struct {
			Scaling map[string]float64
			Config  struct{ Base string }
		}
		if err := json.Unmarshal(read(t, filepath.Join(dir, "adapter.json")), &want); err != nil {
			t.Fatal(err)
		}
		a := openAdapter(t, filepath.Join(dir, "adapter"))
		if len(a.Modules) != len(want.Scaling) {
			t.Errorf("%s: %d modules, want %d", name, len(a.Modules), len(want.Scaling))
		}
		for _, m := range a.Modules {
			if w := want.Scaling[adapterPrefix+m.Module]; w != m.Scale {
				t.Errorf("%s: %s: scale %v, want %v", name, m.Module, m.Scale, w)
			}
		}
		base := openModel(t, golden.Shared(t, "reference", "models", "checkpoints", want.Config.Base))
		merged, err := Merge(base, a, DefaultMergeOptions())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range a.Modules {
			checkMerged(t, base, merged, m, m.Scale)
		}
	}
}

// checkMerged holds a merged tensor against the definition, computed plainly.
func checkMerged(t *testing.T, base *Model, merged *Merged, m LoRA, scale float64) {
	t.Helper()
	name := m.Module + ".weight"
	w, err := base.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := merged.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	a, b, x, y := m.A.Float32(), m.B.Float32(), w.Float32(), got.Float32()
	r, in := m.A.Rows(), m.A.Cols()
	for i := range y {
		sum := 0.0
		for k := range r {
			sum += float64(b[i/in*r+k]) * float64(a[k*in+i%in])
		}
		want := float64(x[i]) + scale*sum
		// One rounding to the dtype (2^-8 for BF16); 2^-25 is the half step of subnormal F16.
		if tol := 2.02*w.DType.UnitRoundoff()*math.Abs(want) + 0x1p-25; math.Abs(float64(y[i])-want) > tol {
			t.Fatalf("%s: element %d is %v, want %v", name, i, y[i], want)
		}
	}
}

func TestLEPGoldensOfAdapters(t *testing.T) {
	for name, alphaScale := range map[string]float64{"L1": 1, "L2": 1.5} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "lep", name+".tar.gz")), name)
			a := openAdapter(t, filepath.Join(dir, "donor"))
			target, want := openModel(t, filepath.Join(dir, "target")), openModel(t, filepath.Join(dir, "expected", "cli_conversion"))
			opts := MergeOptions{AlphaScale: alphaScale, Tying: TyingShare}

			layers, err := Merge(target, a.LayerPart(), opts)
			if err != nil {
				t.Fatal(err)
			}
			compared := 0
			for _, tensorName := range layers.Names() {
				if isEmbedding(tensorName) {
					continue
				}
				g, err := layers.Tensor(tensorName)
				if err != nil {
					t.Fatal(err)
				}
				w, err := want.Tensor(tensorName)
				if err != nil {
					t.Fatal(err)
				}
				got, ref := g.Float32(), w.Float32()
				for i := range ref {
					if d := math.Abs(float64(got[i] - ref[i])); d > 1e-6 {
						t.Fatalf("%s[%d]: %v, want %v", tensorName, i, got[i], ref[i])
					}
				}
				compared++
			}
			if compared < 10 || len(a.LayerPart().Modules) != 7 {
				t.Errorf("%d tensors, %d modules", compared, len(a.LayerPart().Modules))
			}

			base := openModel(t, filepath.Join(dir, a.Config.BaseModel))
			donor, err := Merge(base, a.EmbeddingPart(), opts)
			if err != nil {
				t.Fatal(err)
			}
			tied, _ := donor.Tied()
			head, err := donor.LMHead()
			if err != nil {
				t.Fatal(err)
			}
			baseHead, err := base.LMHead()
			if err != nil {
				t.Fatal(err)
			}
			saved := a.Saved[0] // lm_head in both
			if saved.Name != "lm_head.weight" || tied != (name == "L2") {
				t.Fatalf("saved %q, tied %v", saved.Name, tied)
			}
			blend := 1.0
			if tied {
				blend = 1 / alphaScale
			}
			got, s, b := head.Float32(), saved.Float32(), baseHead.Float32()
			for i := range got {
				want := float64(b[i]) + blend*(float64(s[i])-float64(b[i]))
				if math.Abs(float64(got[i])-want) > 1e-7 {
					t.Fatalf("head[%d]: %v, want %v", i, got[i], want)
				}
			}
			if donor.Changes("model.layers.0.self_attn.q_proj.weight") {
				t.Error("the embedding part changes a layer")
			}
		})
	}
}

func TestAdapterRoundTrip(t *testing.T) {
	a := openAdapter(t, golden.Shared(t, "reference", "models", "training", "lora-llama", "adapter_final"))
	if len(a.Saved) != 2 || len(a.EmbeddingPart().Saved) != 2 || len(a.LayerPart().Saved) != 0 || len(a.Modules) != 21 {
		t.Fatalf("%d saved, %d modules", len(a.Saved), len(a.Modules))
	}
	out := t.TempDir()
	if err := a.Write(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if string(read(t, filepath.Join(out, adapterFile))) != string(read(t, filepath.Join(a.Dir(), adapterFile))) {
		t.Error("the rewritten adapter differs")
	}
	var was, is map[string]any
	if err := json.Unmarshal(read(t, filepath.Join(a.Dir(), AdapterConfigFile)), &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read(t, filepath.Join(out, AdapterConfigFile)), &is); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(was) != fmt.Sprint(is) {
		t.Error("the rewritten config differs")
	}

	// One made in memory must read back with the same meaning.
	mem := &Adapter{Config: LoRAConfig{BaseModel: "org/base", R: 2, LoraAlpha: 5, UseRSLoRA: true, Bias: "none",
		AlphaPattern: []Pattern{{Key: "q_proj", Value: 3}}, TargetModules: []string{"q_proj"}}}
	mem.Modules = []LoRA{{Module: "model.layers.0.self_attn.q_proj",
		A: tensor.View{DType: tensor.F32, Shape: []int{2, 3}, Data: make([]byte, 24)},
		B: tensor.View{DType: tensor.F32, Shape: []int{4, 2}, Data: make([]byte, 32)}}}
	if err := mem.Write(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := mem.Write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	back := openAdapter(t, dir)
	if got := back.Modules[0]; got.Scale != 3/math.Sqrt2 || back.Config.BaseModel != "org/base" || len(back.Config.LayersToTransform) != 0 {
		t.Errorf("came back as %+v", back.Config)
	}
}

func TestTransposedTerms(t *testing.T) {
	base, dir := t.TempDir(), t.TempDir()
	f32 := func(name string, shape []int, values ...float32) tensor.View {
		v := tensor.View{Name: name, DType: tensor.F32, Shape: shape, Data: make([]byte, 4*len(values))}
		tensor.Encode32(v.Data, values, tensor.F32)
		return v
	}
	saveModel(t, base, `{"model_type":"llama","vocab_size":3,"hidden_size":2,"tie_word_embeddings":true}`,
		f32("model.embed_tokens.weight", []int{3, 2}, 1, 2, 3, 4, 5, 6), f32("model.norm.weight", []int{2}, 1, 1))
	a := &Adapter{Config: LoRAConfig{R: 1, LoraAlpha: 2, Bias: "none", TargetModules: []string{"embed_tokens"}}}
	a.Modules = []LoRA{{Module: "model.embed_tokens", embedding: true,
		A: f32("", []int{1, 3}, 10, 20, 30), B: f32("", []int{2, 1}, 1, -1)}}
	if err := a.Write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	m, ad := openModel(t, base), openAdapter(t, dir)
	for _, tt := range []struct {
		tying Tying
		head  string
	}{
		{TyingUntie, "[1 2 3 4 5 6]"}, // the head was not trained
		{TyingShare, "[21 -18 43 -36 65 -54]"},
	} {
		merged, err := Merge(m, ad, MergeOptions{AlphaScale: 1, Tying: tt.tying})
		if err != nil {
			t.Fatal(err)
		}
		embed, err := merged.EmbedTokens()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(embed.Float32()); got != "[21 -18 43 -36 65 -54]" {
			t.Errorf("%s: embeddings %s", tt.tying, got)
		}
		head, err := merged.LMHead()
		if err != nil || fmt.Sprint(head.Float32()) != tt.head {
			t.Errorf("%s: head %v, want %s (%v)", tt.tying, head.Float32(), tt.head, err)
		}
		out := t.TempDir()
		w := NewWriter(out, DefaultWriterOptions())
		for _, name := range merged.Names() {
			if err := merged.Add(w, name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		config, err := merged.Config().Indent()
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(out, ConfigFile), config)
		result := openModel(t, out)
		if tied, err := result.Tied(); err != nil || tied != (tt.tying == TyingShare) {
			t.Errorf("%s: written model tied %v, %v", tt.tying, tied, err)
		}
		written, err := result.LMHead()
		if err != nil || fmt.Sprint(written.Float32()) != tt.head {
			t.Errorf("%s: written head %v (%v)", tt.tying, written.Float32(), err)
		}
	}
	if _, err := Merge(m, ad, DefaultMergeOptions()); err == nil || !strings.Contains(hint.Of(err), "tying: untie") {
		t.Errorf("a tied model whose ends would part: %v", err)
	}
}

// saveModel writes a small model folder.
func saveModel(t *testing.T, dir, config string, tensors ...tensor.View) {
	t.Helper()
	writeFile(t, filepath.Join(dir, ConfigFile), []byte(config))
	w := NewWriter(dir, DefaultWriterOptions())
	for _, v := range tensors {
		if err := w.AddView(v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAdaptersThatAreRefused(t *testing.T) {
	source := golden.Shared(t, "reference", "models", "training", "adapter-rslora-qv", "adapter")
	for _, tt := range []struct{ key, value, want string }{
		{"peft_type", `"IA3"`, `peft_type: "IA3"`},
		{"use_dora", `true`, "use_dora: true"},
		{"trainable_token_indices", `[1]`, "trainable_token_indices"},
		{"init_lora_weights", `"pissa_niter_4"`, "changes the base"},
		{"r", `0`, "r: 0"},
		{"r", `5`, "want [5 in] and [out 5]"},
		{"r", `"4"`, `key "r"`},
		{"lora_alpha", `1e300`, "finite"},
		{"bias", `"some"`, `bias: "some"`},
		{"target_modules", `["k_proj"]`, "none of the target_modules"},
		{"target_modules", `"(q|v"`, "target_modules: pattern"},
		{"target_modules", `".*q_proj"`, `v_proj": is none of the target_modules`},
		{"layers_to_transform", `1`, `layers.0.self_attn.q_proj": is none`},
		{"exclude_modules", `["v_proj"]`, `v_proj": is none`},
		{"exclude_modules", `".*v_proj"`, `v_proj": is none`},
		{"exclude_modules", `"(v"`, "exclude_modules: pattern"},
		{"rank_pattern", `{"q_proj":2.5}`, "rank 2.5"},
		{"rank_pattern", `{"q_proj":"x"}`, "want a number"},
		{"rank_pattern", `{"(q":4}`, "pattern"},
	} {
		t.Run(tt.key+tt.value, func(t *testing.T) {
			dir := t.TempDir()
			var config map[string]json.RawMessage
			if err := json.Unmarshal(read(t, filepath.Join(source, AdapterConfigFile)), &config); err != nil {
				t.Fatal(err)
			}
			config[tt.key] = json.RawMessage(tt.value)
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, AdapterConfigFile), text)
			writeFile(t, filepath.Join(dir, adapterFile), read(t, filepath.Join(source, adapterFile)))
			if a, err := OpenAdapter(dir); err == nil {
				a.Close()
				t.Fatal("accepted")
			} else if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("pickled", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, AdapterConfigFile), read(t, filepath.Join(source, AdapterConfigFile)))
		writeFile(t, filepath.Join(dir, "adapter_model.bin"), []byte("PK"))
		if _, err := OpenAdapter(dir); err == nil || !strings.Contains(err.Error(), "pickled") {
			t.Errorf("got %v", err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a LoRA adapter") {
			t.Errorf("opened as a model: %v", err)
		}
		if !IsAdapter(dir) || IsAdapter(os.TempDir()) {
			t.Error("IsAdapter is wrong")
		}
	})
	t.Run("another base", func(t *testing.T) {
		a := openAdapter(t, source)
		m := openModel(t, golden.Shared(t, "reference", "models", "checkpoints", "qwen2-mixedswa-bf16"))
		if _, err := Merge(m, a, DefaultMergeOptions()); err == nil || !strings.Contains(err.Error(), "LoRA of [64 64], want [48 48] (base model)") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzAdapterConfig(f *testing.F) {
	f.Add([]byte(`{"peft_type":"LORA","r":4,"target_modules":["q_proj"],"rank_pattern":{"q_proj":2},"layers_to_transform":[0,2]}`))
	f.Add([]byte(`{"peft_type":"LORA","target_modules":"model\\.layers\\.[01]\\.(self_attn|mlp)\\.(v|up)_proj","alpha_pattern":{"^(a+)+$":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseLoRAConfig(data)
		if err != nil {
			return
		}
		for i := range c.RankPattern { // keep a pattern of the fuzzer from taking its second
			c.RankPattern[i].match.MatchTimeout = 1e6
		}
		if r, _, err := c.rankAndAlpha("model.layers.1.self_attn.q_proj"); err == nil && r < 1 {
			t.Fatalf("rank %d", r)
		}
		if o, err := c.object(); err != nil || len(o.Keys()) == 0 {
			t.Fatalf("config cannot be written: %v", err)
		}
	})
}
