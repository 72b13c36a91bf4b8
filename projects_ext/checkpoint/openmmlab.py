"""OpenMMLab's names (mmdet, mmsegmentation) of what many of its models share.

Values need no change: both count background as the last class, flatten channels, rows, columns
before a linear layer, order box deltas by class and RPN's by anchor.
"""

import re
from typing import Any

from .conventions import PYTORCH, InputConvention, convention_of_config
from .key_map import Format, Rule, Target, Weights
from .resnet_names import is_bare_resnet, resnet_rules

NAME = "OpenMMLab"

_PARTS = (
    "backbone.", "neck.", "rpn_head.", "roi_head.", "bbox_head.", "mask_head.",
    "decode_head.", "auxiliary_head.",
)  # fmt: skip


def fpn_rules(target: Target) -> list[Rule]:
    """The pyramid's levels count from 0 there, and from the stride (2 for 4 pixels) here."""
    found = (re.search(r"fpn_lateral(\d+)\.weight$", name) for name in target.state)
    levels = sorted(int(match[1]) for match in found if match)
    return [
        (rf"neck\.{theirs}_convs\.{index}\.conv\.(\w+)", rf"fpn_{ours}{level}.\1")
        for index, level in enumerate(levels)
        for theirs, ours in (("lateral", "lateral"), ("fpn", "output"))
    ]


def _counted_from_1(new: str) -> Any:
    """Replacement of ``….<index>.<parameter>`` by ``new`` with the index plus 1."""

    def replace(match: re.Match[str]) -> str:
        return f"{new}{int(match[1]) + 1}.{match[2]}"

    return replace


RPN_RULES: list[Rule] = [
    (r"rpn_head\.rpn_conv\.(\w+)", r"rpn_head.conv.\1"),
    (r"rpn_head\.rpn_cls\.(\w+)", r"rpn_head.objectness_logits.\1"),
    (r"rpn_head\.rpn_reg\.(\w+)", r"rpn_head.anchor_deltas.\1"),
]

BOX_HEAD_RULES: list[Rule] = [
    (r"roi_head\.bbox_head\.shared_convs\.(\d+)\.conv\.(\w+)", _counted_from_1("box_head.conv")),
    (r"roi_head\.bbox_head\.shared_fcs\.(\d+)\.(\w+)", _counted_from_1("box_head.fc")),
    (r"roi_head\.bbox_head\.fc_cls\.(\w+)", r"box_predictor.cls_score.\1"),
    (r"roi_head\.bbox_head\.fc_reg\.(\w+)", r"box_predictor.bbox_pred.\1"),
]

MASK_HEAD_RULES: list[Rule] = [
    (r"roi_head\.mask_head\.convs\.(\d+)\.conv\.(\w+)", _counted_from_1("mask_head.mask_fcn")),
    (r"roi_head\.mask_head\.upsample\.(\w+)", r"mask_head.deconv.\1"),
    (r"roi_head\.mask_head\.conv_logits\.(\w+)", r"mask_head.predictor.\1"),
]


def _rules(target: Target) -> list[Rule]:
    return [
        *resnet_rules("backbone."), *resnet_rules(), *fpn_rules(target), *RPN_RULES,
        *BOX_HEAD_RULES, *MASK_HEAD_RULES,
    ]  # fmt: skip


def _meta(weights: Weights) -> dict[str, Any]:
    meta = weights.others.get("meta")
    return meta if isinstance(meta, dict) else {}


def _is_openmmlab(weights: Weights, target: Target) -> bool:
    if is_bare_resnet(set(weights.entries)):
        # torchvision names a ResNet alike; the wrapper tells them apart.
        return weights.wrapper == "state_dict" and bool(_meta(weights))
    return any(name.startswith(_PARTS) for name in weights.entries)


def _convention(weights: Weights) -> InputConvention:
    """From the config that the file holds; without one, the "pytorch" style is assumed."""
    meta = _meta(weights)
    text = meta.get("config") or meta.get("cfg")
    return convention_of_config(text, PYTORCH) if isinstance(text, str) else PYTORCH


def _refuse_version_1(weights: Weights) -> Weights:
    """Before mmdet 2, class 0 was the background.

    The names tell, and not the version in the file: some files of that time have been converted.
    """
    has_rpn = any(name.startswith("rpn_head.") for name in weights.entries)
    if has_rpn and "bbox_head.fc_cls.weight" in weights.entries:
        raise ValueError(
            f"{weights.source} was written by mmdet 1, which numbered classes otherwise: convert "
            "it with tools/model_converters/upgrade_model_version.py of mmdet 2"
        )
    return weights


def _versions(weights: Weights) -> str:
    known = [name for name in ("mmdet", "mmseg") if f"{name}_version" in _meta(weights)]
    return ", ".join(f"{name} {_meta(weights)[f'{name}_version']}" for name in known)


OPENMMLAB = Format(NAME, _is_openmmlab, _rules, _convention, _refuse_version_1, _versions)
