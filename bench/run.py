"""make bench: lep and its peers, in turn, in one run; prints ratios.

run.py [encode] [propagate] [vocab-train] [train] [train-head] [infer] [--data DIR] [--rounds N] [--threads N] [--quick] [--growth]. DIR holds the
reference tokenizers and the corpus (default ../shared beside the repository); the last three need neither. Peers are installed into out/bench-venv the first time. Each pair runs in turn, the best
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


def rates(*args):
    """The JSON object that a command prints last, with its processor seconds and peak memory (GB)."""
    p = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        raise RuntimeError(f"{args}: exit status {status}")
    return json.loads(out.splitlines()[-1]) | {"cpu": usage.ru_utime + usage.ru_stime, "gb": usage.ru_maxrss / 1e6}


def fastest(rounds, sides):
    """Runs the sides in turn; for each, the largest rates and the smallest use of processor and memory."""
    runs = {name: [] for name in sides}
    for _ in range(rounds):
        for name, args in sides.items():
            runs[name].append(rates(*args))
    return {name: {k: (min if k in ("cpu", "gb") else max)(r[k] for r in list_) for k in list_[0] if isinstance(list_[0][k], (int, float))}
            for name, list_ in runs.items()}


PEER = ROOT / "bench" / "peers_model.py"


def compare_training(a, what, shape):
    """Full and embeddings-only, float32 with what --blas auto finds and with the built-in kernels, and bf16 where there is one."""
    peer = [sys.executable, PEER, "--threads", a.threads, "train"]
    ours = [LEP, "bench", "train", "--json", "--threads", a.threads]
    args = [x for k, v in shape.items() for x in ("--" + k, v)]
    for name, flags in (("full", []), ("embeddings only", ["--embeddings-only"])):
        sides = {"PyTorch": [*peer, *args, *flags], "lep": [*ours, *args, *flags], "lep builtin": [*ours, *args, *flags, "--blas", "builtin"]}
        if "avx512_bf16" in cpu_flags():
            sides |= {"PyTorch bf16": [*peer, *args, *flags, "--bf16"], "lep bf16": [*ours, *args, *flags, "--precision", "bf16"]}
        got = fastest(a.rounds, sides)
        for side, r in got.items():
            t = got["PyTorch bf16" if "bf16" in side else "PyTorch"]
            print(f"{what} {name:15} {side:12} {r['tokens_per_second']:8.0f} tokens/s {r['cpu']:6.1f} CPU s {r['gb']:5.2f} GB   of the peer's: "
                  f"tokens/s {r['tokens_per_second'] / t['tokens_per_second']:.2f}, memory {r['gb'] / t['gb']:.2f}", flush=True)


def train(a, tmp):
    compare_training(a, "train", {"steps": 2 if a.quick else 6} | ({"batch": 2} if a.quick else {}))


def train_head(a, tmp):
    compare_training(a, "train-head", {"vocab": 131072, "hidden": 512, "layers": 2, "heads": 8, "ffn": 1376, "batch": 2, "steps": 2 if a.quick else 4})


def infer(a, tmp):
    """Generation, prompts and scoring with 125 million parameters in bfloat16, batch 1; beside llama.cpp where --llama-bench says where it is."""
    model = tmp / "model"
    rates(sys.executable, PEER, "make", model)
    new, rows = (32, 4) if a.quick else (128, 8)
    ours = [LEP, "bench", "infer", "--model", model, "--json", "--threads", a.threads, "--rounds", 2]
    short = [*ours, "--prompt", 32, "--new", new, "--rows", rows]
    transformers = [sys.executable, PEER, "--threads", a.threads, "infer", model, "--new", new, "--rows", rows]
    sides = {
        "transformers": transformers, "transformers float32": [*transformers, "--float32"],
        "lep": short, "lep builtin": [*short, "--blas", "builtin"], "lep int8": [*short, "--int8"],
        "prompt": [*ours, "--prompt", 512, "--new", 2, "--rows", 1],
        "prompt builtin": [*ours, "--prompt", 512, "--new", 2, "--rows", 1, "--blas", "builtin"],
    }
    pairs16 = []
    if "avx512_bf16" in cpu_flags():
        sides |= {"lep bf16": [*short, "--precision", "bf16"], "prompt bf16": [*ours, "--prompt", 512, "--new", 2, "--rows", 1, "--precision", "bf16"]}
        pairs16 = [("prefill_tokens_per_second", "prefill", "transformers", ["prompt bf16"]), ("score_tokens_per_second", "score", "transformers", ["lep bf16"])]
    got = fastest(a.rounds, sides)
    # Weights are bfloat16 everywhere; products of many rows are float32 in lep without --precision bf16, so the peer is transformers in float32 there.
    for key, what, peer, pairs in (
        ("generate_tokens_per_second", "generate", "transformers", ("lep", "lep builtin", "lep int8")),
        ("prefill_tokens_per_second", "prefill", "transformers float32", ("transformers", "prompt", "prompt builtin")),
        ("score_tokens_per_second", "score", "transformers float32", ("transformers", "lep", "lep builtin")),
        *pairs16,
    ):
        for side in (peer, *pairs):
            rate = got[side][key]
            print(f"{what:9} {side.replace('prompt', 'lep'):21} {rate:8.1f} tokens/s   of {peer} {rate / got[peer][key]:.2f}", flush=True)
    if a.llama_bench:
        llama_cpp(a, tmp, model, new)


def llama_cpp(a, tmp, model, new):
    """llama-bench on the same model; its tokenizer is Mistral's, of the same size, because the format wants one."""
    unpack(a.data / "reference" / "tokenizers" / "models" / "mistral-v0.1", model)
    file = tmp / "model.gguf"
    subprocess.run([LEP, "export", "gguf", "--model", model, "--out", file, "--type", "bf16"], check=True, stdout=subprocess.DEVNULL)
    rate = {"generate": 0.0, "prefill": 0.0, "lep generate": 0.0, "lep prefill": 0.0}
    for _ in range(a.rounds):
        out = subprocess.run([*str(a.llama_bench).split(), "-m", str(file), "-p", "512", "-n", str(new), "-t", str(a.threads), "-r", "2", "-o", "json"],
                             check=True, capture_output=True, encoding="utf-8").stdout
        for r in json.loads(out):
            key = "generate" if r["n_gen"] else "prefill"
            rate[key] = max(rate[key], *r["samples_ts"])
        o = rates(LEP, "bench", "infer", "--model", model, "--json", "--threads", a.threads, "--rounds", 2, "--prompt", 512, "--new", new, "--rows", 1)
        rate["lep prefill"] = max(rate["lep prefill"], o["prefill_tokens_per_second"])
        o = rates(LEP, "bench", "infer", "--model", model, "--json", "--threads", a.threads, "--rounds", 2, "--prompt", 1, "--new", new, "--rows", 1)
        rate["lep generate"] = max(rate["lep generate"], o["decode_tokens_per_second"])
    for what in ("generate", "prefill"):
        print(f"{what:9} llama.cpp {rate[what]:8.1f} tokens/s  lep {rate['lep ' + what]:8.1f}   of llama.cpp's {rate['lep ' + what] / rate[what]:.2f}", flush=True)


def cpu_flags():
    try:
        return pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def zstd_lines(path):
    import zstandard

    return io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), closefd=True), encoding="utf-8")


BENCHES = {"encode": encode, "propagate": propagate, "vocab-train": vocab_train, "train": train, "train-head": train_head, "infer": infer}

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("what", nargs="*", metavar="|".join(BENCHES))
p.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--threads", type=int, default=os.cpu_count(), help="of train, train-head and infer")
p.add_argument("--quick", action="store_true", help="one round, fewer steps and tokens")
p.add_argument("--llama-bench", help="command of llama.cpp's llama-bench: infer then also runs it")
p.add_argument("--growth", action="store_true", help="vocab-train: also 4, 16 and 64 times the corpus, a quarter and a sixteenth")
a = p.parse_args()
if unknown := set(a.what) - set(BENCHES):
    p.error(f"unknown: {unknown}")
if a.quick:
    a.rounds = 1
prepare()
print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
with tempfile.TemporaryDirectory() as tmp:
    for name in a.what or BENCHES:
        BENCHES[name](a, pathlib.Path(tmp))
