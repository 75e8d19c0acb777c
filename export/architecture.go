package export

import (
	"fmt"
	"strings"

	"lep/internal/hint"
	"lep/model"
)

// architecture is how llama.cpp runs a family.
type architecture struct {
	name    string // general.architecture
	norms   map[string]string
	permute bool    // q and k rows of a head lie in pairs (x0 y0 x1 y1 …), not in halves (x0 x1 … y0 y1 …)
	normAdd float32 // added to the weights of norms, which llama.cpp multiplies by as they are
	window  bool    // sliding windows are known
}

var (
	plainNorms = map[string]string{"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
	gemmaNorms = map[string]string{"input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
		"pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
		"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
)

// architectures lists the families by model_type.
var architectures = map[string]architecture{
	"llama":       {name: "llama", norms: plainNorms, permute: true},
	"mistral":     {name: "llama", norms: plainNorms, permute: true},
	"qwen2":       {name: "qwen2", norms: plainNorms},
	"qwen3":       {name: "qwen3", norms: plainNorms},
	"gemma2":      {name: "gemma2", norms: gemmaNorms, normAdd: 1, window: true},
	"gemma3_text": {name: "gemma3", norms: gemmaNorms, normAdd: 1, window: true},
}

func architectureOf(cfg *model.Config) (architecture, error) {
	a, ok := architectures[cfg.ModelType]
	if !ok {
		return a, fmt.Errorf("config.json: model_type %q has no GGUF architecture here", cfg.ModelType)
	}
	return a, a.checkAttention(cfg)
}

// checkAttention refuses what llama.cpp takes from the architecture and not from the file.
func (a architecture) checkAttention(cfg *model.Config) error {
	switch a.name {
	case "gemma2", "gemma3":
		// llama.cpp scales by the head's size, but in the largest model of each by hidden_size/heads.
		want := float64(cfg.HeadDim)
		if cfg.NumHiddenLayers == map[string]int{"gemma2": 46, "gemma3": 62}[a.name] {
			want = float64(cfg.HiddenSize) / float64(cfg.NumAttentionHeads)
		}
		if cfg.QueryPreAttnScalar != want {
			return fmt.Errorf("config.json: query_pre_attn_scalar is %g, llama.cpp takes %g for this architecture", cfg.QueryPreAttnScalar, want)
		}
		if !cfg.TieWordEmbeddings {
			return fmt.Errorf("config.json: tie_word_embeddings is false, but llama.cpp's %s has no head of its own", a.name)
		}
		if f := cfg.RopeLocalBaseFreq; a.name == "gemma3" && f != 10000 {
			return fmt.Errorf("config.json: rope_local_base_freq is %g, llama.cpp's gemma3 has 10000 built in", f)
		}
		return a.checkWindows(cfg)
	}
	if q := cfg.NumAttentionHeads * cfg.HeadDim; a.name == "qwen2" && q != cfg.HiddenSize {
		return fmt.Errorf("config.json: num_attention_heads x head_dim is %d, llama.cpp's qwen2 wants hidden_size %d", q, cfg.HiddenSize)
	}
	if a.name != "llama" && (cfg.MLPBias || cfg.AttentionBias) {
		return fmt.Errorf("config.json: attention_bias or mlp_bias, which llama.cpp's %s has not", a.name)
	}
	return nil
}

// checkWindows refuses other layers with a sliding window than the architecture's: every second of
// Gemma 2, five of six of Gemma 3.
func (a architecture) checkWindows(cfg *model.Config) error {
	period := map[string]int{"gemma2": 2, "gemma3": 6}[a.name]
	for l := range cfg.NumHiddenLayers {
		if slides := cfg.Window(l) > 0; slides != (l%period < period-1) {
			return hint.Errorf("llama.cpp cannot run this model", "config.json: layer %d has a sliding window: %v, llama.cpp's %s has one in all but every %dth layer",
				l, slides, a.name, period)
		}
	}
	return nil
}

// hyperparameters sets the sizes under the architecture's prefix.
func (e *exporter) hyperparameters() {
	c := e.cfg
	set := func(key string, value any) { e.set(e.arch.name+"."+key, value) }
	set("vocab_size", uint32(c.VocabSize))
	set("context_length", uint32(c.MaxPositionEmbeddings))
	set("embedding_length", uint32(c.HiddenSize))
	set("block_count", uint32(c.NumHiddenLayers))
	set("feed_forward_length", uint32(c.IntermediateSize))
	set("attention.head_count", uint32(c.NumAttentionHeads))
	set("attention.head_count_kv", uint32(c.NumKeyValueHeads))
	set("attention.key_length", uint32(c.HeadDim))
	set("attention.value_length", uint32(c.HeadDim))
	set("attention.layer_norm_rms_epsilon", float32(c.RMSNormEps))
	set("rope.dimension_count", uint32(c.HeadDim))
	set("rope.freq_base", float32(c.RopeTheta))
	e.ropeScaling(set)
	if c.AttnLogitSoftcapping > 0 {
		set("attn_logit_softcapping", float32(c.AttnLogitSoftcapping))
	}
	if c.FinalLogitSoftcapping > 0 {
		set("final_logit_softcapping", float32(c.FinalLogitSoftcapping))
	}
	e.slidingWindow(set)
}

func (e *exporter) slidingWindow(set func(string, any)) {
	width := 0
	for l := range e.cfg.NumHiddenLayers {
		width = max(width, e.cfg.Window(l))
	}
	switch {
	case width == 0:
	case e.arch.window:
		set("attention.sliding_window", uint32(width))
	case width < e.cfg.MaxPositionEmbeddings:
		e.notef("llama.cpp's %s has no sliding window: texts of more than %d tokens (sliding_window) are seen whole", e.arch.name, width)
	}
}

// ropeScaling sets the fields of scaled positions; llama3's is a tensor instead (rope_freqs).
func (e *exporter) ropeScaling(set func(string, any)) {
	r := e.cfg.RopeScaling
	switch kind := r.Kind(); kind {
	case "linear", "yarn":
		set("rope.scaling.type", kind)
		set("rope.scaling.factor", float32(r.Factor))
		if r.OriginalMaxPositions > 0 {
			set("rope.scaling.original_context_length", uint32(r.OriginalMaxPositions))
		}
		if kind == "yarn" {
			e.yarn(set)
		}
	case "dynamic":
		// Within max_position_embeddings, which is context_length, it changes nothing.
		e.notef("dynamic rope scaling stretches only texts beyond the context of %d tokens, which the export has not", e.cfg.MaxPositionEmbeddings)
	}
}

// yarn sets what differs from llama.cpp's own constants.
func (e *exporter) yarn(set func(string, any)) {
	r := e.cfg.RopeScaling
	for key, value := range map[string]float64{"yarn_beta_fast": r.BetaFast, "yarn_beta_slow": r.BetaSlow} {
		if value > 0 {
			set("rope.scaling."+key, float32(value))
		}
	}
	var odd []string
	if r.AttentionFactor != nil {
		odd = append(odd, "attention_factor")
	}
	if r.MScale != 0 || r.MScaleAllDim != 0 {
		odd = append(odd, "mscale")
	}
	if r.Truncate != nil && !*r.Truncate {
		odd = append(odd, "truncate")
	}
	if odd != nil {
		e.notef("rope_scaling: %s of yarn cannot be said in GGUF; llama.cpp computes with its defaults", strings.Join(odd, ", "))
	}
}
