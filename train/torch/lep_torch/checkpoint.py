"""Distributed checkpoints, and the file with the trained parameters."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.tensor import DTensor

from .job import JobError

MANIFEST = "lep.json"


def all_agree(ok: bool) -> bool:
    """Whether it is so on every rank."""
    flag = torch.tensor([ok], dtype=torch.int32)
    dist.all_reduce(flag, dist.ReduceOp.MIN)
    return bool(flag.item())


def save(folder: pathlib.Path, tensors: dict[str, torch.Tensor], state: dict[str, Any], recipe: str) -> str:
    """Writes a checkpoint whole or not at all; returns what went wrong, "" if nothing.

    The manifest, with the sizes of all files, is written last, and the folder gets its name
    behind it.
    """
    first = dist.get_rank() == 0
    draft = folder.with_name("." + folder.name)
    error = ""
    try:
        if first:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
    except OSError as e:
        error = str(e)
    if all_agree(not error):
        try:
            dcp.save(tensors, checkpoint_id=draft)
            if first:
                sizes = {path.name: path.stat().st_size for path in sorted(draft.iterdir())}
                text = json.dumps(state | {"files": sizes})
                write_text(draft / MANIFEST, f'{text[:-1]}, "recipe": {recipe}}}')
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
        except Exception as e:  # DCP wraps whatever the file system said, on every rank
            error = _last_line(e)
    return "" if all_agree(not error) else error or "another rank could not write"


def load(folder: pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    """Fills tensors from a checkpoint, whatever number of ranks wrote it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, size in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise JobError(f"{path}: not whole, want {size} bytes: without {folder} the checkpoint before it is taken")
    dcp.load(tensors, checkpoint_id=folder)


def prune(run: pathlib.Path, keep: int) -> None:
    """Removes all but the newest checkpoints, the manifest of each first."""
    found = sorted((run / "checkpoints").glob("step-*"), key=lambda p: int(p.name.removeprefix("step-")))
    for folder in found[:-keep]:
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_name("." + path.name)
    with draft.open("w") as f:
        f.write(text + "\n")
        f.flush()
        os.fsync(f.fileno())
    draft.rename(path)


def write_safetensors(path: pathlib.Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Gathers tensors one by one and writes them as float32, on rank 0."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [end, end + 4 * t.numel()]}
        end += 4 * t.numel()
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    draft = path.with_name("." + path.name)
    file = None
    if dist.get_rank() == 0:
        path.parent.mkdir(exist_ok=True)
        file = draft.open("wb")
        file.write(len(head).to_bytes(8, "little") + head)
    for t in tensors.values():
        whole = (t.full_tensor() if isinstance(t, DTensor) else t).detach()
        if file:
            whole.float().cpu().contiguous().numpy().tofile(file)
    if file:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        draft.rename(path)


def _last_line(e: BaseException) -> str:
    lines = [line for line in str(e).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(e).__name__
