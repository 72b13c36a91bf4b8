"""YAML keys of semantic segmentation, and what is made of them."""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from .inference import PUBLISHED_SCALES, Inference, build_inference
from .losses import CrossEntropy, Dice, OHEMCrossEntropy, SegmentationLoss

LOSSES = ("CrossEntropy", "OHEMCrossEntropy")


def add_semantic_config(cfg: CfgNode) -> None:
    """Add ``MODEL.SEMANTIC``, for MODEL.META_ARCHITECTURE "Segmentor" and its parts.

    Such a model wants MODEL.BACKBONE.NAME "build_dilated_resnet_backbone" and a head "FCNHead" (or
    another system's) in MODEL.SEM_SEG_HEAD.NAME. Of Detectron2's keys there, IN_FEATURES (one),
    CONVS_DIM, NORM, NUM_CLASSES, IGNORE_VALUE and LOSS_WEIGHT hold for the head.
    """
    node = type(cfg)
    cfg.MODEL.SEMANTIC = node(
        {
            # The stem of the backbone: "deep" (three 3x3 convolutions) or "basic" (one of 7x7).
            "STEM": "deep",
            # Of res2 to res5.
            "DILATIONS": [1, 1, 2, 4],
            "STRIDES": [1, 2, 1, 1],
            "NUM_CONVS": 2,
            "CONCAT_INPUT": True,
            "DROPOUT": 0.1,
            "ALIGN_CORNERS": False,
            # CLASS_WEIGHTS: none, or one a class. AVERAGE: over "all" pixels or the "counted" ones.
            "LOSS": {"NAME": "CrossEntropy", "CLASS_WEIGHTS": [], "AVERAGE": "all"},
            # THRESHOLD: 0 for none.
            "OHEM": {"THRESHOLD": 0.7, "MIN_KEPT": 100000},
            # Weight of a Dice loss besides; 0: none.
            "DICE_WEIGHT": 0.0,
            "AUXILIARY": {
                "ENABLED": True,
                "IN_FEATURE": "res4",
                "CONVS_DIM": 256,
                "NUM_CONVS": 1,
                "CONCAT_INPUT": False,
                "LOSS_WEIGHT": 0.4,
            },
            # CROP and STRIDE: (height, width) of windows and of their steps; both empty: the whole
            # image at once. ACCUMULATE_ON: "" for the model's device, or "cpu".
            "INFERENCE": {"CROP": [], "STRIDE": [], "ACCUMULATE_ON": ""},
            # Predict a second time, as "sem_seg_ms_flip".
            "MULTI_SCALE": {"ENABLED": False, "SCALES": list(PUBLISHED_SCALES), "FLIP": True},
        }
    )


def losses_from_config(cfg: CfgNode, weight: float) -> list[SegmentationLoss]:
    """The losses that the config describes.

    Args:
        cfg: the whole config.
        weight: factor of all of them.

    Raises:
        ValueError: an unknown name.
    """
    options, hard = cfg.MODEL.SEMANTIC.LOSS, cfg.MODEL.SEMANTIC.OHEM
    common: dict[str, Any] = {
        "weight": weight,
        "class_weights": options.CLASS_WEIGHTS,
        "average": options.AVERAGE,
    }
    if options.NAME not in LOSSES:
        raise ValueError(
            f"MODEL.SEMANTIC.LOSS.NAME is '{options.NAME}': give {' or '.join(LOSSES)}"
        )
    losses: list[SegmentationLoss] = [
        CrossEntropy(**common)
        if options.NAME == "CrossEntropy"
        else OHEMCrossEntropy(threshold=hard.THRESHOLD or None, min_kept=hard.MIN_KEPT, **common)
    ]
    if cfg.MODEL.SEMANTIC.DICE_WEIGHT:
        losses.append(Dice(weight=weight * cfg.MODEL.SEMANTIC.DICE_WEIGHT))
    return losses


def head_options(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of a head on one feature map, from ``MODEL.SEM_SEG_HEAD`` and ``MODEL.SEMANTIC``.

    Args:
        cfg: the whole config.
        input_shape: feature name -> its channels and stride.

    Raises:
        ValueError: SEM_SEG_HEAD.IN_FEATURES is not one of the backbone's features.
    """
    head, options = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.SEMANTIC
    if len(head.IN_FEATURES) != 1:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {list(head.IN_FEATURES)}: {head.NAME} works on one "
            "feature map, such as [res5]"
        )
    in_feature = head.IN_FEATURES[0]
    return {
        "in_feature": in_feature,
        "input_shape": _shape(in_feature, input_shape, "MODEL.SEM_SEG_HEAD.IN_FEATURES"),
        "channels": head.CONVS_DIM,
        "num_convs": options.NUM_CONVS,
        "concat_input": options.CONCAT_INPUT,
        "losses": losses_from_config(cfg, head.LOSS_WEIGHT),
        **_common_options(cfg),
    }


def auxiliary_options(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of the auxiliary head, from ``MODEL.SEMANTIC.AUXILIARY``; see above."""
    options = cfg.MODEL.SEMANTIC.AUXILIARY
    return {
        "in_feature": options.IN_FEATURE,
        "input_shape": _shape(
            options.IN_FEATURE, input_shape, "MODEL.SEMANTIC.AUXILIARY.IN_FEATURE"
        ),
        "channels": options.CONVS_DIM,
        "num_convs": options.NUM_CONVS,
        "concat_input": options.CONCAT_INPUT,
        "losses": losses_from_config(cfg, options.LOSS_WEIGHT),
        "loss_prefix": "loss_aux",
        **_common_options(cfg),
    }


def _common_options(cfg: CfgNode) -> dict[str, Any]:
    head, options = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.SEMANTIC
    return {
        "num_classes": head.NUM_CLASSES,
        "norm": head.NORM,
        "ignore_value": head.IGNORE_VALUE,
        "dropout": options.DROPOUT,
        "align_corners": options.ALIGN_CORNERS,
    }


def _shape(name: str, input_shape: Mapping[str, ShapeSpec], key: str) -> ShapeSpec:
    if name not in input_shape:
        raise ValueError(
            f"{key} names {name}, which the backbone does not give: choose from "
            f"{', '.join(input_shape)}, or add it to MODEL.RESNETS.OUT_FEATURES"
        )
    return input_shape[name]


def inferences_from_config(cfg: CfgNode) -> tuple[Inference, Inference | None]:
    """How images are predicted, and how a second time, if at all."""
    options, scales = cfg.MODEL.SEMANTIC, cfg.MODEL.SEMANTIC.MULTI_SCALE
    where: dict[str, Any] = {
        "crop": options.INFERENCE.CROP or None,
        "stride": options.INFERENCE.STRIDE or None,
        "accumulate_on": options.INFERENCE.ACCUMULATE_ON or None,
        "align_corners": options.ALIGN_CORNERS,
    }
    second = build_inference(scales=scales.SCALES, flip=scales.FLIP, **where)
    return build_inference(**where), second if scales.ENABLED else None
