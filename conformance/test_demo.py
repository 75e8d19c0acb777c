"""The demo's result folders, opened in transformers and recomputed with numpy."""

import json

import numpy as np
import pytest
import torch
from conftest import TEXTS
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

VOCABULARIES = ["bpe", "unigram", "extension", "optimization"]
METHODS = ["swap", "overlap", "conversion"]
MODULES = ["model.embed_tokens.weight", "lm_head.weight"]


def byte_alphabet():
    """GPT-2's letters for the 256 bytes."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {**{chr(b): b for b in own}, **{chr(256 + i): b for i, b in enumerate(rest)}}


CHAR_TO_BYTE = byte_alphabet()


def rows(folder, name):
    with safe_open(folder / "model.safetensors", "pt") as f:
        return f.get_tensor(name)


def specials(tokenizer):
    return {i for i, t in tokenizer.get_added_tokens_decoder().items()}


def piece_bytes(tokenizer, fallback=True):
    """id -> bytes of every piece that is text, and of the byte-fallback pieces if they are wanted."""
    model = json.loads(tokenizer.to_str())["model"]
    added = specials(tokenizer)
    out = {}
    for piece, i in tokenizer.get_vocab(with_added_tokens=False).items():
        if i in added or piece == model.get("unk_token") or model["type"] == "Unigram" and i == model["unk_id"]:
            continue
        if model["type"] == "Unigram":
            if len(piece) == 6 and piece.startswith("<0x"):
                if fallback:
                    out[i] = bytes([int(piece[3:5], 16)])
            else:
                out[i] = piece.replace("▁", " ").encode()
        else:
            out[i] = bytes(CHAR_TO_BYTE[c] for c in piece)
    return out


def subtokens(old, new):
    """new id -> old ids: the same bytes, else what the old merges make of the bytes; special tokens by name."""
    old_bytes, new_bytes = piece_bytes(old), piece_bytes(new)
    same = {b: i for i, b in sorted(old_bytes.items(), reverse=True)}
    letter = {b: c for c, b in CHAR_TO_BYTE.items()}
    out = {}
    for i, b in new_bytes.items():
        if b in same:
            out[i] = [same[b]]
        else:
            out[i] = [t.id for t in old.model.tokenize("".join(letter[x] for x in b))]
    for i, token in new.get_added_tokens_decoder().items():
        if old.token_to_id(token.content) is not None:
            out[i] = [old.token_to_id(token.content)]
    return out


def projection(method, source, target, lists, dim):
    if method == "swap":
        return np.eye(dim)
    if method == "overlap":
        ids = sorted({v[0] for v in lists.values() if len(v) == 1 and v[0] in lists["shared"]})
        s, g = source[ids], target[ids]
    else:
        keys = [k for k in lists if k != "shared"]
        s = np.stack([source[lists[k]].mean(0) for k in keys])
        g = np.stack([target[lists[k]].mean(0) for k in keys])
    return np.linalg.lstsq(s, g, rcond=None)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_rows_equal_numpy(demo, vocabulary, method):
    old = AutoTokenizer.from_pretrained(demo.base).backend_tokenizer
    new = AutoTokenizer.from_pretrained(demo.donor(vocabulary)).backend_tokenizer
    lists = subtokens(old, new)
    text_ids = list(piece_bytes(new))
    both = set(piece_bytes(new, fallback=False).values())  # a fallback piece is shared with its like only
    lists["shared"] = {i for i, b in piece_bytes(old).items() if b in both} | {v[0] for k, v in lists.items() if k in specials(new)}
    for module in MODULES:
        s, g, d = (rows(m, module).double().numpy() for m in (demo.base, demo.instruct, demo.donor(vocabulary)))
        want = d @ projection(method, s, g, lists, d.shape[1])
        got = rows(demo.result(vocabulary, method), module).double().numpy()
        w, o = want[text_ids], got[text_ids]
        # One rounding to bf16 is at most 2^-9 of a value; double for what lies on a tie.
        assert np.all(np.abs(w - o) <= np.abs(w) * 2**-8 + 1e-7), (module, np.abs(w - o).max())
        for row, token in new.get_added_tokens_decoder().items():
            if (own := old.token_to_id(token.content)) is not None:  # the target has no <unk> of a Unigram vocabulary
                assert np.array_equal(got[row], g[own]), token


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_logits_are_the_composition(demo, vocabulary):
    """The result is the instruct model with two matrices exchanged, and nothing else."""
    folder = demo.result(vocabulary)
    result = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    composed = AutoModelForCausalLM.from_pretrained(demo.instruct, dtype=torch.float32)
    composed.resize_token_embeddings(result.config.vocab_size)
    with torch.no_grad():
        composed.get_input_embeddings().weight.copy_(rows(folder, MODULES[0]).float())
        composed.get_output_embeddings().weight.copy_(rows(folder, MODULES[1]).float())
        ids = torch.tensor([AutoTokenizer.from_pretrained(folder).encode("Мама мыла раму. It was a dark night.")])
        assert torch.equal(result(ids).logits, composed(ids).logits)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_same_ids_in_transformers(demo, encode, vocabulary):
    folder = demo.result(vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, got in zip(TEXTS, encode(folder, TEXTS)):
        assert got["ids"] == tokenizer.encode(text, add_special_tokens=False), text


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_chat_stops_at_the_right_token(demo, vocabulary):
    folder = demo.result(vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.eos_token == "<|im_end|>"
    assert stop in np.atleast_1d(model.generation_config.eos_token_id) and stop in np.atleast_1d(model.config.eos_token_id)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the first word of the text?\n\nThe captain went below."}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True)
    length = prompt["input_ids"].shape[1] + 5

    def end_the_turn(ids, scores):  # a model so small may not end it by itself
        if ids.shape[1] >= length:
            scores = torch.full_like(scores, -torch.inf)
            scores[:, stop] = 0
        return scores

    out = model.generate(**prompt, max_new_tokens=200, do_sample=False, logits_processor=[end_the_turn])
    assert out.shape[1] <= length + 1, "generation went on behind the end of the turn"
    assert out[0, -1] == stop, tokenizer.decode(out[0])
