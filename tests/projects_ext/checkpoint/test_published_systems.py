"""Published models of the systems give the reference's answers, from a file to the detections."""

from typing import Any

import pytest
from torch import nn

from projects_ext.checkpoint import LoadReport
from tests.golden_files import load_golden
from tests.two_stage_parity import NOT_ANSWERS, Answers, assert_agrees, build, load_from_file

CONFIGS = {
    "carafe_faster": "carafe/faster_rcnn_r50_fpn_carafe_1x.py",
    "carafe_mask": "carafe/mask_rcnn_r50_fpn_carafe_1x.py",
    "groie_faster": "groie/faster_rcnn_r50_fpn_groie_1x.py",
    "groie_mask": "groie/mask_rcnn_r50_fpn_groie_1x.py",
    "groie_gcb_mask": "groie/mask_rcnn_r50_fpn_syncbn_gcb_r4_groie_1x.py",
    "groie_grid": "groie/grid_rcnn_r50_fpn_gn_groie_1x.py",
    "gcnet_mask": "gcnet/mask_rcnn_r50_fpn_syncbn_gcb_r4_1x.py",
    "grid": "grid_rcnn/grid_rcnn_r50_fpn_gn_1x.py",
}


@pytest.fixture(scope="module", params=CONFIGS)
def loaded(request: Any) -> tuple[str, nn.Module, LoadReport, Answers]:
    """Golden name, model with its weights, report, answers; one model at a time."""
    name = request.param
    model = build(CONFIGS[name])
    report = load_from_file(model, name)
    return name, model, report, Answers(model, name)


def test_every_field_agrees(loaded: Any) -> None:
    name, _, _, answers = loaded
    fields = [field for field in load_golden(name) if field not in NOT_ANSWERS]
    assert {"neck.0", "box_cls", "boxes", "scores", "classes"} < set(fields)
    for field in fields:
        assert_agrees(answers, field)


def test_every_name_finds_its_place(loaded: Any) -> None:
    _, model, report, _ = loaded
    assert report.left_over == report.missing == report.reinitialised == []
    own_names = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(report.loaded) == sorted(own_names)
