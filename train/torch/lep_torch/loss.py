"""Cross-entropy that never holds all logits: 128k words times 4,096 tokens would take 2 GB."""

from __future__ import annotations

from typing import Any

import torch

# Logits held at a time: rows of a chunk times vocabulary.
CHUNK_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 27}


class _ChunkedLoss(torch.autograd.Function):
    """sum of -log softmax(cap(h Wᵀ))[target] · scale, its gradients computed with it, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        scale: float,
        softcap: float | None,
        gradients: bool,
    ) -> torch.Tensor:
        need_hidden, need_weight = (gradients and need for need in ctx.needs_input_grad[:2])
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        size = max(16, CHUNK_ELEMENTS[hidden.device.type] // weight.shape[0])
        for begin in range(0, hidden.shape[0], size):
            h, t = hidden[begin : begin + size], targets[begin : begin + size, None]
            logits = (h @ weight.t()).float()
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            log_sum = logits.logsumexp(dim=1, keepdim=True)
            total += (log_sum - logits.gather(1, t)).sum(dtype=torch.float64)
            if not (need_hidden or need_weight):
                continue
            slope = (1 - (logits / softcap) ** 2) if softcap is not None else None
            d_logits = torch.exp(logits.sub_(log_sum), out=logits)
            d_logits.scatter_add_(1, t, torch.full_like(t, -1, dtype=d_logits.dtype)).mul_(scale)
            if slope is not None:
                d_logits *= slope
            d_logits = d_logits.to(weight.dtype)
            if d_hidden is not None:
                torch.mm(d_logits, weight, out=d_hidden[begin : begin + size])
            if d_weight is not None:
                if weight.dtype == torch.float32:
                    d_weight.addmm_(d_logits.t(), h)
                else:
                    d_weight += d_logits.t() @ h
        ctx.save_for_backward(d_hidden, None if d_weight is None else d_weight.to(weight.dtype))
        return total * scale

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_hidden, d_weight = ctx.saved_tensors
        factor = grads[0].float()
        out = [None if d is None else d * factor.to(d.dtype) for d in (d_hidden, d_weight)]
        return out[0], out[1], None, None, None, None


def chunked_loss(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, scale: float, softcap: float | None = None
) -> torch.Tensor:
    """Returns scale times the sum of the losses of hidden (N, D) at targets (N), a float64 scalar.

    weight is (V, D); softcap is Gemma 2's bound of the logits.
    """
    loss: torch.Tensor = _ChunkedLoss.apply(hidden, weight, targets, scale, softcap, torch.is_grad_enabled())
    return loss
