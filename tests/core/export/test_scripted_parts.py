"""Backbones, anchors, pooling, proposals and heads as TorchScript compiles them."""

import copy

import pytest
import torch

from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.export import dump_torchscript_IR, scripting_with_instances
from detectron2.layers import ROIAlign, ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import build_backbone
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.testing import (
    assert_instances_allclose,
    convert_scripted_instances,
    random_boxes,
    reload_script_model,
)
from tests.core.modeling.dense_models import tiny_retinanet

PROPOSALS = {"proposal_boxes": Boxes, "objectness_logits": torch.Tensor}
DETECTIONS = {
    "pred_boxes": Boxes,
    "scores": torch.Tensor,
    "pred_classes": torch.Tensor,
    "pred_masks": torch.Tensor,
}


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", ("MODEL.RESNETS.NORM", "BN")),
        ("COCO-Detection/retinanet_R_50_FPN_1x.yaml", ("MODEL.FPN.FUSE_TYPE", "avg")),
        (
            "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
            ("MODEL.RESNETS.OUT_FEATURES", ["stem", "res3"]),
        ),
    ],
)
def test_backbones(config, keys):
    cfg = model_zoo.get_config(config)
    cfg.merge_from_list(["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, *keys])
    backbone = build_backbone(cfg).eval()
    names = list(backbone.state_dict())
    program = reload_script_model(torch.jit.script(backbone))
    for size in ((64, 96), (128, 32)):
        images = torch.rand(2, 3, *size)
        answer, expected = program(images), backbone(images)
        assert list(answer) == list(expected)
        for name, feature in expected.items():
            torch.testing.assert_close(answer[name], feature)
    # The network itself is as before.
    assert list(backbone.state_dict()) == names


def test_anchors():
    generator = DefaultAnchorGenerator(
        sizes=[[32], [64]], aspect_ratios=[0.5, 1.0], strides=[4, 8], offset=0.5
    )
    program = torch.jit.script(generator)
    for height in (3, 5):
        maps = [torch.rand(1, 2, height, 4), torch.rand(1, 2, 2, height)]
        for answer, expected in zip(program(maps), generator(maps), strict=True):
            assert torch.equal(answer.tensor, expected.tensor)


@pytest.mark.parametrize("scales", [(0.25,), (0.25, 0.125)])
def test_poolers(scales):
    pooler = ROIPooler(5, scales, 0, "ROIAlignV2")
    program = reload_script_model(torch.jit.script(pooler))
    maps = [torch.rand(2, 3, 40, 50) for _ in scales]
    for count in (7, 0):
        boxes = [Boxes(random_boxes(count)), Boxes(random_boxes(2))]
        assert torch.equal(program(maps, boxes), pooler(maps, boxes))


def test_roi_align():
    layer = ROIAlign((3, 4), 0.5, 2)
    rois = torch.cat([torch.zeros(3, 1), random_boxes(3)], dim=1)
    features = torch.rand(1, 2, 60, 60, dtype=torch.float64)
    assert torch.equal(torch.jit.script(layer)(features, rois), layer(features, rois))


def two_images():
    sizes = [(60, 80), (64, 70)]
    return ImageList(torch.rand(2, 3, 64, 80), sizes), {"res4": torch.rand(2, 16, 4, 5)}


def small_cfg():
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.update(NUM_CLASSES=3, SCORE_THRESH_TEST=0.01, NMS_THRESH_TEST=0.5)
    cfg.MODEL.ROI_BOX_HEAD.update(NAME="FastRCNNConvFCHead", NUM_FC=1, FC_DIM=32, NUM_CONV=1)
    cfg.MODEL.ROI_BOX_HEAD.update(CONV_DIM=8, POOLER_TYPE="ROIAlignV2")
    cfg.MODEL.ROI_MASK_HEAD.update(NUM_CONV=1, CONV_DIM=8)
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 100
    return cfg


@pytest.mark.parametrize("agnostic", [False, True])
def test_proposals_and_heads(agnostic):
    cfg = small_cfg()
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = agnostic
    cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = agnostic
    torch.manual_seed(0)
    shape = {"res4": ShapeSpec(channels=16, stride=16)}
    rpn, heads = RPN(cfg, shape).eval(), StandardROIHeads(cfg, shape).eval()
    images, features = two_images()
    proposals, _ = rpn(images, features)
    detections, _ = heads(images, features, [copy.deepcopy(x) for x in proposals])
    assert min(len(x) for x in detections) > 3

    program = scripting_with_instances(rpn, PROPOSALS)
    found = program(images, features)[0]
    for answer, expected in zip(found, proposals, strict=True):
        assert answer.image_size == expected.image_size
        assert_instances_allclose(convert_scripted_instances(answer), expected, rtol=0)

    # Both in one, since the proposals of one program are of a class that another does not know.
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rpn, self.heads = rpn, heads

        def forward(self, images: ImageList, features: dict[str, torch.Tensor]):
            proposals, _ = self.rpn(images, features)
            return self.heads(images, features, proposals)[0]

    both = scripting_with_instances(Both().eval(), {**PROPOSALS, **DETECTIONS})
    for answer, expected in zip(both(images, features), detections, strict=True):
        assert_instances_allclose(convert_scripted_instances(answer), expected, rtol=1e-5)
    assert not hasattr(Instances, "__torch_script_class__")


def test_heads_without_masks():
    cfg = small_cfg()
    cfg.MODEL.MASK_ON = False
    heads = StandardROIHeads(cfg, {"res4": ShapeSpec(channels=16, stride=16)}).eval()
    # Which branches there are stays part of the class's types, for the next one as well.
    scripting_with_instances(heads, {**PROPOSALS, **DETECTIONS})
    scripting_with_instances(heads, {**PROPOSALS, **DETECTIONS})
    assert not heads.mask_on


def test_modules_in_training_mode_are_not_scripted():
    with pytest.raises(AssertionError):
        scripting_with_instances(torch.nn.ReLU().train(), PROPOSALS)


@pytest.mark.core_only(reason="core scripts the parts of models")
def test_whole_models_are_refused():
    with pytest.raises(NotImplementedError, match="script its parts, trace it with"):
        scripting_with_instances(tiny_retinanet().eval(), DETECTIONS)


def test_sizes_of_resized_images():
    def resized(image: torch.Tensor) -> tuple[int, int]:
        height, width = image.shape[-2], image.shape[-1]
        return T.ResizeShortestEdge.get_output_shape(height, width, 80, 133)

    program = torch.jit.script(resized)
    for size in ((10, 10), (8, 100), (300, 7)):
        assert program(torch.rand(3, *size)) == resized(torch.rand(3, *size))


def test_dumped_programs(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    for name, program in {
        "traced": torch.jit.trace(module, torch.rand(1, 2)),
        "scripted": torch.jit.script(module),
        "function": torch.jit.trace(lambda x: x + 1, torch.rand(2)),
    }.items():
        folder = tmp_path / name
        dump_torchscript_IR(program, str(folder))
        texts = {file.name: file.read_text() for file in folder.iterdir()}
        kinds = {"model_ts_code.txt", "model_ts_IR.txt", "model_ts_IR_inlined.txt"}
        assert set(texts) == kinds | (set() if name == "function" else {"model.txt"})
        assert "def forward" in texts["model_ts_code.txt"] or name == "function"
        if name != "function":
            assert "aten::linear" in texts["model_ts_IR_inlined.txt"]
            assert "Linear" in texts["model.txt"]
        assert "graph(" in texts["model_ts_IR.txt"]
