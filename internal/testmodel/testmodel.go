package testmodel

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lep/tensor"
)

// Tiny is a small random model: config.json and its tensors.
type Tiny struct {
	Config []byte
	Tensors
}

// New makes a model of 2 layers and hidden size 32 with random weights. modelType is
// llama, mistral, qwen2, qwen3, gemma2 or gemma3_text; keys replace keys of config.json ("vocab_size": 64).
// The weights depend on the seed, the names and the shapes only.
func New(t testing.TB, modelType string, seed uint64, dtype tensor.DType, keys map[string]any) Tiny {
	t.Helper()
	config := settings(modelType, keys)
	config["torch_dtype"] = dtype.TorchName()
	m := Tiny{Config: encode(t, config), Tensors: Tensors{}}
	r := rand.New(rand.NewPCG(seed, 1))
	for _, s := range shapes(config) {
		n := 1
		for _, d := range s.shape {
			n *= d
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64() * s.deviation)
			if len(s.shape) == 1 {
				x[i] += s.mean
			}
		}
		buf := make([]byte, n*dtype.Size())
		tensor.Encode32(buf, x, dtype)
		m.Tensors[s.name] = tensor.View{Name: s.name, DType: dtype, Shape: s.shape, Data: buf}
	}
	return m
}

// Config returns the config.json of such a model without making its weights.
func Config(t testing.TB, modelType string, keys map[string]any) []byte {
	t.Helper()
	return encode(t, settings(modelType, keys))
}

func encode(t testing.TB, config map[string]any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func settings(modelType string, keys map[string]any) map[string]any {
	config := map[string]any{
		"architectures": []string{map[string]string{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
			"qwen3": "Qwen3ForCausalLM", "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM"}[modelType]},
		"model_type": modelType, "vocab_size": 48, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
		"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false,
		"bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32", "hidden_act": "silu",
	}
	switch modelType {
	case "mistral":
		config["sliding_window"] = 5
	case "qwen2", "qwen3":
		config["use_sliding_window"], config["sliding_window"], config["max_window_layers"] = true, 6, 1
	case "gemma2":
		config["sliding_window"], config["query_pre_attn_scalar"], config["tie_word_embeddings"] = 6, 16, true
		config["attn_logit_softcapping"], config["final_logit_softcapping"] = 2.5, 3.5
		delete(config, "hidden_act")
		config["hidden_activation"] = "gelu_pytorch_tanh"
	}
	if modelType == "gemma3_text" {
		config["sliding_window"], config["sliding_window_pattern"], config["rope_local_base_freq"] = 6, 2, 100.0
		config["query_pre_attn_scalar"], config["tie_word_embeddings"] = 16, true
		config["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": 4.0}
		delete(config, "hidden_act")
	}
	maps.Copy(config, keys)
	return config
}

type shape struct {
	name      string
	shape     []int
	mean      float32
	deviation float64
}

// shapes lists the tensors of the architecture, on purpose apart from model/names.go.
func shapes(config map[string]any) []shape {
	n := func(key string) int {
		switch v := config[key].(type) {
		case int:
			return v
		case float64:
			return int(v)
		}
		return 0
	}
	modelType := config["model_type"].(string)
	d, f, v := n("hidden_size"), n("intermediate_size"), n("vocab_size")
	q, kv := n("num_attention_heads")*n("head_dim"), n("num_key_value_heads")*n("head_dim")
	mean := float32(1)
	gemma := modelType == "gemma2" || modelType == "gemma3_text"
	if gemma {
		mean = 0
	}
	list := []shape{{name: "model.embed_tokens.weight", shape: []int{v, d}, deviation: 0.7}}
	for l := range n("num_hidden_layers") {
		linear := func(name string, rows, cols int, bias bool) {
			at := fmt.Sprintf("model.layers.%d.%s", l, name)
			list = append(list, shape{name: at + ".weight", shape: []int{rows, cols}, deviation: 0.25})
			if bias {
				list = append(list, shape{name: at + ".bias", shape: []int{rows}, deviation: 0.1})
			}
		}
		attention, _ := config["attention_bias"].(bool)
		mlp, _ := config["mlp_bias"].(bool)
		qkv := attention || modelType == "qwen2"
		linear("self_attn.q_proj", q, d, qkv)
		linear("self_attn.k_proj", kv, d, qkv)
		linear("self_attn.v_proj", kv, d, qkv)
		linear("self_attn.o_proj", d, q, attention)
		linear("mlp.gate_proj", f, d, mlp)
		linear("mlp.up_proj", f, d, mlp)
		linear("mlp.down_proj", d, f, mlp)
		norms := []string{"input_layernorm", "post_attention_layernorm"}
		if gemma {
			norms = append(norms, "pre_feedforward_layernorm", "post_feedforward_layernorm")
		}
		for _, name := range norms {
			list = append(list, shape{fmt.Sprintf("model.layers.%d.%s.weight", l, name), []int{d}, mean, 0.15})
		}
		if modelType == "qwen3" || modelType == "gemma3_text" {
			for _, name := range []string{"q_norm", "k_norm"} {
				list = append(list, shape{fmt.Sprintf("model.layers.%d.self_attn.%s.weight", l, name), []int{n("head_dim")}, mean, 0.15})
			}
		}
	}
	list = append(list, shape{"model.norm.weight", []int{d}, mean, 0.15})
	if tied, _ := config["tie_word_embeddings"].(bool); !tied {
		list = append(list, shape{name: "lm_head.weight", shape: []int{v, d}, deviation: 0.3})
	}
	return list
}

// Folder writes the model as a folder that checkpoint.Open reads.
func (m Tiny) Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), m.Config, 0o644); err != nil {
		t.Fatal(err)
	}
	m.Tensors.Write(t, filepath.Join(dir, "model.safetensors"))
	return dir
}

// IDs returns n random token ids below vocab.
func IDs(seed uint64, n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(seed, 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocab))
	}
	return ids
}
