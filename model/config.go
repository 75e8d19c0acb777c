package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lep/internal/hint"
)

// Config is what config.json says of a decoder, under Hugging Face's names. Fields
// that a file leaves out have the defaults of the file's architecture.
type Config struct {
	ModelType             string       `json:"model_type"`
	Architectures         []string     `json:"architectures"`
	VocabSize             int          `json:"vocab_size"`          // V
	HiddenSize            int          `json:"hidden_size"`         // D
	IntermediateSize      int          `json:"intermediate_size"`   // F
	NumHiddenLayers       int          `json:"num_hidden_layers"`   // L
	NumAttentionHeads     int          `json:"num_attention_heads"` // H
	NumKeyValueHeads      int          `json:"num_key_value_heads"` // K, divides H
	HeadDim               int          `json:"head_dim"`            // Hd, even; not always D/H
	MaxPositionEmbeddings int          `json:"max_position_embeddings"`
	RMSNormEps            float64      `json:"rms_norm_eps"`
	HiddenAct             string       `json:"hidden_act"`
	HiddenActivation      string       `json:"hidden_activation"` // Gemma's name for it
	RopeTheta             float64      `json:"rope_theta"`
	RopeLocalBaseFreq     float64      `json:"rope_local_base_freq"` // Gemma 3: rope_theta of layers with a window
	RopeScaling           *RopeScaling `json:"rope_scaling"`         // older files; nil = default
	RopeParameters        *RopeScaling `json:"rope_parameters"`      // newer files; wins
	RopeLocal             *RopeScaling `json:"-"`                    // Gemma 3: that of layers with a window
	PartialRotaryFactor   float64      `json:"partial_rotary_factor"`
	TieWordEmbeddings     bool         `json:"tie_word_embeddings"`
	AttentionBias         bool         `json:"attention_bias"` // bias on q, k, v and o
	MLPBias               bool         `json:"mlp_bias"`
	SlidingWindow         *int         `json:"sliding_window"` // tokens, itself included; null = none
	UseSlidingWindow      bool         `json:"use_sliding_window"`
	MaxWindowLayers       int          `json:"max_window_layers"`
	LayerTypes            []string     `json:"layer_types"`
	SlidingWindowPattern  int          `json:"sliding_window_pattern"` // Gemma 3: one layer in so many sees all
	Bidirectional         bool         `json:"use_bidirectional_attention"`
	QueryPreAttnScalar    float64      `json:"query_pre_attn_scalar"`   // Gemma: scores / sqrt of this
	AttnLogitSoftcapping  float64      `json:"attn_logit_softcapping"`  // Gemma 2; 0 = none
	FinalLogitSoftcapping float64      `json:"final_logit_softcapping"` // Gemma 2; 0 = none
	BOSTokenID            TokenIDs     `json:"bos_token_id"`
	EOSTokenID            TokenIDs     `json:"eos_token_id"`
	PadTokenID            TokenIDs     `json:"pad_token_id"`

	family family
}

// TokenIDs reads a field that is null, one id or a list of ids.
type TokenIDs []int32

// UnmarshalJSON reads null, a number or a list.
func (t *TokenIDs) UnmarshalJSON(data []byte) error {
	*t = nil
	switch data[0] {
	case 'n':
		return nil
	case '[':
		return json.Unmarshal(data, (*[]int32)(t))
	}
	var id int32
	if err := json.Unmarshal(data, &id); err != nil {
		return err
	}
	*t = TokenIDs{id}
	return nil
}

// family is what tells one architecture from another where config.json is silent.
type family struct {
	qkvBias  bool // bias on q, k and v although no key says so
	qkNorm   bool // RMS norm of q and k per head before RoPE
	gemma    bool // (1+w) norms, four norms a layer, embeddings times sqrt(D)
	biasKeys bool // attention_bias and mlp_bias are read
	window   windowRule
	defaults func() Config
}

type windowRule uint8

const (
	windowNever   windowRule = iota // sliding_window means nothing
	windowAll                       // every layer slides
	windowFlag                      // use_sliding_window, from max_window_layers on
	windowEven                      // layers 0, 2, 4 … slide
	windowPattern                   // all but every sliding_window_pattern-th slide
)

func ptr[T any](v T) *T { return &v }

// families lists every architecture, by model_type. To add one, add an entry and, if
// it has a part the others lack, that part in layer.go.
var families = map[string]family{
	"llama": {biasKeys: true, defaults: func() Config { return Config{RMSNormEps: 1e-6, RopeTheta: 10000, MaxPositionEmbeddings: 2048} }},
	"mistral": {window: windowAll, defaults: func() Config {
		return Config{RMSNormEps: 1e-6, RopeTheta: 10000,
			MaxPositionEmbeddings: 131072, NumKeyValueHeads: 8, SlidingWindow: ptr(4096)}
	}},
	"qwen2": {qkvBias: true, window: windowFlag, defaults: func() Config {
		return Config{RMSNormEps: 1e-6, RopeTheta: 10000,
			MaxPositionEmbeddings: 32768, NumKeyValueHeads: 32, SlidingWindow: ptr(4096), MaxWindowLayers: 28}
	}},
	"qwen3": {qkNorm: true, biasKeys: true, window: windowFlag, defaults: func() Config {
		return Config{RMSNormEps: 1e-6, RopeTheta: 10000,
			MaxPositionEmbeddings: 32768, NumKeyValueHeads: 32, HeadDim: 128, SlidingWindow: ptr(4096), MaxWindowLayers: 28}
	}},
	"gemma2": {gemma: true, biasKeys: true, window: windowEven, defaults: func() Config {
		return Config{RMSNormEps: 1e-6, RopeTheta: 10000,
			MaxPositionEmbeddings: 8192, NumKeyValueHeads: 4, HeadDim: 256, SlidingWindow: ptr(4096), TieWordEmbeddings: true,
			HiddenActivation: "gelu_pytorch_tanh", QueryPreAttnScalar: 256, AttnLogitSoftcapping: 50, FinalLogitSoftcapping: 30}
	}},
	"gemma3_text": {gemma: true, qkNorm: true, biasKeys: true, window: windowPattern, defaults: func() Config {
		return Config{VocabSize: 262208, HiddenSize: 2304, IntermediateSize: 9216, NumHiddenLayers: 26, NumAttentionHeads: 8, NumKeyValueHeads: 4,
			HeadDim: 256, RMSNormEps: 1e-6, RopeTheta: 1e6, RopeLocalBaseFreq: 10000, MaxPositionEmbeddings: 131072, SlidingWindow: ptr(4096),
			SlidingWindowPattern: 6, TieWordEmbeddings: true, HiddenActivation: "gelu_pytorch_tanh", QueryPreAttnScalar: 256}
	}},
}

// Architectures lists the values of model_type that this package runs.
func Architectures() []string {
	var names []string
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseConfig reads config.json in the layout of transformers 5 (rope_parameters,
// dtype) or of earlier versions (rope_theta, rope_scaling, torch_dtype) and checks it.
// Errors begin with "config.json:" and name the key, what it holds and what it may hold.
func ParseConfig(data []byte) (*Config, error) {
	var head struct {
		ModelType     string   `json:"model_type"`
		Architectures []string `json:"architectures"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	known := "known: " + strings.Join(Architectures(), ", ")
	f, ok := families[head.ModelType]
	if !ok {
		return nil, hint.Errorf(known, "config.json: model_type %q (architectures %q) is not one that the native engine runs (%s)",
			head.ModelType, head.Architectures, known)
	}
	c := f.defaults()
	c.HiddenAct, c.PartialRotaryFactor = "silu", 1
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	c.family = f
	c.fill()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return &c, nil
}

// fill derives what the file left out.
func (c *Config) fill() {
	if c.NumKeyValueHeads == 0 {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	if c.HeadDim == 0 && c.NumAttentionHeads > 0 {
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if c.HiddenActivation != "" {
		c.HiddenAct = c.HiddenActivation
	}
	if !c.family.biasKeys {
		c.AttentionBias, c.MLPBias = false, false
	}
	if r := c.RopeParameters; r != nil && (r.Full != nil || r.Sliding != nil) { // Gemma 3: one for each kind of layer
		if r.Sliding != nil && r.Sliding.RopeTheta != 0 {
			c.RopeLocalBaseFreq = r.Sliding.RopeTheta
		}
		c.RopeLocal, c.RopeParameters = r.Sliding, r.Full
	}
	if r := c.RopeParameters; r != nil {
		c.RopeScaling = r
		if r.RopeTheta != 0 {
			c.RopeTheta = r.RopeTheta
		}
		if r.PartialRotaryFactor != 0 {
			c.PartialRotaryFactor = r.PartialRotaryFactor
		}
	}
	if c.QueryPreAttnScalar == 0 {
		c.QueryPreAttnScalar = float64(c.HeadDim)
	}
}

// The largest dimension and product of dimensions that a file may ask for; far beyond
// any published model, and small enough that no product of three overflows an int.
const (
	maxDimension = 1 << 20
	maxVocab     = 1 << 24
)

// Validate reports the first key whose value no model of this package can have.
func (c *Config) Validate() error {
	for _, d := range []struct {
		key      string
		got, max int
	}{
		{"vocab_size", c.VocabSize, maxVocab}, {"hidden_size", c.HiddenSize, maxDimension},
		{"intermediate_size", c.IntermediateSize, maxDimension}, {"num_hidden_layers", c.NumHiddenLayers, 4096},
		{"num_attention_heads", c.NumAttentionHeads, 4096}, {"num_key_value_heads", c.NumKeyValueHeads, 4096},
		{"head_dim", c.HeadDim, 4096}, {"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 27},
	} {
		if d.got < 1 || d.got > d.max {
			return fmt.Errorf("%s is %d, want 1 to %d", d.key, d.got, d.max)
		}
	}
	if c.NumAttentionHeads%c.NumKeyValueHeads != 0 {
		return fmt.Errorf("num_key_value_heads is %d, want a divisor of num_attention_heads %d", c.NumKeyValueHeads, c.NumAttentionHeads)
	}
	if c.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim is %d, want an even number (RoPE turns pairs)", c.HeadDim)
	}
	if !(c.RMSNormEps > 0 && c.RMSNormEps < 1) {
		return fmt.Errorf("rms_norm_eps is %g, want a number between 0 and 1", c.RMSNormEps)
	}
	if !(c.QueryPreAttnScalar > 0) || c.AttnLogitSoftcapping < 0 || c.FinalLogitSoftcapping < 0 {
		return fmt.Errorf("query_pre_attn_scalar is %g, attn_logit_softcapping %g, final_logit_softcapping %g, want none negative",
			c.QueryPreAttnScalar, c.AttnLogitSoftcapping, c.FinalLogitSoftcapping)
	}
	if c.PartialRotaryFactor != 1 {
		return fmt.Errorf("partial_rotary_factor is %g, want 1 (the native engine turns whole heads)", c.PartialRotaryFactor)
	}
	if _, err := parseActivation(c.HiddenAct); err != nil {
		return err
	}
	if c.Bidirectional {
		return errors.New("use_bidirectional_attention is true, want false (the native engine sees only backwards)")
	}
	if c.SlidingWindow != nil && *c.SlidingWindow < 1 {
		return fmt.Errorf("sliding_window is %d, want null or at least 1", *c.SlidingWindow)
	}
	if c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers {
		return fmt.Errorf("layer_types has %d entries, want %d (num_hidden_layers)", len(c.LayerTypes), c.NumHiddenLayers)
	}
	for i, t := range c.LayerTypes {
		switch {
		case t != "full_attention" && t != "sliding_attention":
			return fmt.Errorf("layer_types[%d] is %q, want full_attention or sliding_attention", i, t)
		case t == "sliding_attention" && c.SlidingWindow == nil:
			return fmt.Errorf("layer_types[%d] is %q, but sliding_window is null", i, t)
		}
	}
	if _, err := c.localFrequencies(); err != nil {
		return err
	}
	_, _, err := c.inverseFrequencies(0)
	return err
}

// Window returns how many tokens a query of a layer sees, itself included, 0 for all.
func (c *Config) Window(layer int) int {
	if c.SlidingWindow == nil {
		return 0
	}
	slides := false
	switch {
	case c.LayerTypes != nil:
		slides = c.LayerTypes[layer] == "sliding_attention"
	case c.family.window == windowAll:
		slides = true
	case c.family.window == windowFlag:
		slides = c.UseSlidingWindow && layer >= c.MaxWindowLayers
	case c.family.window == windowEven:
		slides = layer%2 == 0
	case c.family.window == windowPattern && c.SlidingWindowPattern > 0:
		slides = (layer+1)%c.SlidingWindowPattern != 0
	}
	if !slides {
		return 0
	}
	return *c.SlidingWindow
}

// NumParameters counts the elements of all parameters; a tied head counts once.
func (c *Config) NumParameters() int64 {
	var n int64
	for _, p := range c.Parameters() {
		n += p.Elements()
	}
	return n
}
