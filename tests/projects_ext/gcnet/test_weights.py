"""Which weights of OpenMMLab's Mask R-CNN with GC blocks go where, and which of them train."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from projects_ext.checkpoint import KeyMap, LoadReport, Rule, Target, load_weights
from projects_ext.checkpoint.key_map import discover, rename, rules_for
from projects_ext.checkpoint.openmmlab import OPENMMLAB
from projects_ext.gcnet.key_map import KEY_MAP
from tests.two_stage_parity import Answers, assert_agrees, build, load_from_file, openmmlab_state

NAME = "gcnet_mask"
CONFIG = "gcnet/mask_rcnn_r50_fpn_syncbn_gcb_r4_1x.py"


@pytest.fixture(scope="module")
def loaded() -> tuple[nn.Module, LoadReport]:
    """The model with its weights, and the report."""
    model = build(CONFIG)
    return model, load_from_file(model, NAME)


def test_every_name_finds_its_place(loaded: Any) -> None:
    model, report = loaded
    assert KEY_MAP in discover(model)
    assert report.left_over == report.missing == report.reinitialised == []
    blocks = {old: new for old, new in report.renamed.items() if "context_block" in old}
    # 13 blocks of a mask and a bottleneck with weights and biases.
    assert len(blocks) == 13 * 8
    for old, new in blocks.items():
        there = re.search(r"layer(\d)\.(\d+)", old)
        here = re.search(r"res(\d)\.(\d+)\.conv3\.activation", new)
        assert there is not None
        assert here is not None
        assert (int(there[1]) + 1, there[2]) == (int(here[1]), here[2])


def blocks_exchanged(target: Target) -> list[Rule]:
    """The context blocks of two residual blocks, of the same shapes, are exchanged."""
    right = rules_for(OPENMMLAB, [KEY_MAP], target)

    def rule(name: str, value: Tensor) -> list[tuple[str, Tensor]] | None:
        match = re.fullmatch(r"(backbone\.layer3)\.([12])(\.context_block\..*)", name)
        if match is None:
            return None
        return rename(f"{match[1]}.{3 - int(match[2])}{match[3]}", value, right)

    return [rule]


def test_a_wrong_rule_is_found_out(loaded: Any) -> None:
    model, _ = loaded
    assert_agrees(Answers(model, NAME), "neck.2")
    wrong = KeyMap(rules={"OpenMMLab": blocks_exchanged})
    assert load_weights(model, openmmlab_state(NAME), key_maps=[wrong]).complete
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_agrees(Answers(model, NAME), "neck.2")


def test_statistics_train_but_for_the_stem_and_the_first_stage(loaded: Any) -> None:
    network = loaded[0].backbone.bottom_up
    trained = {name.split(".")[0] for name, x in network.named_parameters() if x.requires_grad}
    assert trained == {"res3", "res4", "res5"}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network(torch.rand(2, 3, 64, 64))
    network.eval()
    changed = {name for name, x in network.state_dict().items() if not before[name].equal(x)}
    statistics = {name for name in before if name.endswith("running_var")}
    assert {name for name in statistics if name.startswith(("res3", "res4", "res5"))} < changed
    assert not [name for name in changed if name.startswith(("stem", "res2"))]
