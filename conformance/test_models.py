"""The decoder against transformers on tiny random models: log-probabilities, greedy text, gradients.

Every architecture that lep runs is here with what sets it apart; the models are made here, so that nothing is downloaded.
"""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

COMMON = dict(vocab_size=96, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              head_dim=16, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
GEMMA3_ROPE = dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=100.0))

MODELS = {
    "llama": (transformers.LlamaConfig, dict(attention_bias=True, mlp_bias=True)),
    "llama3": (transformers.LlamaConfig, dict(rope_parameters=LLAMA3, tie_word_embeddings=True)),
    "mistral": (transformers.MistralConfig, dict(sliding_window=7)),
    "qwen2": (transformers.Qwen2Config, dict(use_sliding_window=True, sliding_window=7, max_window_layers=1)),
    "qwen3": (transformers.Qwen3Config, {}),
    "gemma2": (transformers.Gemma2Config, dict(sliding_window=7, query_pre_attn_scalar=24, attn_logit_softcapping=5.0, final_logit_softcapping=7.0)),
    "gemma3": (transformers.Gemma3TextConfig, dict(sliding_window=7, query_pre_attn_scalar=24, num_hidden_layers=7, rope_parameters=GEMMA3_ROPE)),
    "gemma3-softcap": (transformers.Gemma3TextConfig, dict(sliding_window=7, layer_types=["full_attention", "sliding_attention"] * 2,
                                                          num_hidden_layers=4, final_logit_softcapping=5.0)),
}
ROWS, LENGTH = 3, 40


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """A model with random weights, norms included, and its folder."""
    kind, extra = MODELS[request.param]
    config = kind(**{**COMMON, **extra}, attn_implementation="eager")
    torch.manual_seed(1)
    m = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, p in m.named_parameters():
            p.copy_(torch.randn_like(p) * (0.15 if p.dim() == 1 else 0.25))
            if p.dim() == 1 and name.endswith("norm.weight") and not request.param.startswith("gemma"):
                p += 1
    folder = tmp_path_factory.mktemp(request.param)
    m.save_pretrained(folder)
    return m, folder


def rows():
    g = torch.Generator().manual_seed(2)
    return torch.randint(3, COMMON["vocab_size"], (ROWS, LENGTH), generator=g)


def test_log_probabilities(model, lep):
    m, folder = model
    ids = rows()
    with torch.no_grad():
        logits = m(ids).logits.double()
    want = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none").sum(1)
    lines = [json.loads(x) for x in lep("score", "--model", folder, "--data", "-", "--json", lines=[{"ids": r.tolist()} for r in ids]).splitlines()]
    got = torch.tensor([x["nll"] for x in lines if not x.get("total")], dtype=torch.float64)
    assert torch.allclose(got, want, rtol=2e-6), (got, want)


def test_greedy(model, lep):
    m, folder = model
    prompts = [r[: 5 + 11 * i].tolist() for i, r in enumerate(rows())]
    want = []
    for p in prompts:
        out = m.generate(torch.tensor([p]), max_new_tokens=48, do_sample=False, eos_token_id=None, pad_token_id=0)
        want.append(out[0, len(p):].tolist())
    out = lep("generate", "--model", folder, "--json", "--greedy", "--ignore-eos", "--max-new-tokens", 48, "--data", "-", lines=[{"ids": p} for p in prompts])
    assert [json.loads(x)["ids"] for x in out.splitlines()] == want


def test_gradients(model, lep, tmp_path):
    """One step of plain gradient descent with rate 1 leaves the gradient as the difference of the weights."""
    m, folder = model
    ids = rows()
    m.zero_grad()
    m(ids, labels=ids).loss.backward()
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": r.tolist(), "labels": r.tolist()}) + "\n" for r in ids))
    lep("train", "--model", folder, "--data", data, "--out", tmp_path / "out", "--train", "all", "--optimizer", "sgd", "--momentum", 0,
        "--learning-rate", 1, "--lr-scheduler-type", "constant", "--warmup-ratio", 0, "--weight-decay", 0, "--max-grad-norm", 0, "--max-steps", 1,
        "--per-device-batch-size", ROWS, "--sequence-len", LENGTH, "--no-shuffle", "--no-pack", "--output-dtype", "F32")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    parameters = dict(m.named_parameters())
    assert set(before) == set(after)
    for name in before:
        want = parameters[name].grad
        got = before[name] - after[name]
        # The difference of two stored weights carries their rounding, about 1e-7 of a weight of size 1.
        assert torch.allclose(got, want, rtol=1e-3, atol=3e-7 + 1e-5 * want.abs().max().item()), (name, (got - want).abs().max(), want.abs().max())
