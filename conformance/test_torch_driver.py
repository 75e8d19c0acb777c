"""The parts of the torch driver by themselves, in one process."""

import json
import pathlib
import sys

import numpy as np
import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "train" / "torch"))

from lep_torch import job, loss, rows  # noqa: E402


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("chunk", [1 << 10, 1 << 22])
def test_chunked_loss(monkeypatch, softcap, chunk):
    """Value and gradients are those of all logits at once."""
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", chunk)
    torch.manual_seed(1)
    hidden = torch.randn(70, 8, dtype=torch.float32, requires_grad=True)
    weight = torch.randn(50, 8, dtype=torch.float32, requires_grad=True)
    targets = torch.randint(50, (70,))
    logits = hidden @ weight.t()
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    want = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") * 0.25
    d_want = torch.autograd.grad(want, (hidden, weight))
    got = loss.chunked_loss(hidden, weight, targets, 0.25, softcap)
    d_got = torch.autograd.grad(got, (hidden, weight))
    torch.testing.assert_close(got, want.double(), rtol=1e-6, atol=0)
    for a, b in zip(d_got, d_want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_chunked_loss_of_frozen_weights():
    hidden = torch.randn(3, 4, requires_grad=True)
    weight = torch.randn(5, 4)
    loss.chunked_loss(hidden, weight, torch.tensor([0, 1, 4]), 1.0).backward()
    assert hidden.grad is not None and weight.grad is None
    with torch.no_grad():
        assert not loss.chunked_loss(hidden, weight, torch.tensor([0, 1, 4]), 1.0).requires_grad


def test_no_targets():
    """A rank whose rows have no loss adds nothing, and has gradients all the same."""
    hidden = torch.randn(0, 4, requires_grad=True)
    weight = torch.randn(5, 4, requires_grad=True)
    got = loss.chunked_loss(hidden, weight, torch.zeros(0, dtype=torch.int64), 1.0)
    got.backward()
    assert float(got.detach()) == 0 and torch.equal(weight.grad, torch.zeros(5, 4))


def test_assemble():
    """Positions begin at 0 in each document; the first token of a document is nobody's target; padding neither."""
    pad = rows.PADDING
    ids = np.array([[5, 6, 7, 8, 9, 10], [11, 12, 13, 0, 0, 0]])
    documents = np.array([[0, 0, 1, 1, 1, 2], [0, 0, 0, pad, pad, pad]])
    labels = np.array([[5, 6, 7, -100, 9, 10], [-100, 12, 13, -100, -100, -100]])
    got = rows.assemble(ids, documents, labels)
    assert got.positions.tolist() == [[0, 1, 0, 1, 2, 0], [0, 1, 2, 0, 1, 2]]
    assert got.index.tolist() == [0, 3, 6, 7]
    assert got.targets.tolist() == [6, 9, 12, 13]
    assert got.tokens == 9


@pytest.fixture
def shards(tmp_path):
    """Two files of three and one blocks of four tokens."""
    ids = np.arange(16, dtype="<u2").reshape(4, 4)
    documents = np.zeros((4, 4), "<u2")
    documents[3, 2:] = rows.PADDING
    files = []
    for name, part in (("a.bin", slice(0, 3)), ("b.bin", slice(3, 4))):
        data = ids[part].tobytes() + documents[part].tobytes()
        (tmp_path / name).write_bytes(data)
        digest = rows.hashlib.sha256(data).hexdigest()
        files.append({"file": name, "blocks": part.stop - part.start, "sha256": digest})
    manifest = {"block_size": 4, "dtype": "uint16", "has_labels": False, "has_documents": True, "blocks": 4}
    (tmp_path / "shards.json").write_text(json.dumps(manifest | {"shards": files}))
    return tmp_path


def test_shards(shards):
    s = rows.Shards(shards)
    s.verify(0, 1)
    assert s.rows(1, 4, trim=True).ids.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert s.rows(3, 4, trim=True).ids.tolist() == [[12, 13]]
    assert s.rows(3, 4, trim=False).ids.tolist() == [[12, 13, 14, 15]]
    nothing = s.rows(2, 2, trim=True)
    assert len(nothing.targets) == 0 and nothing.tokens == 0 and nothing.ids.numel() > 0


def test_shards_damaged(shards):
    data = bytearray((shards / "b.bin").read_bytes())
    data[0] ^= 1
    (shards / "b.bin").write_bytes(data)
    rows.Shards(shards).verify(0, 2)  # the other rank's file
    with pytest.raises(job.JobError, match=r"b\.bin: SHA-256 is .* want .* \(shards\.json\)"):
        rows.Shards(shards).verify(1, 2)
    (shards / "b.bin").write_bytes(data[:-1])
    with pytest.raises(job.JobError, match=r"b\.bin: 15 bytes, want 16 for 1 blocks"):
        rows.Shards(shards)


def test_another_version():
    """A job of another lep is refused: on several machines each brings its own driver."""
    with pytest.raises(job.JobError, match="every node must run the same lep"):
        job.parse(json.dumps({"version": job.VERSION, "driver_sha256": "0" * 64}))
    with pytest.raises(job.JobError, match="'run'.* are unknown or missing"):
        job.parse(json.dumps({"version": job.VERSION, "driver_sha256": job.digest()}))
