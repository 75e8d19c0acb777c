"""Packed rows of token ids, mapped from lep's shards (the format is told in lep's corpus/shard)."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import numpy.typing as npt
import torch

from .job import JobError

PADDING = 0xFFFF
NO_LABEL = -100


@dataclasses.dataclass
class Rows:
    """n rows of T tokens.

    A token sees its own document only: positions begin at 0 in each, by which transformers
    tells documents apart. index lists the tokens, counted over all rows, that the next token is
    predicted from with loss; targets are those next tokens.
    """

    ids: torch.Tensor  # (n, T)
    positions: torch.Tensor  # (n, T)
    index: torch.Tensor  # (scored)
    targets: torch.Tensor  # (scored)
    tokens: int  # without padding

    def to(self, device: torch.device) -> Rows:
        move = {f: getattr(self, f).to(device, non_blocking=True) for f in ("ids", "positions", "index", "targets")}
        return Rows(**move, tokens=self.tokens)


class Shards:
    """A folder of shards; rows are numbered in stored order."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.manifest = json.loads((folder / "shards.json").read_text())
        self.block_size: int = self.manifest["block_size"]
        self.blocks: int = self.manifest["blocks"]
        self.parts: list[dict[str, npt.NDArray[np.generic]]] = []
        self.first: list[int] = []
        begin = 0
        for shard in self.manifest["shards"]:
            self.parts.append(self._map(folder / shard["file"], shard["blocks"]))
            self.first.append(begin)
            begin += shard["blocks"]

    def _map(self, path: pathlib.Path, blocks: int) -> dict[str, npt.NDArray[np.generic]]:
        kinds = {"tokens": np.dtype(self.manifest["dtype"]).newbyteorder("<")}
        if self.manifest["has_labels"]:
            kinds["labels"] = np.dtype("<i4")
        if self.manifest["has_documents"]:
            kinds["documents"] = np.dtype("<u2")
        size = blocks * self.block_size * sum(k.itemsize for k in kinds.values())
        if path.stat().st_size != size:
            raise JobError(f"{path}: {path.stat().st_size} bytes, want {size} for {blocks} blocks")
        out: dict[str, npt.NDArray[np.generic]] = {}
        offset = 0
        for name, kind in kinds.items():
            out[name] = np.memmap(path, kind, "r", offset, (blocks, self.block_size))
            offset += out[name].nbytes
        return out

    def verify(self, rank: int, world: int) -> None:
        """Compares this rank's share of the files with their digests."""
        for shard in self.manifest["shards"][rank::world]:
            path = self.folder / shard["file"]
            digest = hashlib.sha256()
            with path.open("rb") as f:
                while piece := f.read(1 << 20):
                    digest.update(piece)
            if digest.hexdigest() != shard["sha256"]:
                raise JobError(
                    f"{path}: SHA-256 is {digest.hexdigest()}, want {shard['sha256']} (shards.json): "
                    "remove the folder, lep makes it anew"
                )

    def _read(self, name: str, first: int, last: int) -> npt.NDArray[np.generic]:
        pieces = []
        while first < last:
            k = bisect.bisect_right(self.first, first) - 1
            part = self.parts[k][name]
            begin = first - self.first[k]
            pieces.append(part[begin : begin + last - first])
            first += len(pieces[-1])
        return np.concatenate(pieces)

    def rows(self, first: int, last: int, trim: bool) -> Rows:
        """Reads rows [first, last). No row gives one of padding: every rank has something to do.

        trim cuts off columns that are padding in every row.
        """
        if first >= last:
            blank = torch.zeros((1, 2), dtype=torch.int64)
            none = torch.zeros(0, dtype=torch.int64)
            return Rows(blank, torch.arange(2).expand(1, 2), none, none, 0)
        ids = self._read("tokens", first, last).astype(np.int64)
        documents = np.zeros_like(ids)
        if self.manifest["has_documents"]:
            documents = self._read("documents", first, last).astype(np.int64)
        labels = self._read("labels", first, last).astype(np.int64) if self.manifest["has_labels"] else ids
        if trim:
            length = max(2, int((documents != PADDING).sum(axis=1).max()))
            ids, documents, labels = ids[:, :length], documents[:, :length], labels[:, :length]
        return assemble(ids, documents, labels)


def assemble(ids: npt.NDArray[np.int64], documents: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Rows:
    """Finds positions and targets; all arrays are (n, T), labels stand at their own token."""
    n, length = ids.shape
    column = np.broadcast_to(np.arange(length), (n, length))
    begins = np.ones((n, length), dtype=bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    positions = column - np.maximum.accumulate(np.where(begins, column, 0), axis=1)
    targets = np.full((n, length), NO_LABEL, dtype=np.int64)
    goes_on = ~begins[:, 1:] & (documents[:, 1:] != PADDING)
    targets[:, :-1] = np.where(goes_on, labels[:, 1:], NO_LABEL)
    index = np.flatnonzero(targets != NO_LABEL)
    return Rows(
        torch.from_numpy(np.ascontiguousarray(ids)),
        torch.from_numpy(positions),
        torch.from_numpy(index),
        torch.from_numpy(targets.reshape(-1)[index]),
        int((documents != PADDING).sum()),
    )
