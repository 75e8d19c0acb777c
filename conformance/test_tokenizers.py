"""lep's ids, decodings and written files against tokenizers, sentencepiece and tiktoken, on random texts."""

import gzip
import json
import os
import random
import shutil

import pytest
import sentencepiece
import tiktoken
from conftest import SHARED, TEXTS
from tiktoken.load import load_tiktoken_bpe
from tokenizers import Tokenizer

MODELS = SHARED / "reference" / "tokenizers" / "models"
if not MODELS.exists():
    if os.environ.get("CI") == "true":
        raise RuntimeError("reference data is absent (CI=true)")
    pytest.skip("reference data is absent: set LEP_SHARED to its folder", allow_module_level=True)

HF = sorted(p.parent.name for p in MODELS.glob("*/tokenizer.json*"))
SP = ["mistral-v0.1", "darulm-32000-bpe", "darulm-32000-unigram"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    """Reference tokenizers as users have them: without .gz."""
    root = tmp_path_factory.mktemp("tokenizers")

    def folder(name):
        out = root / name
        if not out.exists():
            out.mkdir()
            for p in (MODELS / name).iterdir():
                data = gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()
                (out / p.name.removesuffix(".gz")).write_bytes(data)
        return out

    return folder


def random_texts(seed, count=1500):
    """Prose cut anywhere and sewn together with blanks, digits, marks and rare characters."""
    rng = random.Random(seed)
    prose = [gzip.open(SHARED / "reference/tokenizers/train" / f"{l}_heldout.txt.gz", "rt", encoding="utf-8").read() for l in ("ru", "en")]
    rare = list(" \n\t\r  «»—…'’\"0123456789.,!?()[]{}<>_-=+/\\") + ["\u0301", "\u200d", "é", "ё", "中", "🇷🇺", "ﬁ", "²", "  ", "\r\n", "'S", "'ll"]
    texts = list(TEXTS)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 6)):
            if rng.random() < 0.6:
                t = rng.choice(prose)
                i = rng.randrange(len(t))
                parts.append(t[i : i + rng.randint(1, 60)])
            else:
                parts.append("".join(rng.choice(rare) for _ in range(rng.randint(1, 8))))
        texts.append("".join(parts))
    return texts


@pytest.mark.parametrize("name", HF)
def test_ids_of_hf(unpacked, encode, lep, name):
    file = unpacked(name) / "tokenizer.json"
    peer = Tokenizer.from_file(str(file))
    texts = random_texts(name)
    got = encode(file, texts)
    for text, g in zip(texts, got, strict=True):
        e = peer.encode(text, add_special_tokens=False)
        assert g["ids"] == e.ids, text
        assert [tuple(x) for x in g["offsets"]] == [tuple(x) for x in e.offsets], text
    lines = lep("vocab", "decode", "--tokenizer", file, "--json", lines=[{"ids": g["ids"]} for g in got]).splitlines()
    for g, line in zip(got, lines, strict=True):
        assert json.loads(line)["text"] == peer.decode(g["ids"], skip_special_tokens=False)


@pytest.mark.parametrize("name", SP)
def test_ids_of_sentencepiece(unpacked, encode, name):
    file = unpacked(name) / "tokenizer.model"
    peer = sentencepiece.SentencePieceProcessor(model_file=str(file))
    texts = random_texts(name)
    for text, g in zip(texts, encode(file, texts), strict=True):
        assert g["ids"] == peer.encode(text), text


def test_ids_of_tiktoken(unpacked, encode):
    file = unpacked("llama3") / "tokenizer.model"
    ranks = load_tiktoken_bpe(str(file))
    peer = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    texts = [t for t in random_texts("tiktoken") if "<|" not in t]
    for text, g in zip(texts, encode(file, texts), strict=True):
        assert g["ids"] == peer.encode_ordinary(text), text


@pytest.mark.parametrize("name", ["mistral-v0.1", "llama3", "qwen2-style", "tiny-sp-unigram-bf"])
def test_converted_folder_opens(unpacked, lep, encode, tmp_path, name):
    """What `vocab convert` writes is opened by the format's own library and encodes alike."""
    source = unpacked(name)
    out = tmp_path / "out"
    lep("vocab", "convert", "--tokenizer", source / "tokenizer.json", "--out", out)
    texts = random_texts(name, 300)
    want = Tokenizer.from_file(str(source / "tokenizer.json"))
    again = Tokenizer.from_file(str(out / "tokenizer.json"))
    for text in texts:
        assert again.encode(text, add_special_tokens=False).ids == want.encode(text, add_special_tokens=False).ids, text


@pytest.mark.parametrize("name", SP)
def test_model_file_is_rewritten(unpacked, lep, tmp_path, name):
    """A SentencePiece model that lep wrote gives the same ids in sentencepiece."""
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(unpacked(name) / "tokenizer.model", only)
    lep("vocab", "convert", "--tokenizer", only / "tokenizer.model", "--out", tmp_path / "out")
    a = sentencepiece.SentencePieceProcessor(model_file=str(only / "tokenizer.model"))
    b = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out" / "tokenizer.model"))
    for text in random_texts(name, 300):
        assert a.encode(text) == b.encode(text), text
