"""OpenMMLab's and AdelaiDet's names of CondInst."""

import re

import torch
from torch import Tensor

from projects_ext.checkpoint import COUNTER, ClassLayer, Format, KeyMap, Rule, Target, Weights
from projects_ext.checkpoint.conventions import InputConvention, caffe2_convention

_BRANCH = r"mask_head\.mask_feature_head\."

RULES: list[Rule] = [
    (r"neck\.fpn_convs\.3\.conv\.(\w+)", r"top_block.p6.\1"),
    (r"neck\.fpn_convs\.4\.conv\.(\w+)", r"top_block.p7.\1"),
    # Convolution, norm and activation take three places of a tower.
    *(
        (rf"bbox_head\.{theirs}\.{index}\.{part}\.(\w+)", rf"head.{ours}.{3 * index + place}.\1")
        for theirs, ours in (("cls_convs", "cls_subnet"), ("reg_convs", "bbox_subnet"))
        for index in range(8)
        for place, part in enumerate(("conv", "gn"))
    ),
    (r"bbox_head\.conv_cls\.(\w+)", r"head.cls_score.\1"),
    (r"bbox_head\.conv_reg\.(\w+)", r"head.bbox_pred.\1"),
    (r"bbox_head\.conv_centerness\.(\w+)", r"head.ctrness.\1"),
    (r"bbox_head\.controller\.(\w+)", r"head.controller.\1"),
    (r"bbox_head\.scales\.(\d+)\.scale", r"head.scales.\1"),
    (_BRANCH + r"convs_all_levels\.(\d+)\.conv\d+\.conv\.(\w+)", r"mask_branch.levels.\1.\2"),
    (_BRANCH + r"convs_all_levels\.(\d+)\.conv\d+\.bn\.(\w+)", r"mask_branch.levels.\1.norm.\2"),
    (_BRANCH + r"conv_branch\.(\d+)\.conv\.(\w+)", r"mask_branch.tower.\1.\2"),
    (_BRANCH + r"conv_branch\.(\d+)\.bn\.(\w+)", r"mask_branch.tower.\1.norm.\2"),
    (_BRANCH + r"conv_pred\.(\w+)", r"mask_branch.predictor.\1"),
]

_FCOS = "proposal_generator.fcos_head."

_ADELAIDET: list[tuple[str, str]] = [
    (r"head\.(cls|bbox)_subnet\.(\d+\.\w+)", _FCOS + r"\1_tower.\2"),
    (r"head\.cls_score\.(\w+)", _FCOS + r"cls_logits.\1"),
    (r"head\.(bbox_pred|ctrness)\.(\w+)", _FCOS + r"\1.\2"),
    (r"head\.scales\.(\d+)", _FCOS + r"scales.\1.scale"),
    (r"head\.controller\.(\w+)", r"controller.\1"),
    (r"mask_branch\.levels\.(\d+)\.norm\.(\w+)", r"mask_branch.refine.\1.1.\2"),
    (r"mask_branch\.levels\.(\d+)\.(\w+)", r"mask_branch.refine.\1.0.\2"),
    (r"mask_branch\.tower\.(\d+)\.norm\.(\w+)", r"mask_branch.tower.\1.1.\2"),
    (r"mask_branch\.tower\.(\d+)\.(\w+)", r"mask_branch.tower.\1.0.\2"),
    (r"semantic_branch\.convs\.(\d+)\.norm\.(\w+)", r"mask_branch.seg_head.\1.1.\2"),
    (r"semantic_branch\.convs\.(\d+)\.(\w+)", r"mask_branch.seg_head.\1.0.\2"),
    (r"semantic_branch\.predictor\.(\w+)", r"mask_branch.logits.\1"),
]
"""Names here and there; those of the backbone are the same."""

_CONSTANTS = r"mask_head\.(?:_iter|sizes_of_interest)"
"""An iteration that only another method needs, and numbers that follow from the config."""


def adelaidet_name(name: str, target: Target) -> str:
    """What AdelaiDet calls an entry of a CondInst here."""
    last = re.fullmatch(r"mask_branch\.predictor\.(\w+)", name)
    if last:
        # It is the last of the tower there.
        convs = [
            key for key in target.state if re.fullmatch(r"mask_branch\.tower\.\d+\.weight", key)
        ]
        return f"mask_branch.tower.{len(convs)}.{last[1]}"
    for pattern, theirs in _ADELAIDET:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(theirs)
    return name


def _nothing(name: str, value: Tensor) -> list[tuple[str, Tensor]] | None:
    return [] if re.fullmatch(_CONSTANTS, name) else None


def _scale(name: str, value: Tensor) -> list[tuple[str, Tensor]] | None:
    """The factors of the levels are vectors of one number there."""
    match = re.fullmatch(re.escape(_FCOS) + r"scales\.(\d+)\.scale", name)
    return [(f"head.scales.{match[1]}", value.reshape(()))] if match else None


def _rules(target: Target) -> list[Rule]:
    """One rule for each entry of the model, so that both directions are the same mapping."""
    pairs = ((adelaidet_name(name, target), name) for name in target.state)
    return [_nothing, _scale, *((re.escape(theirs), name) for theirs, name in pairs)]


def _is_adelaidet(weights: Weights, target: Target) -> bool:
    return "controller.weight" in weights.entries and any(
        name.startswith(_FCOS) for name in weights.entries
    )


def _convention(weights: Weights) -> InputConvention | None:
    return caffe2_convention(weights.entries)


ADELAIDET = Format("AdelaiDet", _is_adelaidet, _rules, _convention)
"""The original repository's checkpoints, https://github.com/aim-uofa/AdelaiDet."""


def adelaidet_entries(target: Target) -> dict[str, Tensor]:
    """The weights of a model under AdelaiDet's names, as its own CondInst loads them.

    Args:
        target: a CondInst.
    """
    entries: dict[str, Tensor] = {}
    for name, value in target.state.items():
        # There, norms of the backbone are frozen and count nothing.
        if not (name.startswith("backbone.") and name.endswith(COUNTER)):
            vector = name.startswith("head.scales.")
            entries[adelaidet_name(name, target)] = value.reshape(1) if vector else value
    model = target.model
    sizes = [stride * model.mask_head.size_of_interest for stride in model.strides]  # type: ignore
    entries["mask_head.sizes_of_interest"] = torch.tensor(sizes)
    entries["mask_head._iter"] = torch.zeros(1)
    return entries


KEY_MAP = KeyMap(
    rules={"OpenMMLab": RULES},
    formats=(ADELAIDET,),
    exports={"AdelaiDet": adelaidet_entries},
    class_layers=(
        ClassLayer(r"head\.cls_score", decides=True),
        ClassLayer(r"semantic_branch\.predictor", decides=True),
    ),
)
