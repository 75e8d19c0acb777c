"""lep train --backend torch, as real processes of torchrun on this machine's processor, held against lep's own engine."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

STEPS = 50
SETS = {
    "embeddings": ["--eval-steps", "20"],
    "all": ["--lr", "1e-4", "--embedding-lr", "5e-5", "--gradient-accumulation-steps", "2", "--batch-size", "2"],
    "lora": ["--lora-r", "4", "--modules-to-save", "lm_head"],
}
LOSS = 1e-3  # absolute, nats a token, over all steps; 1e-5 is usual
WEIGHTS = 2e-3  # of a matrix's Frobenius norm


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    words = "на набережной появилось новое лицо дама с собачкой the lake was calm and nobody spoke".split()
    lines = [" ".join(words[(i * i + j * (1 + i % 7)) % len(words)] for j in range(4 + i % 9)) for i in range(600)]
    (folder / "train.txt").write_text("\n".join(lines[:500]))
    (folder / "held-out.txt").write_text("\n".join(lines[500:]))
    return folder


@pytest.fixture(scope="module")
def command(demo, texts):
    """The command line of a training without --out and --backend."""

    def build(kind, *flags):
        data = ["--data", texts / "train.txt", "--eval-data", texts / "held-out.txt", "--max-eval-tokens", 500]
        fixed = ["--batch-size", 4, "--sequence-len", 32, "--lr", "1e-3", "--max-steps", STEPS, "--save-total-limit", 9]
        # Adam makes a whole step of a gradient that is nothing but rounding, unless epsilon is above it.
        fixed += ["--adam-epsilon", "1e-5"]
        model = demo.base
        return [str(x) for x in ["train", "--model", model, *data, *fixed, "--train", kind, *SETS[kind], *flags]]

    return build


def start(args, out):
    env = os.environ | {"LEP_PYTHON": sys.executable}
    return subprocess.Popen(
        [os.environ["LEP"], *args, "--out", str(out), "--threads", "1"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process, status=0):
    _, err = process.communicate(timeout=600)
    assert process.returncode == status, err
    return err


@pytest.fixture(scope="module")
def trained(command, texts):
    """Folder of a finished training by set and ranks, 0 for lep's own engine; each runs once."""

    def run(kind, ranks):
        out = texts / f"{kind}-{ranks}"
        if not (out / "lep.json").exists():
            backend = ["--backend", "torch", "--device", "cpu", "--nproc", ranks] if ranks else []
            finish(start(command(kind, *map(str, backend)), out))
        return out

    return run


def records(folder, event="step"):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {r["step"]: r for r in lines if r["event"] == event}


def weights(folder):
    (path,) = folder.glob("*.safetensors")
    return {name: t.float() for name, t in load_file(path).items()}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", SETS)
def test_same_as_native(trained, kind, ranks):
    want, got = trained(kind, 0), trained(kind, ranks)
    ours, theirs = records(want), records(got)
    assert list(ours) == list(theirs) == list(range(1, STEPS + 1))
    for step, record in ours.items():
        other = theirs[step]
        assert record.keys() - {"gflops"} == other.keys() - {"gflops"}
        assert abs(record["loss"] - other["loss"]) < LOSS, f"step {step}"
        assert record["lr"] == pytest.approx(other["lr"], rel=1e-12)
        assert record["tokens"] == other["tokens"]
    for step, record in records(want, "eval").items():
        assert abs(record["eval_bits_per_byte"] - records(got, "eval")[step]["eval_bits_per_byte"]) < LOSS
    a, b = weights(want), weights(got)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.linalg.norm(a[name] - b[name]) <= WEIGHTS * torch.linalg.norm(a[name]), name
    names = {p.name for p in want.iterdir()} - {"checkpoints"}
    assert names == {p.name for p in got.iterdir()} - {"checkpoints", "torch"}


def rank_process(out, rank):
    """Process id of a rank of the run in out."""
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().split(b"\0")
            env = (proc / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{out}/torch/job.json".encode() in words and f"RANK={rank}".encode() in env:
            return int(proc.name)
    raise AssertionError(f"no rank {rank} of {out}")


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.skipif(not pathlib.Path("/proc/self/environ").exists(), reason="finds ranks in /proc")
def test_killed_rank(trained, command, texts):
    """The other ranks end, the message says which rank and where its log is, and the run goes on as if nothing had been."""
    straight = trained("embeddings", 2)
    out = texts / "killed"
    args = command("embeddings", "--backend", "torch", "--device", "cpu", "--nproc", "2", "--save-steps", "10")
    process = start(args, out)
    wait_for(out / "checkpoints" / "step-000010", process)
    os.kill(rank_process(out, 1), signal.SIGKILL)
    err = finish(process, status=1)
    assert "rank 1 was ended by signal 9" in err
    log = err.split("its log: ")[1].split("\n")[0]
    assert pathlib.Path(log).name == "stderr.log" and pathlib.Path(log).exists()

    # A damaged row is found before it is trained on.
    shard = out / "torch" / "tokens" / "shard-00000.bin"
    good = shard.read_bytes()
    shard.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    err = finish(start(args, out), status=1)
    assert "shard-00000.bin: SHA-256 is" in err
    shard.write_bytes(good)

    finish(start(args, out))
    assert {s: r["loss"] for s, r in records(out).items()} == {s: r["loss"] for s, r in records(straight).items()}
    a, b = weights(straight), weights(out)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_interrupted(trained, command, texts):
    """SIGTERM writes a checkpoint behind the step; another number of ranks goes on from it."""
    out = texts / "interrupted"
    args = command("lora", "--backend", "torch", "--device", "cpu", "--save-steps", "5")
    process = start([*args, "--nproc", "2"], out)
    wait_for(out / "checkpoints" / "step-000005", process)
    process.send_signal(signal.SIGTERM)
    err = finish(process, status=130)
    assert "the same command goes on" in err
    assert not (out / "adapter_config.json").exists()
    finish(start([*args, "--nproc", "1"], out))
    (at,) = records(out, "resume")
    assert 5 <= at < STEPS
    want, got = records(trained("lora", 0)), records(out)
    assert max(abs(want[s]["loss"] - got[s]["loss"]) for s in want) < LOSS
