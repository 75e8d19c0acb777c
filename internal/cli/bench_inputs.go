package cli

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"lep/tensor"
	"lep/tokenizer"
)

// benchInputs describes a synthetic source, target and donor.
type benchInputs struct {
	old, next, out   string
	hidden, layers   int
	oldRows, newRows int
	tied             bool
}

// layerShapes are the matrices of a Llama layer, by the end of their names.
func (in *benchInputs) layerShapes() []benchTensor {
	d, kv, f := in.hidden, in.hidden/4, 11*in.hidden/4
	return []benchTensor{
		{"input_layernorm.weight", []int{d}, nil}, {"post_attention_layernorm.weight", []int{d}, nil},
		{"self_attn.q_proj.weight", []int{d, d}, nil}, {"self_attn.k_proj.weight", []int{kv, d}, nil},
		{"self_attn.v_proj.weight", []int{kv, d}, nil}, {"self_attn.o_proj.weight", []int{d, d}, nil},
		{"mlp.gate_proj.weight", []int{f, d}, nil}, {"mlp.up_proj.weight", []int{f, d}, nil}, {"mlp.down_proj.weight", []int{d, f}, nil},
	}
}

// benchTensor is a tensor to write: zeros, left as a hole, if row is nil.
type benchTensor struct {
	name  string
	shape []int
	row   func(dst []float64, i int)
}

func (in *benchInputs) write() error {
	rowsOf := func(path string, rows int) (int, error) {
		t, err := tokenizer.Open(path)
		if err != nil {
			return 0, err
		}
		return max(rows, t.Size()), nil
	}
	if in.hidden < 64 || in.hidden%64 != 0 {
		return usagef("--hidden %d: want a multiple of 64", in.hidden)
	}
	oldRows, err := rowsOf(in.old, in.oldRows)
	if err != nil {
		return err
	}
	newRows, err := rowsOf(in.next, in.newRows)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name, tokenizer string
		rows            int
		row             func(stream uint64) func([]float64, int)
	}{
		{"source", in.old, oldRows, in.source},
		{"target", in.old, oldRows, in.target},
		{"donor", in.next, newRows, func(stream uint64) func([]float64, int) { return in.source(stream + 2) }},
	} {
		if err := in.writeModel(filepath.Join(in.out, m.name), m.tokenizer, m.rows, m.row); err != nil {
			return err
		}
	}
	return nil
}

func (in *benchInputs) writeModel(dir, tok string, rows int, row func(stream uint64) func([]float64, int)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := copyTokenizer(tok, dir); err != nil {
		return err
	}
	t, err := tokenizer.Open(tok)
	if err != nil {
		return err
	}
	var eos any // null for a tokenizer without the role
	if id, ok := t.ID(t.Config().EOS); ok {
		eos = id
	}
	config, err := json.MarshalIndent(map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": rows, "hidden_size": in.hidden,
		"intermediate_size": 11 * in.hidden / 4, "num_hidden_layers": in.layers, "num_attention_heads": in.hidden / 64,
		"num_key_value_heads": in.hidden / 256, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 8192,
		"hidden_act": "silu", "tie_word_embeddings": in.tied, "torch_dtype": "bfloat16", "eos_token_id": eos,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return err
	}
	list := []benchTensor{{"model.embed_tokens.weight", []int{rows, in.hidden}, row(1)}, {"model.norm.weight", []int{in.hidden}, nil}}
	if !in.tied {
		list = append(list, benchTensor{"lm_head.weight", []int{rows, in.hidden}, row(2)})
	}
	for l := range in.layers {
		for _, t := range in.layerShapes() {
			t.name = fmt.Sprintf("model.layers.%d.%s", l, t.name)
			list = append(list, t)
		}
	}
	return writeSparse(filepath.Join(dir, "model.safetensors"), list)
}

// writeSparse writes a bfloat16 safetensors file in which tensors of zeros are holes.
func writeSparse(path string, list []benchTensor) error {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var at int64
	begins := make([]int64, len(list))
	for i, t := range list {
		n := int64(2)
		for _, d := range t.shape {
			n *= int64(d)
		}
		begins[i] = at
		header[t.name] = entry{"BF16", t.shape, [2]int64{at, at + n}}
		at += n
	}
	head, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	start := int64(8 + len(head))
	if _, err := f.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)); err != nil {
		return err
	}
	if err := f.Truncate(start + at); err != nil {
		return err
	}
	for i, t := range list {
		if t.row == nil {
			continue
		}
		if err := writeRows(io.NewOffsetWriter(f, start+begins[i]), t); err != nil {
			return err
		}
	}
	return f.Close()
}

func writeRows(w io.Writer, t benchTensor) error {
	b := bufio.NewWriterSize(w, 1<<20)
	row := make([]float64, t.shape[1])
	raw := make([]byte, 2*len(row))
	for i := range t.shape[0] {
		t.row(row, i)
		tensor.Encode64(raw, row, tensor.BF16)
		if _, err := b.Write(raw); err != nil {
			return err
		}
	}
	return b.Flush()
}

// source returns rows of a stream: uniform values under a spectrum that falls by e².
func (in *benchInputs) source(stream uint64) func([]float64, int) {
	scale := make([]float64, in.hidden)
	for j := range scale {
		scale[j] = 0.05 * math.Exp(-2*float64(j)/float64(in.hidden))
	}
	return func(dst []float64, i int) {
		for j := range dst {
			dst[j] = scale[j] * uniform(stream, uint64(i)*uint64(in.hidden)+uint64(j))
		}
	}
}

// target mixes neighbouring columns of the source and adds noise.
func (in *benchInputs) target(stream uint64) func([]float64, int) {
	source := in.source(stream)
	return func(dst []float64, i int) {
		source(dst, i)
		first := dst[0]
		for j := range dst {
			next := first
			if j+1 < len(dst) {
				next = dst[j+1]
			}
			dst[j] += 0.25*next + 0.001*uniform(stream+10, uint64(i)*uint64(in.hidden)+uint64(j))
		}
	}
}

// uniform is value n of a stream in [-1, 1), by the SplitMix64 finalizer (Steele et al. 2014).
func uniform(stream, n uint64) float64 {
	z := stream*0xD1342543DE82EF95 + (n+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return float64((z^z>>31)>>40)/(1<<23) - 1
}
