"""The peers' side of the encoding benchmark: prints one JSON line with MB/s, best of --reps.

peers.py TOKENIZER CORPUS [--bytes N] [--reps N]: TOKENIZER is a tokenizer.json (Hugging Face tokenizers), a SentencePiece .model, or
with --tiktoken a rank file (Llama-3's pattern). One thread, whole documents, no special tokens.
"""

import argparse
import io
import json
import os
import time

import zstandard

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def read(path, limit):
    texts, size = [], 0
    with open(path, "rb") as f:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(f), encoding="utf-8"):
            texts.append(json.loads(line)["text"])
            size += len(texts[-1].encode())
            if size >= limit:
                break
    return texts, size


def encoder(path, use_tiktoken):
    if use_tiktoken:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(path)
        e = tiktoken.Encoding("ranks", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
        return "tiktoken", lambda texts: sum(len(e.encode_ordinary(t)) for t in texts)
    if path.endswith(".json"):
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        from tokenizers import Tokenizer

        t = Tokenizer.from_file(path)
        return "tokenizers", lambda texts: sum(len(e.ids) for e in t.encode_batch_fast(texts, add_special_tokens=False))
    import sentencepiece

    s = sentencepiece.SentencePieceProcessor(model_file=path)
    return "sentencepiece", lambda texts: sum(len(ids) for ids in s.encode(texts, num_threads=1))


p = argparse.ArgumentParser()
p.add_argument("tokenizer")
p.add_argument("corpus")
p.add_argument("--tiktoken", action="store_true")
p.add_argument("--bytes", type=float, default=8e6)
p.add_argument("--reps", type=int, default=3)
a = p.parse_args()
texts, size = read(a.corpus, a.bytes)
name, encode = encoder(a.tokenizer, a.tiktoken)
best, tokens = float("inf"), 0
for _ in range(a.reps):
    start = time.perf_counter()
    tokens = encode(texts)
    best = min(best, time.perf_counter() - start)
print(json.dumps({"peer": name, "mb_per_second": size / best / 1e6, "tokens": tokens}))
