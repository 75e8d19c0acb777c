"""AdamW and SGD as lep's own engine computes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .job import Job

EMBEDDINGS = {"model.embed_tokens.weight", "lm_head.weight"}


def local(x: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor."""
    return x.to_local() if isinstance(x, DTensor) else x


class Optimizer:
    """Moves the trained parameters.

    The decay stands apart from the gradient and is for matrices only. Of the embeddings only
    job.rows move: the others have neither gradient nor decay.
    """

    def __init__(self, params: dict[str, nn.Parameter], job: Job):
        self.params, self.job = params, job
        self.factors = np.memmap(job.schedule, "<f8", "r")
        groups = [
            {"params": [p for name, p in params.items() if name in EMBEDDINGS]},
            {"params": [p for name, p in params.items() if name not in EMBEDDINGS]},
        ]
        self.inner: torch.optim.Optimizer
        if job.optimizer == "adamw":
            betas = (job.adam_beta1, job.adam_beta2)
            self.inner = torch.optim.AdamW(groups, 0.0, betas, job.adam_epsilon, weight_decay=0.0, fused=True)
        else:
            self.inner = torch.optim.SGD(groups, 0.0, job.momentum, weight_decay=0.0)
        self.masks = {name: self._mask(p) for name, p in params.items() if job.rows and name in EMBEDDINGS}

    def _mask(self, p: nn.Parameter) -> torch.Tensor:
        """1 for the rows of this rank's part that are trained, 0 for others: (rows, 1)."""
        mask = torch.zeros(p.shape[0], 1, device=p.device)
        for first, last in self.job.rows:
            mask[first:last] = 1
        if isinstance(p, DTensor):
            return local(distribute_tensor(mask, p.device_mesh, p.placements))
        return mask

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rates of a step, counted from 0: that of the embeddings, and that of all else."""
        factor = float(self.factors[step])
        rate = self.job.learning_rate * factor
        return (self.job.embedding_lr * factor if self.job.embedding_lr else rate), rate

    @torch.no_grad()
    def clip(self) -> float:
        """Clips the gradients and returns their norm before."""
        for name, mask in self.masks.items():
            grad = self.params[name].grad
            if grad is not None:
                local(grad).mul_(mask)
        grads = [p.grad for p in self.params.values() if p.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        if self.job.max_grad_norm > 0:
            nn.utils.clip_grads_with_norm_(self.params.values(), self.job.max_grad_norm, norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Moves the parameters with the rates of a step, counted from 0, and drops the gradients."""
        embedding, other = self.rates(step)
        for group, rate in zip(self.inner.param_groups, (embedding, other), strict=True):
            group["lr"] = rate
        for name, p in self.params.items():
            shrink = (embedding if name in EMBEDDINGS else other) * self.job.weight_decay
            if p.dim() == 2 and shrink:
                local(p).mul_(1 - shrink * self.masks[name] if name in self.masks else 1 - shrink)
        self.inner.step()
        self.inner.zero_grad(set_to_none=True)

    def state(self, steps: int) -> dict[str, torch.Tensor]:
        """The parameters and their moments behind a number of steps, as live tensors."""
        if self.job.optimizer == "adamw":
            kinds = ["exp_avg", "exp_avg_sq"]
        else:
            kinds = ["momentum_buffer"] if self.job.momentum else []
        out: dict[str, torch.Tensor] = {}
        for name, p in self.params.items():
            out["param." + name] = p.detach()
            moments = self.inner.state[p]
            for kind in kinds:
                if kind not in moments:
                    moments[kind] = torch.zeros_like(p)
                out[f"{kind}.{name}"] = moments[kind]
            if self.job.optimizer == "adamw":
                moments["step"] = torch.tensor(float(steps), device=p.device)
        return out
