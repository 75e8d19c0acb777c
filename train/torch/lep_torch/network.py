"""The model: loaded by transformers, with what is trained marked, and sharded by FSDP2."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from transformers import AutoModelForCausalLM

from .job import Job, JobError
from .loss import chunked_loss
from .rows import Rows

ADAPTER = "lep"


class Network(nn.Module):
    """A causal language model that returns its loss and never all of its logits."""

    def __init__(self, causal: Any):
        super().__init__()
        self.causal = causal
        self.softcap: float | None = getattr(causal.config, "final_logit_softcapping", None)

    def forward(self, rows: Rows, scale: float) -> torch.Tensor:
        """Returns scale times the summed loss of the rows, in nats."""
        out = self.causal.model(input_ids=rows.ids, position_ids=rows.positions, use_cache=False)
        hidden = out.last_hidden_state.flatten(0, 1).index_select(0, rows.index)
        return chunked_loss(hidden, self.causal.lm_head.weight, rows.targets, scale, self.softcap)

    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by the names that lep has for them."""
        return {_public(name): p for name, p in self.named_parameters() if p.requires_grad}


def _public(name: str) -> str:
    name = name.removeprefix("causal.").replace("_orig_mod.", "")
    return name.replace(f".{ADAPTER}.weight", ".weight").replace(".base_layer.", ".")


def build(job: Job, device: torch.device) -> Network:
    """Loads the model of the job and shards it over all ranks."""
    causal: Any = AutoModelForCausalLM.from_pretrained(
        job.model,
        dtype="auto",
        attn_implementation=_attention(job),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    causal.config.use_cache = False
    causal.model.embed_tokens.padding_idx = None  # its row would never get a gradient
    for name, value in vars(causal.config).items():
        if name.endswith("dropout") and value:
            raise JobError(f"{job.model}/config.json: {name} is {value}: dropout is not trained with, want 0")
    if job.lora:
        _add_low_rank(causal, job)
    network = Network(causal)
    _choose(network, job)
    _convert(network, torch.float32 if job.precision == "float32" else torch.bfloat16)
    if job.start is not None:
        _fill(network, job)
    network.train()
    if job.gradient_checkpointing:
        causal.gradient_checkpointing_enable({"use_reentrant": False})
    _shard(network, job, device)
    return network


def _attention(job: Job) -> str:
    """flex skips what a document mask hides; sdpa, the default, works everywhere."""
    return "flex_attention" if job.attention == "flex" else job.attention


def _add_low_rank(causal: Any, job: Job) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    ranks = {term.module: term.rank for term in job.lora}
    config = LoraConfig(r=job.lora[0].rank, target_modules=list(ranks), rank_pattern=ranks, lora_dropout=0.0)
    with contextlib.redirect_stdout(None):
        inject_adapter_in_model(config, causal, adapter_name=ADAPTER)
    for term in job.lora:
        causal.get_submodule(term.module).scaling[ADAPTER] = term.scale


def _choose(network: Network, job: Job) -> None:
    """Marks the trained parameters, and checks that they are those of the job."""
    want = set(job.trained)
    for name, p in network.named_parameters():
        p.requires_grad_(_public(name) in want)
    if missing := want - set(network.trained()):
        raise JobError(f"{job.model}: {type(network.causal).__name__} has no parameters {sorted(missing)[:3]}")


def _convert(network: Network, compute: torch.dtype) -> None:
    """Trained parameters are float32, frozen ones have the type that is computed in."""
    for p in network.parameters():
        p.data = p.data.to(torch.float32 if p.requires_grad else compute)


def _fill(network: Network, job: Job) -> None:
    trained = network.trained()
    with torch.no_grad():
        for name, value in load_file(str(job.start)).items():
            trained[name].copy_(value)


def _shard(network: Network, job: Job, device: torch.device) -> None:
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy()
    if job.precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in network.causal.model.layers:
        if job.compile:
            layer.compile()
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(network, mesh=mesh, mp_policy=policy)
    network.to(device)


def sync_gradients(network: nn.Module, now: bool) -> None:
    """Whether the backward passes that follow add up gradients over ranks: only the last of a step need to."""
    assert isinstance(network, FSDPModule)
    network.set_requires_gradient_sync(now)
