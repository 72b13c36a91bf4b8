"""With many regions the pooler goes another way: by rows of pixels, and in chunks."""

import pytest
import torch
from torch import nn

from projects_ext.layers import rows_pay
from tests.procedural import procedural_noise
from tests.references.groie import LiteralGRoIE

from .test_roi_pooler import boxes, build, feature_maps

MANY = 130
"""Regions of 7 x 7 bins with 4 samples each: enough for every one of the small maps."""


def test_so_many_regions_pay_for_rows_and_few_do_not() -> None:
    maps = feature_maps()
    assert all(rows_pay(features, MANY * 49 * 4) for features in maps)
    assert not any(rows_pay(features, 20 * 49 * 4) for features in maps)
    assert not rows_pay(torch.empty(1, 1, 200, 304), 90 * 49 * 4)
    assert rows_pay(torch.empty(1, 1, 200, 304), 110 * 49 * 4)


@pytest.mark.parametrize("options", [{}, {"chunk_bins": 30 * 49}, {"pooler_type": "ROIAlign"}])
def test_is_the_literal_form(options: dict) -> None:
    pooler, maps, regions = build(**options), feature_maps(), boxes(100, MANY - 100)
    literal = LiteralGRoIE(pooler)
    with torch.no_grad():
        found, expected = pooler(maps, regions), literal(maps, regions)
    if pooler.aligned:
        torch.testing.assert_close(found, expected)
    else:
        few = torch.cat([pooler(maps, [part[:2], part[:0]]) for part in regions[:1]])
        torch.testing.assert_close(found[:2], few)


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_are_those_of_the_literal_form(recompute: bool) -> None:
    pooler, regions = build(recompute=recompute), boxes(60, MANY - 60)
    gradients = []
    for run in (pooler, LiteralGRoIE(pooler)):
        maps = [features.requires_grad_() for features in feature_maps()]
        output = run(maps, regions)
        pooler.zero_grad()
        output.backward(procedural_noise("gradient", output.shape).double())
        gradients.append([*(x.grad for x in maps), *(x.grad for x in pooler.parameters())])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_no_module_ever_sees_more_than_a_chunk_at_inference() -> None:
    pooler = build(chunk_bins=32 * 49)
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        seen.append(len(output))

    pooler.pre_module.register_forward_hook(note)
    pooler.post_module.register_forward_hook(note)
    with torch.no_grad():
        pooler(feature_maps(), boxes(100, MANY - 100))
    assert max(seen) == 32
    # Two levels, then the attention.
    assert sum(seen) == 3 * MANY


def test_mixed_precision_is_near() -> None:
    pooler = build().float()
    maps = feature_maps(dtype=torch.float32)
    regions = boxes(100, MANY - 100)
    with torch.no_grad():
        single = pooler(maps, regions)
        with torch.autocast("cpu", torch.bfloat16):
            half = pooler([features.bfloat16() for features in maps], regions)
    assert half.dtype == torch.bfloat16
    assert (half.float() - single).abs().mean() < 0.01 * single.abs().mean()


def test_compiles_as_one_graph() -> None:
    pooler, maps, regions = build(), feature_maps(), boxes(100, MANY - 100)
    compiled = torch.compile(pooler, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(maps, regions), pooler(maps, regions))
