"""Two-stage detectors for tests, built from their parts: one of stock size, one tiny."""

from typing import Any

import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, GeneralizedRCNN, ResNet
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
    StandardROIHeads,
)
from detectron2.structures import BitMasks, Boxes, Instances

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def _resnet50() -> ResNet:
    stages = ResNet.make_default_stages(depth=50, stride_in_1x1=True, norm="FrozenBN")
    stem = BasicStem(in_channels=3, out_channels=64, norm="FrozenBN")
    return ResNet(stem, stages, out_features=["res2", "res3", "res4", "res5"])


def _tiny_resnet() -> ResNet:
    widths = [8, 8, 12, 16, 24]
    stages = [
        ResNet.make_stage(
            BasicBlock, 1, stride_per_block=[1 if index == 0 else 2], in_channels=widths[index],
            out_channels=widths[index + 1], norm="FrozenBN",
        )
        for index in range(4)
    ]  # fmt: skip
    stem = BasicStem(in_channels=3, out_channels=8, norm="FrozenBN")
    return ResNet(stem, stages, out_features=["res2", "res3", "res4", "res5"])


def _fpn(bottom_up: ResNet, channels: int) -> FPN:
    names = ["res2", "res3", "res4", "res5"]
    return FPN(bottom_up, names, channels, top_block=LastLevelMaxPool())


def _rpn(channels: int, topk: tuple[int, int] = (1000, 1000), batch: int = 256) -> RPN:
    return RPN(
        in_features=["p2", "p3", "p4", "p5", "p6"],
        head=StandardRPNHead(in_channels=channels, num_anchors=3),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[32], [64], [128], [256], [512]], aspect_ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64], offset=0.0,
        ),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=batch, positive_fraction=0.5, pre_nms_topk=(2 * topk[0], topk[1]),
        post_nms_topk=topk, nms_thresh=0.7,
    )  # fmt: skip


def _pooler(side: int) -> ROIPooler:
    return ROIPooler(side, (1 / 4, 1 / 8, 1 / 16, 1 / 32), 0, "ROIAlignV2")


def _box_branch(channels: int, fc: int, classes: int, **kwargs: Any) -> tuple[Any, Any]:
    shape = ShapeSpec(channels=channels, height=7, width=7)
    head = FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=[fc, fc])
    kwargs.setdefault("box2box_transform", Box2BoxTransform(weights=BOX_WEIGHTS))
    kwargs.setdefault("test_score_thresh", 0.05)
    predictor = FastRCNNOutputLayers(head.output_shape, num_classes=classes, **kwargs)
    return head, predictor


def _mask_branch(channels: int, convolutions: int, classes: int) -> dict[str, Any]:
    shape = ShapeSpec(channels=channels, height=14, width=14)
    dims = [channels] * (convolutions + 1)
    return {
        "mask_in_features": ["p2", "p3", "p4", "p5"],
        "mask_pooler": _pooler(14),
        "mask_head": MaskRCNNConvUpsampleHead(shape, num_classes=classes, conv_dims=dims),
    }


def mask_rcnn_r50_fpn() -> GeneralizedRCNN:
    """The stock Mask R-CNN R50-FPN: BGR images, 80 classes."""
    head, predictor = _box_branch(256, 1024, 80)
    heads = StandardROIHeads(
        num_classes=80, batch_size_per_image=512, positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=["p2", "p3", "p4", "p5"], box_pooler=_pooler(7), box_head=head,
        box_predictor=predictor, **_mask_branch(256, 4, 80),
    )  # fmt: skip
    return GeneralizedRCNN(
        backbone=_fpn(_resnet50(), 256), proposal_generator=_rpn(256), roi_heads=heads,
        pixel_mean=[103.530, 116.280, 123.675], pixel_std=[1.0, 1.0, 1.0], input_format="BGR",
    )  # fmt: skip


def tiny_rcnn(
    masks: bool = True, cascade: bool = False, classes: int = 3, vis_period: int = 0,
    **heads_kwargs: Any,
) -> GeneralizedRCNN:  # fmt: skip
    """A detector of a few thousand parameters, the same at every call; RGB images of mean 0."""
    torch.manual_seed(7)
    common = {
        "num_classes": classes,
        "batch_size_per_image": 32,
        "positive_fraction": 0.25,
        "box_in_features": ["p2", "p3", "p4", "p5"],
        "box_pooler": _pooler(7),
        **(_mask_branch(8, 1, classes) if masks else {}),
        **heads_kwargs,
    }
    heads: StandardROIHeads
    if cascade:
        coders = [Box2BoxTransform(tuple(k * w for w in BOX_WEIGHTS)) for k in (1, 2, 3)]
        stages = [
            _box_branch(8, 16, classes, box2box_transform=coder, cls_agnostic_bbox_reg=True)
            for coder in coders
        ]
        heads = CascadeROIHeads(
            box_heads=[head for head, _ in stages],
            box_predictors=[predictor for _, predictor in stages],
            proposal_matchers=[Matcher([iou], [0, 1]) for iou in (0.5, 0.6, 0.7)], **common,
        )  # fmt: skip
    else:
        head, predictor = _box_branch(8, 16, classes)
        heads = StandardROIHeads(
            box_head=head, box_predictor=predictor, proposal_matcher=Matcher([0.5], [0, 1]),
            **common,
        )  # fmt: skip
    return GeneralizedRCNN(
        backbone=_fpn(_tiny_resnet(), 8), proposal_generator=_rpn(8, (60, 40), 64),
        roi_heads=heads, pixel_mean=[0.0, 0.0, 0.0], pixel_std=[128.0, 128.0, 128.0],
        input_format="RGB", vis_period=vis_period,
    )  # fmt: skip


def ground_truth(height: int, width: int, boxes: list[list[float]]) -> Instances:
    """Instances with these boxes, classes 0, 1, 2, 0, ... and masks that fill the boxes."""
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, tensor.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return Instances(
        (height, width),
        gt_boxes=Boxes(tensor),
        gt_classes=torch.arange(len(boxes)) % 3,
        gt_masks=BitMasks(masks),
    )


def sample(seed: int, height: int, width: int, boxes: list[list[float]] | None = None) -> dict:
    """An input of a detector: a random image, with ground truth where ``boxes`` is given."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    entry: dict[str, Any] = {"image": image}
    if boxes is not None:
        entry["instances"] = ground_truth(height, width, boxes)
    return entry
