"""ResNet weights under the names of torchvision, which OpenMMLab shares, and of Caffe2.

He et al., "Deep Residual Learning for Image Recognition" (https://arxiv.org/abs/1512.03385),
Table 1: conv2_x to conv5_x are ``res2`` to ``res5`` in Detectron2, ``layer1`` to ``layer4`` there.
"""

import re
from collections.abc import Sequence

import torch

from .conventions import FACEBOOK_RESNEXT, MSRA, PYTORCH, InputConvention
from .key_map import Format, Rule, Target, Weights


def resnet_rules(prefix: str = "") -> list[Rule]:
    """Rules from torchvision's names, with ``prefix`` before them, to Detectron2's."""
    start = re.escape(prefix)
    rules: list[Rule] = [
        (rf"{start}conv1\.weight", r"stem.conv1.weight"),
        (rf"{start}bn1\.(\w+)", r"stem.conv1.norm.\1"),
    ]
    for layer in range(1, 5):
        block, ours = rf"{start}layer{layer}\.(\d+)", rf"res{layer + 1}.\1"
        rules += [
            (rf"{block}\.conv(\d)\.weight", rf"{ours}.conv\2.weight"),
            (rf"{block}\.conv2(?:\.conv)?_offset\.(\w+)", rf"{ours}.conv2_offset.\2"),
            (rf"{block}\.bn(\d)\.(\w+)", rf"{ours}.conv\2.norm.\3"),
            (rf"{block}\.downsample\.0\.weight", rf"{ours}.shortcut.weight"),
            (rf"{block}\.downsample\.1\.(\w+)", rf"{ours}.shortcut.norm.\2"),
        ]
    return rules


def is_bare_resnet(names: Sequence[str] | set[str]) -> bool:
    """Whether a ResNet's names stand there without a prefix."""
    return any(re.fullmatch(r"layer\d\.0\.conv1\.weight", name) for name in names)


def _is_torchvision(weights: Weights, target: Target) -> bool:
    return is_bare_resnet(set(weights.entries))


def _pytorch(weights: Weights) -> InputConvention:
    return PYTORCH


def _refuse_pooled_shortcuts(weights: Weights) -> Weights:
    """ResNet-D's shortcuts begin with a pooling, which no model here has."""
    pooled = "layer2.0.downsample.2.weight"
    if pooled in weights.entries:
        raise ValueError(
            f"{weights.source} holds a ResNet-D, whose shortcuts are pooled, and the model's are "
            "strided: give weights of a plain ResNet or ResNet-C, such as resnet50 or resnet50c"
        )
    return weights


TORCHVISION = Format(
    "torchvision ResNet", _is_torchvision, resnet_rules(), _pytorch, _refuse_pooled_shortcuts
)
"""``resnet50-0676ba61.pth``, say; its classifier ``fc`` is left over. timm's plain ResNets and
ResNeXts are named and normalised alike."""


def _is_timm(weights: Weights, target: Target) -> bool:
    """By what timm alone has: a deep stem in ``conv1``, or its checkpoints' ``arch``."""
    deep = "conv1.0.weight" in weights.entries
    return is_bare_resnet(set(weights.entries)) and (deep or "arch" in weights.others)


def _deep_stem_rules() -> list[Rule]:
    """Three convolutions in ``conv1``, norms and ReLUs between them; the last norm is ``bn1``."""
    rules: list[Rule] = [(r"bn1\.(\w+)", r"stem.conv1_3.norm.\1")]
    for number in range(3):
        ours = f"stem.conv1_{number + 1}"
        rules.append((rf"conv1\.{3 * number}\.weight", f"{ours}.weight"))
        rules.append((rf"conv1\.{3 * number + 1}\.(\w+)", rf"{ours}.norm.\1"))
    return rules


def _timm_rules(target: Target) -> list[Rule]:
    deep = any("stem.conv1_3." in name for name in target.state)
    return [*(_deep_stem_rules() if deep else []), *resnet_rules()]


TIMM = Format("timm ResNet", _is_timm, _timm_rules, _pytorch, _refuse_pooled_shortcuts)
"""ResNets and ResNeXts of timm, with its deep stem ("resnet50c") or without."""


_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}


def _block_weight(match: re.Match[str]) -> str:
    stage, block, branch = match.groups()
    return f"res{stage}.{block}.{_BRANCHES[branch]}.weight"


def _block_norm(match: re.Match[str]) -> str:
    stage, block, branch, what = match.groups()
    return f"res{stage}.{block}.{_BRANCHES[branch]}.norm.{_NORM[what]}"


def _stem_norm(match: re.Match[str]) -> str:
    return f"stem.conv1.norm.{_NORM[match[1]]}"


_CAFFE2_RULES: list[Rule] = [
    (r"conv1_w", "stem.conv1.weight"),
    (r"(?:res_)?conv1_bn_(s|b|rm|riv)", _stem_norm),
    (r"res(\d)_(\d+)_branch(1|2[abc])_w", _block_weight),
    (r"res(\d)_(\d+)_branch(1|2[abc])_bn_(s|b|rm|riv)", _block_norm),
]


def _is_caffe2(weights: Weights, target: Target) -> bool:
    return "conv1_w" in weights.entries and "res2_0_branch2a_w" in weights.entries


def _with_statistics(weights: Weights) -> Weights:
    """Without momenta, and with the neutral statistics of norms merged into scale and bias."""
    entries = {name: x for name, x in weights.entries.items() if not name.endswith("_momentum")}
    for name, value in list(entries.items()):
        if name.endswith("_bn_s"):
            norm = name.removesuffix("_s")
            entries.setdefault(f"{norm}_rm", torch.zeros_like(value))
            entries.setdefault(f"{norm}_riv", torch.ones_like(value))
    return Weights(weights.source, entries, weights.others, weights.wrapper)


def _caffe2_convention(weights: Weights) -> InputConvention:
    """The original ResNets are MSRA's; ResNeXt (grouped 3x3) is Facebook's, on scaled images."""
    middle = weights.entries.get("res2_0_branch2b_w")
    if middle is not None and middle.shape[1] != middle.shape[0]:
        return FACEBOOK_RESNEXT
    return MSRA


CAFFE2 = Format(
    "Detectron2 ImageNet ResNet (Caffe2 names)",
    _is_caffe2,
    _CAFFE2_RULES,
    _caffe2_convention,
    _with_statistics,
)
"""``detectron2://ImageNetPretrained/MSRA/R-50.pkl``, say."""
