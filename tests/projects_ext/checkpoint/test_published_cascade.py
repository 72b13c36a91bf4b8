"""GCNet's cascade on a deformable ResNeXt with context blocks gives the reference's answers."""

from typing import Any

import numpy as np
import pytest
import torch

from detectron2.structures import Boxes
from projects_ext.checkpoint import LoadReport
from tests.two_stage_parity import NOT_ANSWERS, Answers, assert_agrees, build, load_from_file

NAME = "gcnet_cascade"
CONFIG = "gcnet/cascade_mask_rcnn_x101_32x4d_fpn_syncbn_dconv_gcb_r4_1x.py"


class CascadeAnswers(Answers):
    """Answers of a cascade; heads are asked stage by stage, each about the same regions."""

    @torch.no_grad()
    def __getitem__(self, field: str) -> np.ndarray:
        part, _, stage = field.rpartition(".")
        heads = self.model.roi_heads
        if part in ("box_cls", "box_reg"):
            pooled = self._pool(self.golden["proposals"][self.golden["box_roi_index"]], "box")
            outputs = heads.box_predictor[int(stage)](heads.box_head[int(stage)](pooled))
            return outputs[part == "box_reg"].numpy()
        if part == "mask_logits":
            pooled = self._pool(self.golden["boxes"][:4], "mask")
            return heads.mask_head[int(stage)].layers(pooled)[:, ::20].numpy()
        return super().__getitem__(field)


@pytest.fixture(scope="module")
def loaded() -> Any:
    model = build(CONFIG)
    model.roi_heads.box_predictor.test_score_thresh = 0.05  # where the comparison looks for it
    report = load_from_file(model, NAME)
    return model, report, CascadeAnswers(model, NAME)


def test_every_field_agrees(loaded: Any) -> None:
    answers = loaded[2]
    fields = [field for field in answers.golden if field not in NOT_ANSWERS]
    assert {"neck.4", "box_cls.2", "box_reg.1", "mask_logits.0", "masks", "scores"} < set(fields)
    assert len(fields) == 1 + 5 + 2 + 6 + 3 + 5
    for field in fields:
        assert_agrees(answers, field)


def test_every_name_finds_its_place(loaded: Any) -> None:
    model, report, _ = loaded
    assert isinstance(report, LoadReport)
    assert report.left_over == report.missing == report.reinitialised == []
    own_names = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(report.loaded) == sorted(own_names)
    offsets = "backbone.layer3.5.conv2.conv_offset.weight"
    assert report.renamed[offsets] == "backbone.bottom_up.res4.5.conv2_offset.weight"


def test_masks_of_all_stages_count(loaded: Any) -> None:
    model, _, answers = loaded
    boxes = [Boxes(torch.from_numpy(answers.golden["boxes"][:1]))]
    features = [answers.features[name] for name in model.roi_heads.mask_in_features]
    with torch.no_grad():
        pooled = model.roi_heads.mask_pooler(features, boxes)
        first, *others = (head.layers(pooled) for head in model.roi_heads.mask_head)
    assert all(not torch.allclose(first, other) for other in others)
