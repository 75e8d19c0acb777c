"""make bench: lep and its peers, in turn, in one run; prints ratios.

run.py [encode] [propagate] [vocab-train] [--data DIR] [--rounds N] [--growth]. DIR holds the reference tokenizers and the corpus (default ../shared beside
the repository). Peers are installed into out/bench-venv the first time. Each pair runs in turn, the best
of the rounds counts for either side: these figures are ratios, for machines that are never quiet.
"""

import argparse
import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
VENV = ROOT / "out" / "bench-venv"
LEP = ROOT / "out" / "lep"


def prepare():
    """Builds lep and runs this script again inside the peers' environment."""
    if pathlib.Path(sys.prefix) != VENV:
        if not (VENV / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
            subprocess.run([VENV / "bin/pip", "install", "-q", "-r", ROOT / "bench/requirements.txt"], check=True)
            (VENV / "ready").touch()
        os.execv(VENV / "bin/python", [str(VENV / "bin/python"), *sys.argv])
    env = dict(os.environ, CGO_ENABLED="0")
    subprocess.run(["go", "build", "-trimpath", "-o", LEP, "./cmd/lep"], cwd=ROOT, env=env, check=True)


def output(*args):
    """The JSON object that a command prints last."""
    out = subprocess.run([str(a) for a in args], check=True, capture_output=True, encoding="utf-8").stdout
    return json.loads(out.splitlines()[-1])


def measure(*args):
    """Wall seconds, processor seconds and peak memory (GB) of a whole process."""
    start = time.perf_counter()
    p = subprocess.Popen([str(a) for a in args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    err = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        raise RuntimeError(f"{args}: {err.decode()[-2000:]}")
    return {"wall": time.perf_counter() - start, "cpu": usage.ru_utime + usage.ru_stime, "gb": usage.ru_maxrss / 1e6}


def best(rounds, *sides):
    """Runs the sides in turn; for each, the smallest value of every figure."""
    runs = [[side() for side in sides] for _ in range(rounds)]
    return [{k: min(r[i][k] for r in runs) for k in runs[0][i]} for i in range(len(sides))]


def unpack(folder, out):
    out.mkdir(parents=True, exist_ok=True)
    for f in folder.iterdir():
        (out / f.name.removesuffix(".gz")).write_bytes(gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes())
    return out


def encode(a, tmp):
    models = a.data / "reference" / "tokenizers" / "models"
    llama, mistral = (unpack(models / m, tmp / m) for m in ("llama3", "mistral-v0.1"))
    sides = [
        ("Llama-3", llama / "tokenizer.json", "tokenizers", []),
        ("Llama-3", llama / "tokenizer.model", "tiktoken", ["--tiktoken"]),
        ("Mistral", mistral / "tokenizer.json", "tokenizers", []),
        ("Mistral", mistral / "tokenizer.model", "sentencepiece", []),
    ]
    for lang in ("ru", "en"):
        corpus = a.data / "corpus" / f"{lang}.train.jsonl.zst"
        for model, file, peer, flags in sides:
            theirs, ours = 0, 0
            for _ in range(a.rounds):
                t = output(sys.executable, ROOT / "bench/peers.py", file, corpus, *flags)
                o = output(LEP, "bench", "encode", "--tokenizer", file, "--data", corpus, "--threads", 1, "--json")
                assert t["tokens"] == o["tokens"], (file, t, o)
                theirs, ours = max(theirs, t["mb_per_second"]), max(ours, o["mb_per_second"])
            print(f"encode {lang} {model:8} lep {ours:6.1f} MB/s  {peer:13} {theirs:6.1f} MB/s  ratio {ours / theirs:5.1f}", flush=True)


def propagate(a, tmp):
    old = unpack(a.data / "reference" / "tokenizers" / "models" / "llama3", tmp / "llama3")
    add = unpack(a.data / "reference" / "tokenizers" / "models" / "darulm-32000-bpe", tmp / "darulm")
    new = tmp / "extended"
    subprocess.run([LEP, "vocab", "extend", "--base", old, "--add", add, "--out", new, "--compat", "reference"], check=True)
    for hidden, tied in ((1024, False), (2048, True)):
        triple = tmp / f"triple-{hidden}"
        subprocess.run([LEP, "bench", "inputs", "--old-tokenizer", old, "--new-tokenizer", new, "--hidden", str(hidden),
                        "--out", triple, *(["--tied"] if tied else [])], check=True)
        names = [triple / m for m in ("source", "target", "donor")]
        out = tmp / "result"

        def ours():
            return measure(LEP, "propagate", "--source", names[0], "--target", names[1], "--donor", names[2], "--out", out,
                           "--threads", 2, "--check", "fast", "--force")

        def theirs():
            return measure(VENV / "bin/mergekit-tokensurgeon", names[1], names[2], tmp / "surgeon", "-a", "subword", "--quiet")

        o, t = best(a.rounds, ours, theirs)
        shape = f"hidden {hidden} {'tied' if tied else 'untied'}"
        for name, s in (("lep propagate", o), ("tokensurgeon subword", t)):
            print(f"propagate {shape:19} {name:21} {s['cpu']:6.1f} CPU s  {s['wall']:6.1f} s  {s['gb']:5.2f} GB")
        print(f"propagate {shape:19} lep / subword: CPU {o['cpu'] / t['cpu']:.2f}, wall {o['wall'] / t['wall']:.2f}, memory {o['gb'] / t['gb']:.2f}", flush=True)


def vocab_train(a, tmp):
    """Tokenizer training, 32,000 tokens of ru.train: whole processes, from the text file to the result."""
    text = tmp / "ru.txt"
    with zstd_lines(a.data / "corpus" / "ru.train.jsonl.zst") as lines, open(text, "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.loads(line)["text"] + "\n")
    threads = os.cpu_count()

    def ours(algorithm, *corpus):
        files = [x for c in corpus for x in ("--corpus", c)]
        return measure(LEP, "vocab", "train", "--algorithm", algorithm, "--size", 32000, *files, "--out", tmp / "vocab", "--force", "--threads", threads)

    for algorithm, peer in (("bpe", "tokenizers"), ("unigram", "sentencepiece")):
        o, t = best(a.rounds, lambda: ours(algorithm, text), lambda: measure(sys.executable, ROOT / "bench/peers_train.py", algorithm, text, 32000, threads))
        for name, s in (("lep", o), (peer, t)):
            print(f"vocab-train {algorithm:7} {name:13} {s['cpu']:6.1f} CPU s  {s['wall']:6.1f} s  {s['gb']:5.2f} GB")
        print(f"vocab-train {algorithm:7} {peer} / lep: CPU {t['cpu'] / o['cpu']:.1f}, wall {t['wall'] / o['wall']:.1f}, memory {t['gb'] / o['gb']:.1f}", flush=True)
        if a.growth:
            for n in (1, 4, 16, 64):
                s = ours(algorithm, *[text] * n)
                print(f"vocab-train {algorithm:7} {n:2}x the corpus {s['cpu']:6.1f} CPU s  {s['wall']:6.1f} s  {s['gb']:5.2f} GB", flush=True)
            for part in (16, 4):
                some = tmp / "part.txt"
                some.write_bytes(text.read_bytes()[: text.stat().st_size // part].rsplit(b"\n", 1)[0] + b"\n")
                s = ours(algorithm, some)
                print(f"vocab-train {algorithm:7} 1/{part} of the corpus {s['cpu']:6.1f} CPU s  {s['wall']:6.1f} s  {s['gb']:5.2f} GB", flush=True)


def zstd_lines(path):
    import zstandard

    return io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), closefd=True), encoding="utf-8")


BENCHES = {"encode": encode, "propagate": propagate, "vocab-train": vocab_train}

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("what", nargs="*", metavar="|".join(BENCHES))
p.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--growth", action="store_true", help="vocab-train: also 4, 16 and 64 times the corpus, a quarter and a sixteenth")
a = p.parse_args()
if unknown := set(a.what) - set(BENCHES):
    p.error(f"unknown: {unknown}")
prepare()
print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
with tempfile.TemporaryDirectory() as tmp:
    for name in a.what or BENCHES:
        BENCHES[name](a, pathlib.Path(tmp))
