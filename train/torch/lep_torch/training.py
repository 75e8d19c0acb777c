"""The loop over steps; lep's own engine has the same (package train, loop.go)."""

from __future__ import annotations

import datetime
import json
import math
import os
import pathlib
import signal
import time
from typing import Any

import torch
import torch.distributed as dist

from . import checkpoint
from .job import Job, JobError, parse
from .network import build, sync_gradients
from .optimizer import Optimizer
from .rows import Rows, Shards

EARLY, STOP, INTERRUPTED = "early stopping", "stop file", "interrupted"
LESS_STEEP = "a lower learning_rate or more warm-up keeps most trainings from this"
DEFER_BYTES = 8 << 30  # gradients of this size are added up over passes whole, larger ones in shards
RETRY_SECONDS = 60.0  # until a checkpoint that could not be written is tried again


class Training:
    """A training in progress. Every rank runs it; only rank 0 writes events and manifests."""

    def __init__(self, job: Job, device: torch.device):
        self.job, self.device = job, device
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.data = Shards(job.tokens)
        self.held_out = Shards(job.eval_tokens) if job.eval_tokens else None
        for shards in filter(None, (self.data, self.held_out)):
            shards.verify(self.rank, self.world)
        self.network = build(job, device)
        self.optimizer = Optimizer(self.network.trained(), job)
        self.defer = 4 * sum(p.numel() for p in self.optimizer.params.values()) <= DEFER_BYTES
        self.state: dict[str, Any] = dict(job.state)
        self.resumed: int = self.state["step"]
        if job.resume:
            checkpoint.load(job.resume, self.optimizer.state(self.resumed))
        self.before: float = self.state["seconds"]
        self.parent = os.getppid()
        self.interrupted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._interrupt)
        self.events = (job.work / "events.jsonl").open("a") if self.rank == 0 else None
        self.started = self.last_save = self.since = time.monotonic()
        self.save_again = math.inf
        self.interval = torch.zeros(3, dtype=torch.float64)  # loss times scored, scored, tokens
        self.loss = 0.0  # of the last step

    def _interrupt(self, *_: object) -> None:
        self.interrupted = True

    # ---- events ----

    def emit(self, event: str, **values: Any) -> None:
        """Tells lep, which writes metrics.jsonl and shows how it goes."""
        if self.events is None:
            return
        step = self.state["step"]
        record = {"event": event, "step": step, "epoch": self.epoch(), "tokens": self.state["tokens"], **values}
        self.events.write(json.dumps(record) + "\n")
        self.events.flush()

    def epoch(self) -> float:
        if self.state["rows_per_epoch"]:
            return float(self.state["step"] * self.job.rows_per_step / self.state["rows_per_epoch"])
        return float(sum(step <= self.state["step"] for step in self.job.epoch_steps))

    # ---- one step ----

    def micro_batches(self, step: int) -> list[Rows]:
        """This rank's rows of a step, by passes."""
        size = self.job.rows_per_step
        first, last = step * size, min((step + 1) * size, self.data.blocks)
        out = []
        for begin in range(first, last, self.job.per_device_batch_size):
            mine = self.share(begin, min(self.job.per_device_batch_size, last - begin))
            out.append(self.data.rows(*mine, trim=not self.job.compile))
        return out

    def share(self, begin: int, b: int) -> tuple[int, int]:
        """This rank's part of b rows: those from r·b/W to (r+1)·b/W."""
        return begin + self.rank * b // self.world, begin + (self.rank + 1) * b // self.world

    def step(self, micro: list[Rows]) -> None:
        """Moves the parameters along the gradient of the mean loss over all tokens of all ranks."""
        number = self.state["step"] + 1
        counts = torch.tensor([sum(len(m.targets) for m in micro), sum(m.tokens for m in micro)])
        dist.all_reduce(counts)
        scored, tokens = counts.tolist()
        if scored == 0:
            raise JobError(f"step {number}: no token of its rows has a label")
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for i, rows in enumerate(micro):
            sync_gradients(self.network, i == len(micro) - 1 or not self.defer)
            # FSDP takes the mean over ranks, lep the sum.
            loss = self.network(rows.to(self.device), self.world / scored)
            loss.backward()
            total += loss.detach()
        norm = self.optimizer.clip()
        mean = total.cpu() / self.world
        dist.all_reduce(mean)
        self.loss = float(mean)
        for what, value in (("loss", self.loss), ("norm of the gradients", norm)):
            if not math.isfinite(value):
                raise JobError(f"step {number}: the {what} is {value}; {LESS_STEEP}")
        rates = self.optimizer.rates(number - 1)
        self.optimizer.step(number - 1)
        self.interval += torch.tensor([self.loss * scored, scored, tokens])
        self.state |= {"step": number, "tokens": self.state["tokens"] + tokens}
        self.report(norm, *rates)

    def report(self, norm: float, embedding_rate: float, rate: float) -> None:
        elapsed = max(time.monotonic() - self.since, 1e-9)
        loss, scored, tokens = self.interval.tolist()
        values = {"loss": loss / scored, "lr": rate, "grad_norm": norm, "tokens_per_second": tokens / elapsed}
        if self.job.embedding_lr:
            values["embedding_lr"] = embedding_rate
        self.emit("step", **values, gflops=self.job.flops_per_token * tokens / elapsed / 1e9)
        step = self.state["step"]
        if step % self.job.logging_steps == 0 or step == self.state["steps"]:
            self.interval.zero_()
            self.since = time.monotonic()

    # ---- evaluation ----

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        assert self.held_out is not None
        sums = torch.zeros(2, dtype=torch.float64)
        b = self.job.per_device_batch_size
        for begin in range(0, self.held_out.blocks, b):
            rows = self.held_out.rows(*self.share(begin, min(b, self.held_out.blocks - begin)), trim=True)
            sums[0] += self.network(rows.to(self.device), 1.0).cpu()
            sums[1] += len(rows.targets)
        dist.all_reduce(sums)
        nll, tokens = sums.tolist()
        score = {"loss": nll / tokens}
        if size := self.held_out.manifest["bytes"]:
            score["bits_per_byte"] = nll / math.log(2) / size
        values = {"eval_loss": score["loss"]}
        if "bits_per_byte" in score:
            values["eval_bits_per_byte"] = score["bits_per_byte"]
        self.emit("eval", **values)
        return score

    def compare(self) -> str:
        """Evaluates and keeps the parameters if they are the best so far; may end the run."""
        score = self.evaluate()
        self.state["evaluated"] = self.state["step"]
        best = self.state.get("best")
        if best and not _value(score) < _value(best):
            self.state["waited"] += 1
            patience = self.job.early_stopping_patience
            return EARLY if patience and self.state["waited"] >= patience else ""
        self.state |= {"best": {"step": self.state["step"], **score}, "waited": 0}
        if self.job.load_best_model_at_end:
            checkpoint.write_safetensors(self.best_file(), self.optimizer.params)
            for path in self.best_file().parent.glob("best-*.safetensors"):
                if self.rank == 0 and path != self.best_file():
                    path.unlink()
        return ""

    def best_file(self) -> pathlib.Path:
        return self.job.run / "checkpoints" / f"best-{self.state['best']['step']:06d}.safetensors"

    def evaluation_due(self) -> bool:
        every, step = self.job.eval_steps, self.state["step"]
        return self.held_out is not None and every > 0 and step % every == 0 and step < self.state["steps"]

    # ---- between steps ----

    def wishes(self) -> tuple[bool, bool, bool]:
        """Whether any rank was asked to be interrupted, to stop, to save."""
        if os.getppid() != self.parent:
            raise JobError("torchrun has gone")
        stop = save = False
        if self.rank == 0:
            self.interrupted |= (self.job.work / "interrupt").exists()
            stop, save = _taken(self.job.run / "stop"), _taken(self.job.run / "save")
        now = time.monotonic()
        save |= self.rank == 0 and (0 < self.job.save_minutes * 60 <= now - self.last_save or now > self.save_again)
        flags = torch.tensor([self.interrupted, stop, save], dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        interrupted, stop, save = (bool(x) for x in flags.tolist())
        return interrupted, stop, save

    def save(self) -> None:
        """Writes a checkpoint. Training goes on if that cannot be done, and tries again."""
        start = time.monotonic()
        self.last_save, self.save_again = start, math.inf
        self.state["seconds"] = self.before + start - self.started
        folder = self.job.run / "checkpoints" / f"step-{self.state['step']:06d}"
        error = checkpoint.save(folder, self.optimizer.state(self.state["step"]), self.state, self.job.recipe)
        if error:
            self.save_again = start + RETRY_SECONDS
            self.emit("checkpoint", note="not written: " + error)
            return
        if self.rank == 0:
            checkpoint.prune(self.job.run, self.job.save_total_limit)
        self.emit("checkpoint")

    def run(self) -> None:
        """Trains to the end, to an early end, or to an interruption behind a checkpoint."""
        ended = self.begin()
        upcoming = self.micro_batches(self.state["step"])
        while self.state["step"] < self.state["steps"] and not ended:
            interrupted, stop, save = self.wishes()
            if save and self.state["step"] > self.resumed:
                self.save()
            if interrupted or stop:
                ended = INTERRUPTED if interrupted else STOP
                break
            self.step(upcoming)
            upcoming = self.micro_batches(self.state["step"])
            if self.evaluation_due():
                ended = self.compare()
            every, step = self.job.save_steps, self.state["step"]
            if every and step % every == 0 and step < self.state["steps"]:
                self.save()
        self.finish(ended)

    def begin(self) -> str:
        """Scores the held-out data before the first step, or catches up with an evaluation."""
        if self.resumed:
            self.emit("resume")
            if self.evaluation_due() and self.state["evaluated"] != self.resumed:
                return self.compare()
        elif self.held_out:
            self.state["before"] = self.evaluate()
        return ""

    def finish(self, ended: str) -> None:
        """Leaves the trained parameters and final.json for lep, which writes the model."""
        final: dict[str, Any] = {"ended": ended, "loss": self.loss, "epochs": self.epoch(), "weights": ""}
        if ended in (INTERRUPTED, STOP) and self.state["step"] > self.resumed:
            self.save()
        if ended != INTERRUPTED:
            weights = self.job.work / "trained.safetensors"
            if self.held_out:
                final["after"] = self.evaluate()
                final["best"] = best = self.state.get("best")
                if best and self.job.load_best_model_at_end and _value(best) < _value(final["after"]):
                    weights, final["after"] = self.best_file(), {k: v for k, v in best.items() if k != "step"}
                else:
                    final["best"] = {"step": self.state["step"], **final["after"]}
            if weights.parent == self.job.work:
                checkpoint.write_safetensors(weights, self.optimizer.params)
            final["weights"] = str(weights)
        self.state["seconds"] = self.before + time.monotonic() - self.started
        if self.rank == 0:
            checkpoint.write_text(self.job.work / "final.json", json.dumps(final | {"state": self.state}))
        dist.barrier()


def _value(score: dict[str, float]) -> float:
    """What decides which of two scores is better."""
    return score.get("bits_per_byte") or score["loss"]


def _taken(path: pathlib.Path) -> bool:
    """Whether a file was there; it is removed."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def start(text: str, device: torch.device) -> None:
    """Joins the ranks and trains; text is job.json, read on rank 0."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=datetime.timedelta(minutes=30))
    shared = [text]
    dist.broadcast_object_list(shared, device=torch.device("cpu"))
    job = parse(shared[0])
    if device.type == "cpu":
        torch.set_num_threads(job.threads)
    Training(job, device).run()
    dist.destroy_process_group()
