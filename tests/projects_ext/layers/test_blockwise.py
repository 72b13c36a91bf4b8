"""Sums in blocks, whose gradients are made along with the values."""

import pytest
import torch
from torch import Tensor

from projects_ext.layers.blockwise import sum_in_blocks
from tests.procedural import procedural_noise

SCALES = torch.arange(1.0, 8.0)


def term(shared: Tensor, rows: Tensor, block: slice) -> Tensor:
    return ((rows @ shared).tanh() * SCALES[block, None]).sum()


def leaves() -> list[Tensor]:
    shared, rows = procedural_noise("shared", (3, 4)), procedural_noise("rows", (7, 3))
    return [shared.requires_grad_(), rows.requires_grad_()]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_same_sum_and_gradients_as_at_once(size: int) -> None:
    inputs, others = leaves(), leaves()
    found = sum_in_blocks(term, *inputs, size)
    expected = term(*others, slice(None))
    torch.testing.assert_close(found, expected)
    (found * 3).backward()
    (expected * 3).backward()
    for own, other in zip(inputs, others, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_without_gradients_none_are_made() -> None:
    shared, rows = leaves()
    with torch.no_grad():
        found = sum_in_blocks(term, shared, rows, 2)
    assert not found.requires_grad
    torch.testing.assert_close(found, term(shared, rows, slice(None)).detach())


def test_no_rows() -> None:
    shared, rows = leaves()
    found = sum_in_blocks(term, shared, rows[:0], 2)
    assert found == 0
    found.backward()
    assert not shared.grad.any()
