"""OpenMMLab's names (mmdet, mmsegmentation) of what many of its models share.

Values need no change: both count background as the last class, flatten channels, rows, columns
before a linear layer, order box deltas by class and RPN's by anchor.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
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


def _counted_from_1(head: str, layer: str) -> Any:
    """Replacement of a head's stage (empty without a cascade), a layer's index and a parameter.

    Gives ``<head>.<stage>.<layer><index + 1>.<parameter>``.
    """

    def replace(match: re.Match[str]) -> str:
        stage, index, parameter = match.groups()
        return f"{head}{stage}.{layer}{int(index) + 1}.{parameter}"

    return replace


RPN_RULES: list[Rule] = [
    (r"rpn_head\.rpn_conv\.(\w+)", r"rpn_head.conv.\1"),
    (r"rpn_head\.rpn_cls\.(\w+)", r"rpn_head.objectness_logits.\1"),
    (r"rpn_head\.rpn_reg\.(\w+)", r"rpn_head.anchor_deltas.\1"),
]

# The stages of a cascade have a number each.
_BOX_HEAD, _MASK_HEAD = r"roi_head\.bbox_head(|\.\d+)\.", r"roi_head\.mask_head(|\.\d+)\."

BOX_HEAD_RULES: list[Rule] = [
    (_BOX_HEAD + r"shared_convs\.(\d+)\.conv\.(\w+)", _counted_from_1("box_head", "conv")),
    (_BOX_HEAD + r"shared_fcs\.(\d+)\.(\w+)", _counted_from_1("box_head", "fc")),
    (_BOX_HEAD + r"fc_cls\.(\w+)", r"box_predictor\1.cls_score.\2"),
    (_BOX_HEAD + r"fc_reg\.(\w+)", r"box_predictor\1.bbox_pred.\2"),
]

MASK_HEAD_RULES: list[Rule] = [
    (_MASK_HEAD + r"convs\.(\d+)\.conv\.(\w+)", _counted_from_1("mask_head", "mask_fcn")),
    (_MASK_HEAD + r"upsample\.(\w+)", r"mask_head\1.deconv.\2"),
    (_MASK_HEAD + r"conv_logits\.(\w+)", r"mask_head\1.predictor.\2"),
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


def _prepare(weights: Weights) -> Weights:
    """Without what is no weight of the model; refused if of another numbering.

    Before mmdet 2, class 0 was the background. The names tell, and not the version in the file:
    some files of that time have been converted.

    MMCV keeps a second copy of averaged models, ``ema_…``: the copy that was evaluated has the
    plain names. MMEngine keeps it apart from the state dict.
    """
    has_rpn = any(name.startswith("rpn_head.") for name in weights.entries)
    if has_rpn and "bbox_head.fc_cls.weight" in weights.entries:
        raise ValueError(
            f"{weights.source} was written by mmdet 1, which numbered classes otherwise: convert "
            "it with tools/model_converters/upgrade_model_version.py of mmdet 2"
        )
    kept = {
        name: value
        for name, value in weights.entries.items()
        if not name.startswith(("ema_", "data_preprocessor."))
    }
    copies = sum(name.startswith("ema_") for name in weights.entries)
    averaged = copies or "ema_state_dict" in weights.others
    remark = "weights are the moving average, as they were evaluated; its other copy is not read"
    return replace(
        weights, entries=kept, remarks=(*weights.remarks, *([remark] if averaged else []))
    )


def _versions(weights: Weights) -> str:
    meta = _meta(weights)
    known = [name for name in ("mmdet", "mmseg", "mmengine") if f"{name}_version" in meta]
    # MMEngine's own version tells least.
    known = known[:-1] if len(known) > 1 and known[-1] == "mmengine" else known
    return ", ".join(f"{name} {meta[f'{name}_version']}" for name in known)


def _classes(weights: Weights) -> Sequence[str] | None:
    """Up to mmdet 2 and mmseg 0 ``CLASSES``; later ``dataset_meta``, whose key has changed too."""
    meta = _meta(weights)
    data_set = meta.get("dataset_meta")
    data_set = data_set if isinstance(data_set, dict) else {}
    found = meta.get("CLASSES") or data_set.get("classes") or data_set.get("CLASSES")
    if isinstance(found, str):
        return [found]
    return [str(name) for name in found] if isinstance(found, list | tuple) else None


OPENMMLAB = Format(NAME, _is_openmmlab, _rules, _convention, _prepare, _versions, _classes)
