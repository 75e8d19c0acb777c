"""`lep export gguf` read by gguf-py, and run by llama.cpp where there is one.

LLAMA_SERVER names llama.cpp's server (or it is in PATH); without it only the checks of the file are run.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import gguf
import numpy as np
import pytest
import torch
import transformers
from conftest import TEXTS
from safetensors.torch import load_file
from test_models import GEMMA3_ROPE, LLAMA3

SERVER = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")

SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512)
MODELS = {
    "llama": (transformers.LlamaConfig, dict(rope_parameters=LLAMA3, attention_bias=True)),
    "mistral": (transformers.MistralConfig, dict(sliding_window=None, tie_word_embeddings=True)),
    "qwen2": (transformers.Qwen2Config, dict(head_dim=16)),
    "qwen3": (transformers.Qwen3Config, {}),
    "gemma2": (transformers.Gemma2Config, dict(sliding_window=16, query_pre_attn_scalar=32, num_hidden_layers=4)),
    "gemma3": (transformers.Gemma3TextConfig, dict(sliding_window=16, query_pre_attn_scalar=32, num_hidden_layers=7,
                                                   rope_parameters=GEMMA3_ROPE | dict(sliding_attention=dict(rope_type="default", rope_theta=10000.0)))),
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory, demo):
    """A model folder with random weights and the tokenizer of the bundled base."""
    kind, extra = MODELS[request.param]
    tokenizer = demo.base
    vocab = json.loads((tokenizer / "tokenizer.json").read_text())
    size = len(vocab["model"]["vocab"]) + len(vocab["added_tokens"])
    bos = next(t["id"] for t in vocab["added_tokens"] if t["content"] == "<|begin_of_text|>")
    # Eight rows more than tokens: padding is part of the format.
    config = kind(**{**SIZES, **extra}, vocab_size=size + 8, bos_token_id=bos, eos_token_id=size - 1, pad_token_id=None)
    torch.manual_seed(3)
    m = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, p in m.named_parameters():
            p.copy_(torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.25))
            if name.endswith("norm.weight") and not request.param.startswith("gemma"):
                p += 1
    out = tmp_path_factory.mktemp(request.param)
    m.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, out)
    return out


def halves_to_pairs(w, head_dim):
    """transformers' rows of q and k in llama.cpp's order, as convert_hf_to_gguf.py reorders them."""
    return w.reshape(-1, 2, head_dim // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
def test_file(folder, lep, tmp_path, kind):
    out = tmp_path / "model.gguf"
    said = json.loads(lep("export", "gguf", "--model", folder, "--out", out, "--type", kind, "--json"))
    reader = gguf.GGUFReader(out)
    assert len(reader.tensors) == said["tensors"]
    arch = bytes(reader.fields["general.architecture"].parts[-1]).decode()
    weights = {k: v.numpy() for k, v in load_file(folder / "model.safetensors").items()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], 64)
    seen = set()
    got = {t.name: t for t in reader.tensors}
    for name, want in weights.items():
        base, suffix = name.rsplit(".", 1)
        at = names.get_name(base) + "." + suffix
        seen.add(at)
        if arch == "llama" and (".q_proj." in name or ".k_proj." in name):
            want = halves_to_pairs(want, SIZES["head_dim"])  # llama's and mistral's
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            want = want + np.float32(1)
        quant = gguf.GGMLQuantizationType[kind.upper()] if want.ndim > 1 else gguf.GGMLQuantizationType.F32
        assert got[at].tensor_type == quant, at
        expect = gguf.quants.quantize(want, quant)
        assert np.array_equal(got[at].data.view(np.uint8).ravel(), expect.view(np.uint8).ravel()), at
    assert set(got) - seen <= {"rope_freqs.weight"}


def test_fields(folder, lep, tmp_path):
    out = tmp_path / "model.gguf"
    lep("export", "gguf", "--model", folder, "--out", out)
    fields = gguf.GGUFReader(out).fields
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    config = json.loads((folder / "config.json").read_text())
    assert len(tokens.data) == len(types.data) == config["vocab_size"]
    text = [bytes(tokens.parts[i]).decode() for i in tokens.data]
    kind = [int(types.parts[i][0]) for i in types.data]
    assert len(set(text)) == len(text)
    assert text[-1] == f"[PAD{len(text) - 1}]" and kind[-1] == gguf.TokenType.UNUSED
    assert kind[text.index("<|im_end|>")] == gguf.TokenType.CONTROL
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True
    assert fields["tokenizer.ggml.eos_token_id"].contents() == text.index(json.loads((folder / "tokenizer_config.json").read_text())["eos_token"])


class Server:
    """llama.cpp's server on one model."""

    def __init__(self, model, log):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        args = [SERVER, "-m", model, "--host", "127.0.0.1", "--port", str(self.port), "-t", "2", "-c", "512", "-np", "1", "-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-warmup"]
        self.process = subprocess.Popen([str(a) for a in args], stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2)
                return self
            except OSError:
                assert self.process.poll() is None, "the server ended: see server.log"
                time.sleep(0.1)
        raise TimeoutError("the server does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def post(self, path, **body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=120))


@pytest.mark.skipif(not SERVER, reason="no llama.cpp: put llama-server in PATH, or name it in LLAMA_SERVER")
def test_llama_cpp(folder, lep, encode, tmp_path):
    """The same ids for texts, and the same probabilities of the next token, behind prompts longer than the windows too.

    llama.cpp multiplies in half precision on a CPU: it differs from float32 by up to 0.02 here, a wrong order of rows by more than 1.
    """
    out = tmp_path / "model.gguf"
    lep("export", "gguf", "--model", folder, "--out", out, "--type", "f32")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with open(tmp_path / "server.log", "w") as log, Server(out, log) as server:
        texts = [t for t in TEXTS if "\0" not in t and t]
        want = [x["ids"] for x in encode(folder, texts)]
        got = [server.post("/tokenize", content=t, add_special=False, parse_special=True)["tokens"] for t in texts]
        assert got == want
        ids = sum(want, [])
        compared = 0
        for n in (1, 7, 30, 60, 100):
            with torch.no_grad():
                logprobs = model(torch.tensor([ids[:n]])).logits[0, -1].log_softmax(-1)
            r = server.post("/completion", prompt=ids[:n], n_predict=1, n_probs=10, temperature=0, ignore_eos=True, cache_prompt=False)
            # The server leaves the probabilities out where the token is a part of a character.
            for t in (r.get("completion_probabilities") or [{"top_logprobs": []}])[0]["top_logprobs"]:
                compared += 1
                assert abs(t["logprob"] - logprobs[t["id"]]) < 0.06, (n, t, logprobs[t["id"]])
        assert compared >= 20
