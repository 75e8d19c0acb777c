"""Prints model/rope_golden_test.go: inverse frequencies as transformers computes them.

python rope.py > ../rope_golden_test.go      (transformers 5, torch)
"""
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

CASES = [
    ("linear", {"rope_type": "linear", "factor": 4.0}, 0),
    ("dynamic, short", {"rope_type": "dynamic", "factor": 2.0}, 100),
    ("dynamic, long", {"rope_type": "dynamic", "factor": 2.0}, 300),
    ("yarn", {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, 0),
    ("yarn, betas", {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False}, 0),
    ("yarn, attention factor", {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "attention_factor": 0.9}, 0),
    ("yarn, mscale", {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64, "mscale": 1.0, "mscale_all_dim": 0.7}, 0),
    ("llama3", {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, 0),
]


def go(v):
    if isinstance(v, bool):
        return str(v).lower()
    return '"%s"' % v if isinstance(v, str) else repr(v)


print("""package model

// Written by testdata/rope.py; values are those of transformers.
var ropeGoldens = []struct {
	name      string
	scaling   map[string]any
	seqLen    int
	inv       []float64
	attention float64
}{""")
for name, scaling, length in CASES:
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, head_dim=16, max_position_embeddings=128,
                         rope_parameters={"rope_theta": 10000.0, **scaling})
    inv, attention = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu", seq_len=length or None)
    print('\t{"%s", map[string]any{%s}, %d,\n\t\t[]float64{%s}, %r},' % (
        name, ", ".join('"%s": %s' % (k, go(v)) for k, v in scaling.items()), length,
        ", ".join("%.9g" % x for x in inv.tolist()), float(attention)))
print("}")
