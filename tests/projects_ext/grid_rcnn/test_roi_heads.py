"""The grid branch among Detectron2's RoI heads; by YAML as by LazyConfig."""

from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from projects_ext import add_config
from projects_ext.grid_rcnn import ClassPredictor, GridROIHeads
from projects_ext.groie import GRoIEPooler
from tests.procedural import procedural_noise
from tests.small_systems import CONFIGS, image, record, small_model


@pytest.fixture(scope="module")
def heads() -> GridROIHeads:
    return small_model("grid").roi_heads


def features(images: int) -> dict[str, torch.Tensor]:
    """Of images of 64 x 64."""
    return {
        f"p{level}": procedural_noise(f"p{level}", (images, 64, 256 >> level, 256 >> level))
        for level in range(2, 6)
    }


def proposals(*counts: int) -> list[Instances]:
    """Foreground proposals with the ground truth that they are to find."""
    found = []
    for count in counts:
        boxes = torch.tensor([[8.0, 8, 40, 48]]).repeat(count, 1)
        image = Instances((64, 64), proposal_boxes=Boxes(boxes), gt_boxes=Boxes(boxes + 2))
        image.gt_classes = torch.zeros(count, dtype=torch.long)
        found.append(image)
    return found


def test_no_more_regions_than_asked_for_train(heads: GridROIHeads, monkeypatch: Any) -> None:
    monkeypatch.setattr(heads, "max_grid_regions", 7)
    torch.manual_seed(0)
    sampled = heads._sample(proposals(6, 0, 9))
    assert sum(map(len, sampled)) == 7
    assert len(sampled[1]) == 0
    assert [len(x) for x in heads._sample(proposals(2, 3))] == [2, 3]


def test_regions_are_moved_within_the_image_and_their_targets_are_not(
    heads: GridROIHeads, monkeypatch: Any
) -> None:
    seen = {}

    def losses(heatmaps: Any, boxes: torch.Tensor, truth: torch.Tensor) -> dict:
        seen.update(boxes=boxes, truth=truth)
        return {}

    monkeypatch.setattr(heads.grid_head, "losses", losses)
    given = proposals(20, 20)
    heads._grid_losses(features(2), given)
    before = torch.cat([x.proposal_boxes.tensor for x in given])
    assert (seen["boxes"] != before).any()
    assert ((seen["boxes"] >= 0) & (seen["boxes"] <= 64)).all()
    assert torch.equal(seen["truth"], torch.cat([x.gt_boxes.tensor for x in given]))


def test_boxes_are_refined_and_clipped_and_scores_stay(heads: GridROIHeads) -> None:
    detections = []
    for count in (3, 0, 1):
        boxes = Boxes(torch.tensor([[30.0, 0, 64, 60]]).repeat(count, 1))
        scores = torch.linspace(0.9, 0.5, count)
        detections.append(Instances((64, 64), pred_boxes=boxes, scores=scores))
    was_training = heads.training
    with torch.no_grad():
        found = heads.eval()._refine(features(3), detections)
    heads.train(was_training)
    assert [len(x) for x in found] == [3, 0, 1]
    assert (found[0].pred_boxes.tensor != torch.tensor([30.0, 0, 64, 60])).any()
    assert (found[0].pred_boxes.tensor <= 64).all()
    assert found[0].scores.tolist() == pytest.approx([0.9, 0.7, 0.5])


def test_predictor_keeps_the_boxes_of_proposals() -> None:
    predictor = ClassPredictor(ShapeSpec(channels=4), num_classes=2)
    logits = torch.tensor([[9.0, 0, 0], [0, 0, 9], [0, 8, 0]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 9], [20, 20, 30, 40]])
    given = Instances((64, 64), proposal_boxes=Boxes(boxes))
    found, kept = predictor.inference(logits, [given])
    assert found[0].pred_classes.tolist() == [0, 1]
    assert torch.equal(found[0].pred_boxes.tensor, boxes[[0, 2]])
    assert kept[0].tolist() == [0, 2]


def yaml_model(**keys: Any) -> nn.Module:
    cfg = get_cfg()
    add_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.MASK_ON = False
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    heads = cfg.MODEL.ROI_HEADS
    heads.NAME, heads.IN_FEATURES = "GridROIHeads", ["p2", "p3", "p4", "p5"]
    heads.SCORE_THRESH_TEST, heads.NMS_THRESH_TEST = 0.03, 0.3
    cfg.MODEL.ROI_BOX_HEAD.update({"NAME": "FastRCNNConvFCHead", "NUM_FC": 2})
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_GRID_HEAD.update(keys)
    return build_model(cfg)


def test_yaml_and_lazy_models_have_the_same_names() -> None:
    path = CONFIGS / "grid_rcnn" / "grid_rcnn_r50_fpn_gn_1x.py"
    lazy = instantiate(LazyConfig.load(str(path)).model)
    by_name = yaml_model()
    shapes = [
        {k: v.shape for k, v in x.state_dict().items() if "num_batches" not in k}
        for x in (lazy, by_name)
    ]
    assert shapes[0] == shapes[1]


def test_yaml_model_takes_groie_by_name_and_runs() -> None:
    model = yaml_model(
        POOLER_NAME="GRoIEPooler", NUM_CONV=2, POINT_CHANNELS=4, NORM_GROUPS=9, MAX_REGIONS=4
    )
    assert isinstance(model.roi_heads.grid_pooler, GRoIEPooler)
    assert model.roi_heads.max_grid_regions == 4
    with EventStorage():
        losses = model.train()([record("a", height=64, width=64)])
    assert {"loss_cls", "loss_grid"} < set(losses)
    assert "loss_box_reg" not in losses
    with torch.no_grad():
        assert "instances" in model.eval()([{"image": image("a", 64, 64)}])[0]
