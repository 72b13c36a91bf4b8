"""Sums over many rows without keeping what they are made from."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Term = Callable[[Tensor, Tensor, slice], Tensor]
"""From the shared tensor, some rows, and which rows those are, to a scalar."""


class _SumInBlocks(torch.autograd.Function):
    """See :func:`sum_in_blocks`."""

    @staticmethod
    def forward(ctx: Any, term: Term, size: int, shared: Tensor, rows: Tensor) -> Tensor:
        needed = ctx.needs_input_grad[2:]
        total = shared.new_zeros(())
        gradients = [torch.zeros_like(x) for x in (shared, rows)] if any(needed) else []
        for start in range(0, len(rows), size):
            block = slice(start, start + size)
            with torch.enable_grad() if gradients else torch.no_grad():
                common, own = shared.detach(), rows[block].detach()
                if gradients:
                    common.requires_grad_()
                    own.requires_grad_()
                value = term(common, own, block)
            total += value.detach()
            if gradients:
                of_shared, of_rows = torch.autograd.grad(value, (common, own))
                gradients[0] += of_shared
                gradients[1][block] = of_rows
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        of_shared, of_rows = ctx.saved_tensors
        return None, None, gradient * of_shared, gradient * of_rows


def sum_in_blocks(term: Term, shared: Tensor, rows: Tensor, size: int) -> Tensor:
    """The sum of ``term(shared, rows[block], block)`` over blocks of rows.

    What is computed on the way lives no longer than its block: a sum's gradient is known but for a
    factor, so each block's part of it is computed at once, and not in the backward pass.

    Args:
        term: makes a scalar; its gradients reach ``shared`` and ``rows`` alone.
        shared: what every row needs.
        rows: (R, …); R may be 0.
        size: rows of a block.

    Returns:
        a scalar that can be differentiated once.
    """
    return _SumInBlocks.apply(term, size, shared, rows)
