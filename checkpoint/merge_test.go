package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/internal/hint"
	"lep/tensor"
)

// vector is a float32 tensor of one dimension.
func vector(name string, values ...float32) tensor.View {
	v := tensor.View{Name: name, DType: tensor.F32, Shape: []int{len(values)}, Data: make([]byte, 4*len(values))}
	tensor.Encode32(v.Data, values, tensor.F32)
	return v
}

// matrixOf is a float32 matrix with rows of cols.
func matrixOf(name string, cols int, values ...float32) tensor.View {
	v := vector(name, values...)
	v.Shape = []int{len(values) / cols, cols}
	return v
}

const (
	embedName = "model.embed_tokens.weight"
	headName  = "lm_head.weight"
)

// written writes an adapter to disk and opens it, so that every check is passed.
func written(t *testing.T, a *Adapter) *Adapter {
	t.Helper()
	dir := t.TempDir()
	a.Config.R, a.Config.Bias = 1, "none"
	if a.Config.LoraAlpha == 0 {
		a.Config.LoraAlpha = 6
	}
	if err := a.Write(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return openAdapter(t, dir)
}

func TestMerge(t *testing.T) {
	untied, tied := t.TempDir(), t.TempDir()
	bias := vector("model.layers.0.q_proj.bias", 1, 1)
	q := matrixOf("model.layers.0.q_proj.weight", 2, 1, 0, 0, 1)
	saveModel(t, untied, `{"model_type":"llama","vocab_size":2}`, matrixOf(embedName, 2, 1, 2, 3, 4), matrixOf(headName, 2, 5, 6, 7, 8), q, bias)
	saveModel(t, tied, `{"model_type":"llama","vocab_size":2,"tie_word_embeddings":true}`,
		matrixOf(embedName, 2, 1, 2, 3, 4), matrixOf(headName, 2, 1, 2, 3, 4), q, bias) // the head is repeated
	term := func(module string) LoRA {
		return LoRA{Module: module, A: matrixOf("", 2, 1, 10), B: matrixOf("", 1, 1, 100)}
	}
	saved := func(names ...string) LoRAConfig { return LoRAConfig{ModulesToSave: names} }
	three := []float32{9, 9, 8, 8, 7, 7}
	for _, tt := range []struct {
		name, base  string
		adapter     Adapter
		opts        MergeOptions
		embed, head string
		q           string
		vocab       int
		want, hint  string
	}{
		{name: "a layer", base: untied, adapter: Adapter{Config: LoRAConfig{TargetModules: []string{"q_proj"}}, Modules: []LoRA{term("model.layers.0.q_proj")}},
			q: "[7 60 600 6001]"},
		{name: "a layer, weakened", base: untied, adapter: Adapter{Config: LoRAConfig{TargetModules: []string{"q_proj"}}, Modules: []LoRA{term("model.layers.0.q_proj")}},
			opts: MergeOptions{AlphaScale: 2}, q: "[4 30 300 3001]"},
		{name: "the head, weakened", base: untied, adapter: Adapter{Config: LoRAConfig{TargetModules: []string{"lm_head"}}, Modules: []LoRA{term("lm_head")}},
			opts: MergeOptions{AlphaScale: 2}, head: "[8 36 307 3008]"},
		{name: "the head, exempt", base: untied, adapter: Adapter{Config: LoRAConfig{TargetModules: []string{"lm_head"}}, Modules: []LoRA{term("lm_head")}},
			opts: MergeOptions{AlphaScale: 2, NotScaleLMHead: true}, head: "[11 66 607 6008]"},
		{name: "a larger vocabulary", base: untied, vocab: 3, embed: "[9 9 8 8 7 7]", head: "[9 9 8 8 7 7]",
			adapter: Adapter{Config: saved("embed_tokens", "lm_head"), Saved: []tensor.View{matrixOf(embedName, 2, three...), matrixOf(headName, 2, three...)}}},
		{name: "a larger vocabulary at one end", base: untied, want: "3 rows after merging, lm_head.weight has 2", hint: "modules_to_save must name both",
			adapter: Adapter{Config: saved("embed_tokens"), Saved: []tensor.View{matrixOf(embedName, 2, three...)}}},
		{name: "another width", base: untied, want: "shape [2 3], want [2 2]",
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 3, three...)}}},
		{name: "an unknown tensor", base: untied, want: `"model.layers.9.up_proj.weight": is not there, but the adapter changes it`, hint: "another model",
			adapter: Adapter{Config: saved("up_proj"), Saved: []tensor.View{matrixOf("model.layers.9.up_proj.weight", 2, 1, 2)}}},
		{name: "tied, both ends alike", base: tied, vocab: 3, embed: "[9 9 8 8 7 7]", head: "[9 9 8 8 7 7]",
			adapter: Adapter{Config: saved("embed_tokens", "lm_head"), Saved: []tensor.View{matrixOf(embedName, 2, three...), matrixOf(headName, 2, three...)}}},
		{name: "tied, the head alone, refused", base: tied, want: "the model ties", hint: "tying: untie",
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9, 8, 8)}}},
		{name: "tied, the head alone, untied", base: tied, opts: MergeOptions{Tying: TyingUntie}, embed: "[1 2 3 4]", head: "[9 9 8 8]",
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9, 8, 8)}}},
		{name: "tied, the head alone, shared", base: tied, opts: MergeOptions{Tying: TyingShare}, embed: "[9 9 8 8]", head: "[9 9 8 8]",
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9, 8, 8)}}},
		{name: "tied, the head alone, shared and weakened", base: tied, opts: MergeOptions{Tying: TyingShare, AlphaScale: 4}, embed: "[3 3.75 4.25 5]", head: "[3 3.75 4.25 5]",
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9, 8, 8)}}},
		{name: "tied, the head alone, by the adapter's wish", base: tied, embed: "[9 9 8 8]", head: "[9 9 8 8]",
			adapter: Adapter{Config: LoRAConfig{ModulesToSave: []string{"lm_head"}, EnsureTying: true}, Saved: []tensor.View{matrixOf(headName, 2, 9, 9, 8, 8)}}},
		{name: "tied, the input alone, shared", base: tied, opts: MergeOptions{Tying: TyingShare}, embed: "[9 9 8 8]", head: "[9 9 8 8]",
			adapter: Adapter{Config: saved("embed_tokens"), Saved: []tensor.View{matrixOf(embedName, 2, 9, 9, 8, 8)}}},
		{name: "tied, ends apart, shared", base: tied, opts: MergeOptions{Tying: TyingShare}, want: "cannot be shared",
			adapter: Adapter{Config: saved("embed_tokens", "lm_head"), Saved: []tensor.View{matrixOf(embedName, 2, 9, 9, 8, 8), matrixOf(headName, 2, 1, 1, 1, 1)}}},
		{name: "tied, ends apart, untied", base: tied, opts: MergeOptions{Tying: TyingUntie}, embed: "[9 9 8 8]", head: "[1 1 1 1]",
			adapter: Adapter{Config: saved("embed_tokens", "lm_head"), Saved: []tensor.View{matrixOf(embedName, 2, 9, 9, 8, 8), matrixOf(headName, 2, 1, 1, 1, 1)}}},
		{name: "options", base: untied, opts: MergeOptions{AlphaScale: -1}, want: "alpha_scale: -1", adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9)}}},
		{name: "options", base: untied, opts: MergeOptions{Tying: "tie"}, want: `tying: "tie", want one of refuse, untie, share`,
			adapter: Adapter{Config: saved("lm_head"), Saved: []tensor.View{matrixOf(headName, 2, 9, 9)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := tt.opts
			if opts.AlphaScale == 0 {
				opts.AlphaScale = 1
			}
			if opts.Tying == "" {
				opts.Tying = TyingRefuse
			}
			m, err := Merge(openModel(t, tt.base), written(t, &tt.adapter), opts)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.hint) {
					t.Fatalf("got %v (%s), want %q", err, hint.Of(err), tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			embed, errE := m.EmbedTokens()
			head, errH := m.LMHead()
			query, errQ := m.Tensor(q.Name)
			if errE != nil || errH != nil || errQ != nil {
				t.Fatal(errE, errH, errQ)
			}
			for _, c := range []struct {
				v    tensor.View
				want string
			}{{embed, tt.embed}, {head, tt.head}, {query, tt.q}} {
				if got := fmt.Sprint(c.v.Float32()); c.want != "" && got != c.want {
					t.Errorf("%s is %s, want %s", c.v.Name, got, c.want)
				}
			}
			d, err := ReadDimensions(m.Config())
			if err != nil || d.VocabSize != max(2, tt.vocab) {
				t.Errorf("vocab_size %d, %v, want %d", d.VocabSize, err, max(2, tt.vocab))
			}
			flag, _, err := TieWordEmbeddings(m.Config())
			tied, _ := m.Tied()
			if err != nil || flag != tied || tied && m.Changes(embedName) && m.Has(headName) || !tied && !slices.Contains(m.Names(), headName) {
				t.Errorf("tied %v, config says %v, names %q", tied, flag, m.Names())
			}
		})
	}
}

// PEFT saves the biases that it trained, and resized embeddings under LoRA, below
// the name of the layer that it wrapped.
func TestSavedBelowTheWrappedLayer(t *testing.T) {
	base, dir := t.TempDir(), t.TempDir()
	saveModel(t, base, `{"model_type":"llama","vocab_size":2}`, matrixOf(embedName, 2, 1, 2, 3, 4), matrixOf(headName, 2, 5, 6, 7, 8),
		matrixOf("model.layers.0.q_proj.weight", 2, 1, 0, 0, 1), vector("model.layers.0.q_proj.bias", 1, 1))
	writeAdapter := func(config string, tensors ...tensor.View) (*Adapter, error) {
		w := NewWriter(dir, DefaultWriterOptions())
		w.opts.BaseName = "adapter_model"
		for _, v := range tensors {
			v.Name = adapterPrefix + v.Name
			if err := w.AddView(v); err != nil {
				t.Fatal(err)
			}
		}
		w.opts.FS = overwriteFS{}
		if _, err := w.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, AdapterConfigFile), []byte(config))
		return OpenAdapter(dir)
	}
	bias := vector("model.layers.0.q_proj.base_layer.bias", 7, 8)
	head := matrixOf("lm_head.base_layer.weight", 2, 1, 1, 1, 1)
	a, b := matrixOf("lm_head.lora_A.weight", 2, 1, 10), matrixOf("lm_head.lora_B.weight", 1, 1, 100)
	adapter, err := writeAdapter(`{"peft_type":"LORA","r":1,"lora_alpha":1,"bias":"all","target_modules":["q_proj","lm_head"]}`, bias, head, a, b)
	if err != nil {
		t.Fatal(err)
	}
	defer adapter.Close()
	m, err := Merge(openModel(t, base), adapter, DefaultMergeOptions())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"model.layers.0.q_proj.bias": "[7 8]", headName: "[2 11 101 1001]", embedName: "[1 2 3 4]"} {
		v, err := m.Tensor(name)
		if err != nil || fmt.Sprint(v.Float32()) != want {
			t.Errorf("%s is %v, %v, want %s", name, v.Float32(), err, want)
		}
	}
	for _, tt := range []struct {
		want    string
		tensors []tensor.View
	}{
		{"neither a LoRA matrix nor of a module in modules_to_save", []tensor.View{bias}}, // bias: none
		{"neither a LoRA matrix nor", []tensor.View{vector("lm_head.lora_magnitude_vector", 1)}},
		{"one of its two LoRA matrices is missing", []tensor.View{a}},
		{"A is [1 2] and B [1 2]", []tensor.View{a, matrixOf("lm_head.lora_B.weight", 2, 1, 2)}},
		{"dtype U8", []tensor.View{{Name: "lm_head.lora_A.weight", DType: tensor.U8, Shape: []int{1}, Data: []byte{1}}}},
	} {
		adapter, err := writeAdapter(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["lm_head"]}`, tt.tensors...)
		if err == nil {
			adapter.Close()
			t.Errorf("accepted, want %q", tt.want)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// overwriteFS replaces files instead of refusing them.
type overwriteFS struct{ osFS }

func (overwriteFS) Create(name string) (Output, error) { return os.Create(name) }
