package checkpoint

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lep/tensor"
)

// embeddingNames are the names of the input and output matrices, (V, D) each, by
// family. The first input name that a model holds decides.
var embeddingNames = []struct{ embed, head string }{
	{"model.embed_tokens.weight", "lm_head.weight"},                                     // Llama, Mistral, Qwen, Gemma, Phi, …
	{"transformer.wte.weight", "lm_head.weight"},                                        // GPT-2, GPT-J, StarCoder
	{"wte.weight", "lm_head.weight"},                                                    // GPT-2 as OpenAI published it
	{"gpt_neox.embed_in.weight", "embed_out.weight"},                                    // Pythia, GPT-NeoX
	{"model.language_model.embed_tokens.weight", "lm_head.weight"},                      // Gemma 3, LLaVA as transformers 5 writes them
	{"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"},       // the same, older
	{"model.decoder.embed_tokens.weight", "lm_head.weight"},                             // OPT
	{"transformer.word_embeddings.weight", "lm_head.weight"},                            // Falcon, BLOOM
	{"word_embeddings.weight", "lm_head.weight"},                                        // BLOOM as published
	{"transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight"}, // ChatGLM
	{"model.tok_embeddings.weight", "output.weight"},                                    // InternLM2
	{"backbone.embeddings.weight", "lm_head.weight"},                                    // Mamba
}

// tiedByDefault lists the model types that transformers ties when config.json does
// not say tie_word_embeddings (checked against its config classes, 5.23). All
// others, Llama, Mistral, Qwen and Phi among them, are untied then.
var tiedByDefault = map[string]bool{
	"bloom": true, "cohere": true, "cohere2": true, "ernie4_5": true, "ernie4_5_moe": true, "falcon": true, "falcon_mamba": true,
	"gemma": true, "gemma2": true, "gemma3": true, "gemma3_text": true, "gemma3n": true, "gemma3n_text": true,
	"gemma4": true, "gemma4_text": true, "gpt2": true, "gpt_bigcode": true, "gpt_neo": true, "jetmoe": true,
	"lfm2": true, "lfm2_moe": true, "mamba": true, "minicpm3": true, "mpt": true, "openai-gpt": true, "opt": true,
	"recurrent_gemma": true, "smollm3": true, "starcoder2": true, "vaultgemma": true, "xglm": true, "zamba": true, "zamba2": true,
}

// Tied reports whether the model uses its input matrix as output matrix too. Where
// config.json says so the weights must agree: a tied model may repeat the matrix
// under the head's name but not hold another one there, an untied one must hold a
// head. Where it is silent the default of its model type holds, and weights that
// contradict the default win.
func (m *Model) Tied() (bool, error) {
	m.tiedOnce.Do(func() { m.tied, m.tiedErr = m.findTied() })
	return m.tied, m.tiedErr
}

func (m *Model) findTied() (bool, error) {
	tied, said, err := TieWordEmbeddings(m.config)
	if err != nil {
		return false, fmt.Errorf("%s: %s: %w", m.dir, ConfigFile, err)
	}
	embed, head, err := m.embeddingNames()
	if err != nil {
		return false, err
	}
	if !m.Has(head) {
		if !tied {
			return false, &TensorError{File: m.dir, Tensor: head, What: "is not there, but the model is not tied (" + ConfigFile + " tie_word_embeddings)",
				Advice: "set tie_word_embeddings to true if the model was trained so, or fetch the file that holds the head"}
		}
		return true, nil
	}
	if !tied {
		return false, nil
	}
	same, err := m.sameTensor(embed, head)
	if err != nil || same {
		return same, err
	}
	if said {
		return false, &TensorError{File: m.dir, Tensor: head, What: "differs from " + embed + ", but config.json says tie_word_embeddings true",
			Advice: "if the head was trained or merged apart, set tie_word_embeddings to false; else the head is a left-over: remove it"}
	}
	return false, nil
}

func (m *Model) sameTensor(a, b string) (bool, error) {
	va, err := m.Tensor(a)
	if err != nil {
		return false, err
	}
	vb, err := m.Tensor(b)
	if err != nil {
		return false, err
	}
	if va.DType != vb.DType || !slices.Equal(va.Shape, vb.Shape) {
		return false, nil
	}
	for at, block := range m.Blocks(va) {
		other := vb.Block(at, block.Rows())
		same := bytes.Equal(block.Data, other.Data)
		m.Release(other)
		if !same {
			return false, nil
		}
	}
	return true, nil
}

func (m *Model) embeddingNames() (embed, head string, err error) {
	for _, n := range embeddingNames {
		if m.Has(n.embed) {
			return n.embed, n.head, nil
		}
	}
	return "", "", &TensorError{File: m.dir, Tensor: embeddingNames[0].embed, What: "is not there, nor under the name of another family"}
}

// EmbedTokens returns the input embeddings, (rows, D); View.Name is the family's
// name for it.
func (m *Model) EmbedTokens() (tensor.View, error) {
	embed, _, err := m.embeddingNames()
	if err != nil {
		return tensor.View{}, err
	}
	return m.matrix(embed)
}

// LMHead returns the output embeddings, (rows, D): the head's own matrix, or the
// input embeddings (with their name) if the model is tied.
func (m *Model) LMHead() (tensor.View, error) {
	tied, err := m.Tied()
	if err != nil {
		return tensor.View{}, err
	}
	embed, head, err := m.embeddingNames()
	if err != nil {
		return tensor.View{}, err
	}
	if tied {
		return m.matrix(embed)
	}
	return m.matrix(head)
}

// HeadName returns the name that the family gives to the output matrix, whether
// or not the model holds one.
func (m *Model) HeadName() (string, error) {
	_, head, err := m.embeddingNames()
	return head, err
}

func (m *Model) matrix(name string) (tensor.View, error) {
	v, err := m.Tensor(name)
	if err != nil {
		return v, err
	}
	if len(v.Shape) != 2 || v.Rows() == 0 || v.Cols() == 0 || !v.DType.IsFloat() {
		return v, &TensorError{File: m.dir, Tensor: name, What: fmt.Sprintf("%s %v, want a matrix of F64, F32, F16 or BF16", v.DType, v.Shape)}
	}
	return v, nil
}

var layerName = regexp.MustCompile(`^(.*?)\.(?:layers|h|blocks)\.(\d+)\.(.*)$`)

// moduleOrder is the order of a decoder layer's parts in transformers' modules,
// which is the order in which it cuts a model into shards.
var moduleOrder = []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "self_attn.q_norm", "self_attn.k_norm",
	"self_attn", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "mlp", "input_layernorm", "post_attention_layernorm",
	"pre_feedforward_layernorm", "post_feedforward_layernorm"}

// ModuleOrder sorts tensor names as transformers writes Llama-like models: input
// embeddings, layers in their order, final norm, head. Names that are not of such
// a model keep their order behind the layers.
func ModuleOrder(names []string) []string {
	type key struct{ group, layer, part int }
	rank := make(map[string]key, len(names))
	for _, n := range names {
		k := key{group: 2}
		if m := layerName.FindStringSubmatch(n); m != nil {
			k.group = 1
			k.layer, _ = strconv.Atoi(m[2])
			k.part = slices.IndexFunc(moduleOrder, func(p string) bool { return strings.HasPrefix(m[3], p+".") })
			if k.part < 0 {
				k.part = len(moduleOrder)
			}
		}
		for _, e := range embeddingNames {
			switch n {
			case e.embed:
				k.group = 0
			case e.head:
				k.group = 3
			}
		}
		rank[n] = k
	}
	out := slices.Clone(names)
	slices.SortStableFunc(out, func(a, b string) int {
		x, y := rank[a], rank[b]
		return cmp.Or(cmp.Compare(x.group, y.group), cmp.Compare(x.layer, y.layer), cmp.Compare(x.part, y.part))
	})
	return out
}
