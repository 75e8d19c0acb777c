"""The job that lep wrote: what is trained, on what and how."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

VERSION = 1


class JobError(Exception):
    """Something that the user can mend; printed without a traceback."""


@dataclasses.dataclass(frozen=True)
class LowRank:
    """A term scale·B·A on one linear; A is (rank, in), B is (out, rank)."""

    module: str
    rank: int
    scale: float


@dataclasses.dataclass(frozen=True)
class Job:
    """job.json. Paths are absolute; rates and counts are those of lep's train options."""

    version: int
    driver_sha256: str
    run: pathlib.Path  # run folder: checkpoints, and the files save and stop
    work: pathlib.Path  # folder of this driver: events, results
    model: pathlib.Path
    tokens: pathlib.Path
    eval_tokens: pathlib.Path | None
    start: pathlib.Path | None  # first values of low-rank terms and continued modules
    schedule: pathlib.Path  # float64 by step: learning rate by its peak
    resume: pathlib.Path | None  # checkpoint
    state: dict[str, Any]  # where the run stands, as it goes into checkpoints
    recipe: str  # JSON that goes there too, as it is: lep compares it with its numbers' spelling
    trained: list[str]
    rows: list[tuple[int, int]]  # of the embeddings, [from, to); none: all
    lora: list[LowRank]
    per_device_batch_size: int  # rows of a pass, over all ranks
    gradient_accumulation_steps: int
    optimizer: str
    learning_rate: float
    embedding_lr: float  # 0: learning_rate
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    momentum: float
    max_grad_norm: float
    eval_steps: int
    early_stopping_patience: int
    load_best_model_at_end: bool
    logging_steps: int
    save_steps: int
    save_minutes: float
    save_total_limit: int
    epoch_steps: list[int]  # steps by whose end one more pass over the data has ended
    flops_per_token: float
    gradient_checkpointing: bool
    attention: str
    compile: bool
    precision: str  # float32 or bf16
    threads: int  # of a rank on the processor

    @property
    def rows_per_step(self) -> int:
        return self.per_device_batch_size * self.gradient_accumulation_steps


PATHS = {"run", "work", "model", "tokens", "eval_tokens", "start", "schedule", "resume"}


def parse(text: str) -> Job:
    """Reads job.json; a version, digest or key that differs from this driver's is an error."""
    raw = json.loads(text)
    fields = {f.name for f in dataclasses.fields(Job)}
    if raw.get("version") != VERSION or raw.get("driver_sha256") != digest():
        raise JobError(
            f"job.json is for driver {raw.get('driver_sha256', '?')[:12]} (version {raw.get('version')}), "
            f"this is {digest()[:12]} (version {VERSION}): every node must run the same lep"
        )
    if set(raw) != fields:
        raise JobError(f"job.json: keys {sorted(set(raw) ^ fields)} are unknown or missing")
    for key in PATHS:
        raw[key] = pathlib.Path(raw[key]) if raw[key] else None
    raw["lora"] = [LowRank(**term) for term in raw["lora"] or []]
    raw["rows"] = [(int(first), int(last)) for first, last in raw["rows"] or []]
    raw["trained"] = raw["trained"] or []
    raw["epoch_steps"] = raw["epoch_steps"] or []
    return Job(**raw)


def digest() -> str:
    """SHA-256 of this package's files: names and contents in the order of names."""
    h = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        h.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()
