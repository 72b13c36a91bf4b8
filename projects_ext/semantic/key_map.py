"""OpenMMLab's names (mmsegmentation) of dilated networks and their heads."""

from projects_ext.checkpoint import ClassLayer, Format, KeyMap, Rule, Target, Weights
from projects_ext.checkpoint.conventions import PYTORCH, InputConvention
from projects_ext.checkpoint.resnet_names import is_bare_resnet, resnet_rules

HEADS = {"decode_head": "sem_seg_head", "auxiliary_head": "auxiliary_head"}
"""There and here."""


def stem_rules(prefix: str = "") -> list[Rule]:
    """Rules for the three convolutions of a deep stem.

    Convolution, norm and ReLU take three places of a sequence there.

    Args:
        prefix: regular expression for what stands before ``stem``.
    """
    rules: list[Rule] = []
    for number in range(3):
        ours = rf"stem.conv1_{number + 1}"
        rules.append((rf"{prefix}stem\.{3 * number}\.weight", rf"{ours}.weight"))
        rules.append((rf"{prefix}stem\.{3 * number + 1}\.(\w+)", rf"{ours}.norm.\1"))
    return rules


def head_rules() -> list[Rule]:
    """Rules for the convolutions and the classifiers of both heads."""
    rules: list[Rule] = []
    for theirs, ours in HEADS.items():
        rules += [
            (rf"{theirs}\.conv_seg\.(\w+)", rf"{ours}.predictor.\1"),
            (rf"{theirs}\.(convs\.\d+|conv_cat)\.conv\.(\w+)", rf"{ours}.\1.\2"),
            (rf"{theirs}\.(convs\.\d+|conv_cat)\.bn\.(\w+)", rf"{ours}.\1.norm.\2"),
        ]
    return rules


def _is_backbone(weights: Weights, target: Target) -> bool:
    return "stem.0.weight" in weights.entries and is_bare_resnet(set(weights.entries))


def _pytorch(weights: Weights) -> InputConvention:
    return PYTORCH


BACKBONE = Format("ResNet-C", _is_backbone, [*stem_rules(), *resnet_rules()], _pytorch)
"""A backbone trained on ImageNet, such as ``resnet50_v1c-2cccc1ad.pth``; its classifier ``fc`` is
left over."""

KEY_MAP = KeyMap(
    rules={"OpenMMLab": [*stem_rules(r"backbone\."), *head_rules()]},
    formats=(BACKBONE,),
    class_layers=(ClassLayer(r"auxiliary_head\.predictor", decides=True),),
)
