"""The models that OpenMMLab's weights load into: what they are made of, saving, training."""

from pathlib import Path

import pytest
import torch

from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from projects_ext.layers import FrozenStatisticsBatchNorm2d
from projects_ext.modeling import ReassigningMatcher
from tests.two_stage_parity import ROOT

NAMES = ["faster_rcnn_r50_fpn_openmmlab", "mask_rcnn_r50_fpn_openmmlab"]


@pytest.mark.parametrize("name", NAMES)
def test_saves_reloads_and_trains(name: str, tmp_path: Path) -> None:
    cfg = LazyConfig.load(str(ROOT / f"configs/common/models/{name}.py"))
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    assert not list(tmp_path.glob("*.pkl"))
    model = instantiate(LazyConfig.load(str(tmp_path / "config.yaml")).model)
    assert isinstance(model.backbone.bottom_up.res3[0].conv1.norm, FrozenStatisticsBatchNorm2d)
    assert isinstance(model.proposal_generator.anchor_matcher, ReassigningMatcher)
    assert (model.roi_heads.mask_on, model.input_format) == (name.startswith("mask"), "RGB")
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 10:40, 10:50] = True
    truth = Instances(
        (64, 64), gt_boxes=Boxes(torch.tensor([[10.0, 10.0, 50.0, 40.0]])),
        gt_classes=torch.tensor([3]), gt_masks=BitMasks(masks),
    )  # fmt: skip
    with EventStorage():
        losses = model([{"image": torch.full((3, 64, 64), 128.0), "instances": truth}])
    assert ("loss_mask" in losses) == name.startswith("mask")
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    gradients = {name for name, x in model.named_parameters() if x.grad is not None}
    assert "backbone.bottom_up.res3.0.conv1.norm.weight" in gradients
    assert not [name for name in gradients if "bottom_up.stem" in name or "bottom_up.res2" in name]


def test_all_parameters_decay_in_their_schedule() -> None:
    cfg = LazyConfig.load(str(ROOT / "configs/groie/mask_rcnn_r50_fpn_1x.py"))
    with torch.device("meta"):
        cfg.optimizer.params.model = instantiate(cfg.model)
    optimizer = instantiate(cfg.optimizer)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-4}
