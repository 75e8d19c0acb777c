package model

import "fmt"

// Parameter says of one tensor of a checkpoint its name, its shape (one or two
// dimensions) and which keys of config.json give that shape.
type Parameter struct {
	Name  string
	Shape []int
	Keys  string
}

// Elements returns the product of the shape.
func (p Parameter) Elements() int64 {
	n := int64(1)
	for _, d := range p.Shape {
		n *= int64(d)
	}
	return n
}

// The names of tensors outside the layers.
const (
	EmbedTokens = "model.embed_tokens.weight" // (V, D)
	LMHead      = "lm_head.weight"            // (V, D), absent when tied
	Norm        = "model.norm.weight"         // (D)
)

// Modules are the linears of a layer as PEFT's target_modules name them.
var Modules = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// linearIndex indexes Modules.
type linearIndex int

const (
	qProj linearIndex = iota
	kProj
	vProj
	oProj
	gateProj
	upProj
	downProj
	numLinears
)

// modulePath returns "model.layers.3.self_attn.q_proj".
func modulePath(layer int, i linearIndex) string {
	parent := "self_attn"
	if i >= gateProj {
		parent = "mlp"
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", layer, parent, Modules[i])
}

// linearShape returns the rows and columns of a linear and the config keys they come from.
func (c *Config) linearShape(i linearIndex) (rows, cols int, keys string) {
	switch i {
	case qProj:
		return c.NumAttentionHeads * c.HeadDim, c.HiddenSize, "num_attention_heads x head_dim, hidden_size"
	case kProj, vProj:
		return c.NumKeyValueHeads * c.HeadDim, c.HiddenSize, "num_key_value_heads x head_dim, hidden_size"
	case oProj:
		return c.HiddenSize, c.NumAttentionHeads * c.HeadDim, "hidden_size, num_attention_heads x head_dim"
	case downProj:
		return c.HiddenSize, c.IntermediateSize, "hidden_size, intermediate_size"
	}
	return c.IntermediateSize, c.HiddenSize, "intermediate_size, hidden_size"
}

func (c *Config) linearHasBias(i linearIndex) bool {
	switch {
	case i >= gateProj:
		return c.MLPBias
	case i != oProj && c.family.qkvBias:
		return true
	}
	return c.AttentionBias
}

// layerNorms lists the norms of a layer in the order in which they are applied. Gemma 2
// has four, and its post_attention_layernorm stands behind the attention, not before the MLP.
func (c *Config) layerNorms() []string {
	if c.family.gemma {
		return []string{"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"}
	}
	return []string{"input_layernorm", "post_attention_layernorm"}
}

// Parameters lists every tensor of the architecture with its shape, in the order of
// the forward pass; the head is absent when it is tied.
func (c *Config) Parameters() []Parameter {
	list := []Parameter{{EmbedTokens, []int{c.VocabSize, c.HiddenSize}, "vocab_size, hidden_size"}}
	for l := range c.NumHiddenLayers {
		for i := range numLinears {
			rows, cols, keys := c.linearShape(i)
			path := modulePath(l, i)
			list = append(list, Parameter{path + ".weight", []int{rows, cols}, keys})
			if c.linearHasBias(i) {
				list = append(list, Parameter{path + ".bias", []int{rows}, keys})
			}
		}
		if c.family.qkNorm {
			for _, n := range []string{"q_norm", "k_norm"} {
				list = append(list, Parameter{fmt.Sprintf("model.layers.%d.self_attn.%s.weight", l, n), []int{c.HeadDim}, "head_dim"})
			}
		}
		for _, n := range c.layerNorms() {
			list = append(list, Parameter{fmt.Sprintf("model.layers.%d.%s.weight", l, n), []int{c.HiddenSize}, "hidden_size"})
		}
	}
	list = append(list, Parameter{Norm, []int{c.HiddenSize}, "hidden_size"})
	if !c.TieWordEmbeddings {
		list = append(list, Parameter{LMHead, []int{c.VocabSize, c.HiddenSize}, "vocab_size, hidden_size"})
	}
	return list
}
