package checkpoint

import (
	"encoding/json"
	"fmt"

	"lep/internal/orderedjson"
)

// Dimensions are the sizes of a config.json that lep needs to know, 0 where the
// config is silent.
type Dimensions struct {
	VocabSize, HiddenSize, NumHiddenLayers int
}

// dimensionKeys lists the spellings of each size: Llama-like, GPT-2, others.
var dimensionKeys = map[string][]string{
	"vocab_size":        {"vocab_size"},
	"hidden_size":       {"hidden_size", "n_embd", "d_model", "dim"},
	"num_hidden_layers": {"num_hidden_layers", "n_layer", "num_layers", "n_layers"},
}

// ReadDimensions reads the sizes of a config.json, also where a multimodal model
// keeps those of its language model in text_config.
func ReadDimensions(config *orderedjson.Object) (d Dimensions, err error) {
	text, err := textConfig(config)
	if err != nil {
		return d, err
	}
	for key, into := range map[string]*int{"vocab_size": &d.VocabSize, "hidden_size": &d.HiddenSize, "num_hidden_layers": &d.NumHiddenLayers} {
		for _, o := range []*orderedjson.Object{text, config} {
			found, err := firstInt(o, dimensionKeys[key], into)
			if err != nil {
				return d, err
			}
			if found {
				break
			}
		}
		if *into < 0 {
			return d, fmt.Errorf("%s: %d, want a size", key, *into)
		}
	}
	return d, nil
}

func firstInt(o *orderedjson.Object, keys []string, into *int) (bool, error) {
	for _, k := range keys {
		if ok, err := o.Decode(k, into); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

const textConfigKey = "text_config"

// textConfig returns the part of a config that describes the language model: a
// copy of text_config where there is one, else config itself.
func textConfig(config *orderedjson.Object) (*orderedjson.Object, error) {
	if !isObject(config.Raw(textConfigKey)) {
		return config, nil
	}
	o, err := orderedjson.Parse(config.Raw(textConfigKey))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", textConfigKey, err)
	}
	return o, nil
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// TieWordEmbeddings returns the flag and whether the config sets it. A config
// that does not say so is tied for the model types that transformers ties by default.
func TieWordEmbeddings(config *orderedjson.Object) (tied, said bool, err error) {
	const key = "tie_word_embeddings"
	text, err := textConfig(config)
	if err != nil {
		return false, false, err
	}
	for _, o := range []*orderedjson.Object{config, text} {
		if said, err = o.Decode(key, &tied); said || err != nil {
			return tied, said, err
		}
	}
	return tiedByDefault[text.Text("model_type")] || tiedByDefault[config.Text("model_type")], false, nil
}

// SetTieWordEmbeddings sets the flag wherever the config has it, else at the top.
func SetTieWordEmbeddings(config *orderedjson.Object, tied bool) error {
	return setEverywhere(config, "tie_word_embeddings", tied)
}

// SetVocabSize sets vocab_size wherever the config has it, else at the top.
func SetVocabSize(config *orderedjson.Object, rows int) error {
	return setEverywhere(config, "vocab_size", rows)
}

// setEverywhere sets a key of the config and of its text_config, where present.
func setEverywhere(config *orderedjson.Object, key string, v any) error {
	text, err := textConfig(config)
	if err != nil {
		return err
	}
	nested := text != config && text.Has(key)
	if nested {
		if err := text.Set(key, v); err != nil {
			return err
		}
		if err := config.Set(textConfigKey, text); err != nil {
			return err
		}
	}
	if nested && !config.Has(key) {
		return nil
	}
	return config.Set(key, v)
}

// WriteBothSpellings gives a config.json both the old and the new name of what
// transformers 5 renamed, so that every reader finds one: torch_dtype and dtype,
// rope_theta with rope_scaling and rope_parameters. The spelling that is there
// decides; if both are, the new one does. Keys that neither spelling has stay away.
func WriteBothSpellings(config *orderedjson.Object) error {
	if isObject(config.Raw(textConfigKey)) {
		text, err := textConfig(config)
		if err != nil {
			return err
		}
		if err := WriteBothSpellings(text); err != nil {
			return fmt.Errorf("%s: %w", textConfigKey, err)
		}
		if err := config.Set(textConfigKey, text); err != nil {
			return err
		}
	}
	if err := bothDTypes(config); err != nil {
		return err
	}
	if isObject(config.Raw("rope_parameters")) {
		return oldRope(config)
	}
	return newRope(config)
}

// SetDType sets the weights' dtype, "bfloat16", under both names.
func SetDType(config *orderedjson.Object, torchName string) error {
	if err := config.Set("dtype", torchName); err != nil {
		return err
	}
	return config.Set("torch_dtype", torchName)
}

func bothDTypes(config *orderedjson.Object) error {
	raw := config.Raw("dtype")
	if raw == nil {
		raw = config.Raw("torch_dtype")
	}
	if raw == nil {
		return nil
	}
	if err := config.Set("dtype", raw); err != nil {
		return err
	}
	return config.Set("torch_dtype", raw)
}

// Names of the two kinds of attention that rope_parameters may be keyed by.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// oldRope writes rope_theta, rope_scaling and what else older configs kept
// outside it, from rope_parameters.
func oldRope(config *orderedjson.Object) error {
	p, err := orderedjson.Parse(config.Raw("rope_parameters"))
	if err != nil {
		return fmt.Errorf("rope_parameters: %w", err)
	}
	if isObject(p.Raw(fullAttention)) { // Gemma 3: one set for each kind of layer
		if isObject(p.Raw(slidingAttention)) {
			sliding, err := orderedjson.Parse(p.Raw(slidingAttention))
			if err != nil {
				return fmt.Errorf("rope_parameters: %s: %w", slidingAttention, err)
			}
			if theta := sliding.Raw("rope_theta"); theta != nil {
				if err := config.Set("rope_local_base_freq", theta); err != nil {
					return err
				}
			}
		}
		if p, err = orderedjson.Parse(p.Raw(fullAttention)); err != nil {
			return fmt.Errorf("rope_parameters: %s: %w", fullAttention, err)
		}
	}
	for _, key := range []string{"rope_theta", "partial_rotary_factor"} {
		if raw := p.Raw(key); raw != nil {
			if err := config.Set(key, raw); err != nil {
				return err
			}
			p.Delete(key)
		}
	}
	if kind := p.Text("rope_type"); kind == "default" || kind == "" {
		return config.Set("rope_scaling", json.RawMessage("null"))
	}
	return config.Set("rope_scaling", p)
}

// newRope writes rope_parameters from rope_theta and rope_scaling.
func newRope(config *orderedjson.Object) error {
	scaling := orderedjson.New()
	if isObject(config.Raw("rope_scaling")) {
		var err error
		if scaling, err = orderedjson.Parse(config.Raw("rope_scaling")); err != nil {
			return fmt.Errorf("rope_scaling: %w", err)
		}
	} else if config.Raw("rope_theta") == nil {
		return nil // a family without rotary positions
	}
	if !scaling.Has("rope_type") { // older still: {"type": "linear", "factor": 2.0}
		kind := scaling.Text("type")
		if kind == "" {
			kind = "default"
		}
		if err := scaling.Set("rope_type", kind); err != nil {
			return err
		}
	}
	for _, key := range []string{"rope_theta", "partial_rotary_factor"} {
		if raw := config.Raw(key); raw != nil && string(raw) != "null" {
			if err := scaling.Set(key, raw); err != nil {
				return err
			}
		}
	}
	local := config.Raw("rope_local_base_freq")
	if local == nil {
		return config.Set("rope_parameters", scaling)
	}
	sliding, nested := orderedjson.New(), orderedjson.New()
	if err := sliding.Set("rope_type", "default"); err != nil {
		return err
	}
	if err := sliding.Set("rope_theta", local); err != nil {
		return err
	}
	if err := nested.Set(fullAttention, scaling); err != nil {
		return err
	}
	if err := nested.Set(slidingAttention, sliding); err != nil {
		return err
	}
	return config.Set("rope_parameters", nested)
}
