"""OpenMMLab's Faster and Mask R-CNN give their outputs here, from a file to the detections."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from projects_ext.checkpoint import KeyMap, LoadReport, Rule, Target, load_weights
from projects_ext.checkpoint.key_map import rename, rules_for
from projects_ext.checkpoint.openmmlab import OPENMMLAB
from tests.golden_files import load_golden
from tests.two_stage_parity import (
    NOT_ANSWERS,
    Answers,
    assert_agrees,
    build,
    load_from_file,
    openmmlab_state,
)

CONFIGS = {
    "base_faster": "common/models/faster_rcnn_r50_fpn_openmmlab.py",
    "base_mask": "common/models/mask_rcnn_r50_fpn_openmmlab.py",
}
FIELDS = [
    (name, field)
    for name in CONFIGS
    for field in load_golden(name)
    if field not in NOT_ANSWERS
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> dict[str, tuple[nn.Module, LoadReport, Answers]]:
    """Golden name -> model with its weights, report, answers."""
    results = {}
    for name, config in CONFIGS.items():
        model = build(config)
        report = load_from_file(model, name)
        results[name] = (model, report, Answers(model, name))
    return results


def test_golden_files_have_the_fields_that_matter() -> None:
    names = {field.split(".")[0] for name, field in FIELDS if name == "base_mask"}
    assert names >= {"neck", "rpn_head", "proposals", "box_cls", "box_reg", "mask_logits", "masks"}
    assert len(FIELDS) == 22 + 26


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_agrees(loaded: Any, name: str, field: str) -> None:
    assert_agrees(loaded[name][2], field)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_name_finds_its_place(loaded: Any, name: str) -> None:
    model, report, _ = loaded[name]
    assert report.format == "OpenMMLab, mmdet 2.1.0"
    assert report.left_over == report.missing == report.reinitialised == []
    own_names = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(report.loaded) == sorted(own_names)
    assert set(report.renamed.values()) == set(own_names)


def wrong_rule(pattern: str, wrong: Callable[[str, Tensor], tuple[str, Tensor]]) -> KeyMap:
    """A key map that mistakes the entries of ``pattern``."""

    def rules(target: Target) -> list[Rule]:
        right = rules_for(OPENMMLAB, (), target)

        def mistaken(name: str, value: Tensor) -> list[tuple[str, Tensor]] | None:
            return rename(*wrong(name, value), right) if re.search(pattern, name) else None

        return [mistaken]

    return KeyMap(rules={"OpenMMLab": rules})


def swap(first: str, second: str) -> KeyMap:
    """Two layers of the same shape are exchanged."""

    def exchange(name: str, value: Tensor) -> tuple[str, Tensor]:
        old, new = (first, second) if first in name else (second, first)
        return name.replace(old, new), value

    return wrong_rule(f"{re.escape(first)}|{re.escape(second)}", exchange)


def change(pattern: str, function: Callable[[Tensor], Tensor]) -> KeyMap:
    """The names are right, the values in another order."""
    return wrong_rule(pattern, lambda name, value: (name, function(value)))


def coordinate_major(value: Tensor) -> Tensor:
    return value.unflatten(0, (80, 4)).transpose(0, 1).flatten(0, 1)


def anchors_last(value: Tensor) -> Tensor:
    return value.unflatten(0, (3, 4)).transpose(0, 1).flatten(0, 1)


def rows_before_channels(value: Tensor) -> Tensor:
    return value.unflatten(1, (256, 49)).transpose(1, 2).flatten(1)


WRONG = {
    "blocks exchanged": (swap("layer3.1.", "layer3.2."), "neck.2"),
    "scale taken for mean": (swap("bn1.weight", "bn1.running_mean"), "neck.0"),
    "pyramid outputs exchanged": (swap("fpn_convs.0", "fpn_convs.1"), "neck.0"),
    "mask layers exchanged": (swap("mask_head.convs.0", "mask_head.convs.3"), "mask_logits"),
    "channels reversed": (change(r"backbone\.conv1", lambda value: value.flip(1)), "neck.0"),
    "background first": (change(r"fc_cls", lambda value: value.roll(1, 0)), "box_cls"),
    "deltas by coordinate": (change(r"fc_reg", coordinate_major), "box_reg"),
    "deltas by coordinate in the RPN": (change(r"rpn_reg", anchors_last), "rpn_head.reg.2"),
    "channels flattened last": (change(r"fcs\.0\.weight", rows_before_channels), "box_cls"),
}


@pytest.fixture(scope="module")
def other_model() -> nn.Module:
    """To be loaded with wrong rules."""
    return build(CONFIGS["base_mask"])


@pytest.mark.parametrize("error", WRONG)
def test_a_wrong_rule_is_found_out(other_model: nn.Module, error: str) -> None:
    key_map, field = WRONG[error]
    report = load_weights(other_model, openmmlab_state("base_mask"), key_maps=[key_map])
    assert report.complete  # names and shapes alone say nothing
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agrees(Answers(other_model, "base_mask"), field)


def test_a_wrong_detection_is_found_out(loaded: Any) -> None:
    answers = Answers(loaded["base_mask"][0], "base_mask")
    boxes = answers.detections["boxes"]
    boxes[3] += np.float32(0.1)
    with pytest.raises(AssertionError):
        assert_agrees(answers, "boxes")
    boxes[3] -= np.float32(0.1)
    masks = answers.detections["masks"]
    masks[0] = ~masks[0]
    with pytest.raises(AssertionError):
        assert_agrees(answers, "masks")
    answers.detections["scores"][5] += 0.01
    with pytest.raises(AssertionError):
        assert_agrees(answers, "scores")


def test_only_scale_and_shift_of_the_last_stages_train(loaded: Any) -> None:
    model = loaded["base_mask"][0]
    trained = {name for name, x in model.backbone.bottom_up.named_parameters() if x.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"res3", "res4", "res5"}
    assert "res3.0.conv1.norm.weight" in trained
    model.train()
    before = {name: value.clone() for name, value in model.backbone.bottom_up.named_buffers()}
    model.backbone(torch.rand(1, 3, 64, 64))
    after = dict(model.backbone.bottom_up.named_buffers())
    assert all(torch.equal(before[name], after[name]) for name in before)
    model.eval()
