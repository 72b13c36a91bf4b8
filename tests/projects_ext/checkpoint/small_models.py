"""A Mask R-CNN of some thousand parameters with bottleneck blocks, and its weights' other names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from tests.two_stage_parity import ROOT

FIRST = "backbone.bottom_up.stem.conv1.weight"
RGB_MEAN, RGB_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def small_mask_rcnn(
    classes: int = 3, bgr: bool = False, std: list[float] | None = None, seed: int = 0, **block: Any
) -> nn.Module:
    """The same at every call with the same arguments; ``block`` changes the bottleneck blocks."""
    torch.manual_seed(seed)
    model = LazyConfig.load(
        str(ROOT / "configs/common/models/mask_rcnn_r50_fpn_openmmlab.py")
    ).model
    widths = [8, 16, 24, 32, 40]
    model.backbone.out_channels = 16
    model.backbone.bottom_up.stem.out_channels = widths[0]
    norm = model.backbone.bottom_up.stem.norm
    model.backbone.bottom_up.stages = [
        L(ResNet.make_stage)(
            **{
                "block_class": BottleneckBlock,
                "num_blocks": 1,
                "stride_per_block": [1 if index == 0 else 2],
                "in_channels": widths[index],
                "bottleneck_channels": 8,
                "out_channels": widths[index + 1],
                "norm": norm,
                "stride_in_1x1": False,
                **block,
            }
        )
        for index in range(4)
    ]
    heads = model.roi_heads
    heads.num_classes = classes
    heads.box_head.fc_dims = [24, 24]
    heads.box_predictor.input_shape.channels = 24
    heads.mask_head.conv_dims = [16, 16]
    order = -1 if bgr else 1
    model.input_format = "BGR" if bgr else "RGB"
    model.pixel_mean = RGB_MEAN[::order]
    model.pixel_std = (RGB_STD if std is None else std)[::order]
    return instantiate(model).eval()


OPENMMLAB = [
    (r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.conv1.weight"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm", "backbone.bn1"),
    (r"shortcut\.weight", "downsample.0.weight"),
    (r"shortcut\.norm", "downsample.1"),
    (r"conv(\d)\.norm", r"bn\1"),
    (r"backbone\.bottom_up\.res(\d)", lambda match: f"backbone.layer{int(match[1]) - 1}"),
    (r"backbone\.fpn_lateral(\d)", lambda match: f"neck.lateral_convs.{int(match[1]) - 2}.conv"),
    (r"backbone\.fpn_output(\d)", lambda match: f"neck.fpn_convs.{int(match[1]) - 2}.conv"),
    (r"proposal_generator\.rpn_head\.conv", "rpn_head.rpn_conv"),
    (r"proposal_generator\.rpn_head\.objectness_logits", "rpn_head.rpn_cls"),
    (r"proposal_generator\.rpn_head\.anchor_deltas", "rpn_head.rpn_reg"),
    (r"box_head\.fc(\d)", lambda match: f"bbox_head.shared_fcs.{int(match[1]) - 1}"),
    (r"box_predictor\.cls_score", "bbox_head.fc_cls"),
    (r"box_predictor\.bbox_pred", "bbox_head.fc_reg"),
    (r"mask_head\.mask_fcn(\d)", lambda match: f"mask_head.convs.{int(match[1]) - 1}.conv"),
    (r"mask_head\.deconv", "mask_head.upsample"),
    (r"mask_head\.predictor", "mask_head.conv_logits"),
    (r"roi_heads\.", "roi_head."),
]  # fmt: skip


CAFFE2 = [
    (r"stem\.conv1\.norm", "res_conv1.norm"),
    (r"stem\.conv1", "conv1"),
    (r"(res\d)\.(\d)\.shortcut", r"\1_\2_branch1"),
    (r"(res\d)\.(\d)\.conv1", r"\1_\2_branch2a"),
    (r"(res\d)\.(\d)\.conv2", r"\1_\2_branch2b"),
    (r"(res\d)\.(\d)\.conv3", r"\1_\2_branch2c"),
    (r"\.norm\.weight", "_bn_s"),
    (r"\.norm\.bias", "_bn_b"),
    (r"\.weight", "_w"),
]  # fmt: skip


def renamed(names: Mapping[str, Tensor], rules: Sequence[tuple[str, Any]]) -> dict[str, Tensor]:
    """The same values; every rule is applied to every name."""
    result = {}
    for name, value in names.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of what counts in a state dict."""
    state = model.state_dict()
    return {name: value.clone() for name, value in state.items() if "batches" not in name}


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below ``prefix``, without it."""
    return {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}


def openmmlab_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights under OpenMMLab's names."""
    return renamed(weights(model), OPENMMLAB)


def torchvision_weights(model: nn.Module) -> dict[str, Tensor]:
    """Its ResNet as torchvision names it, with a classifier."""
    backbone = part(openmmlab_weights(model), "backbone.")
    return {**backbone, "fc.weight": torch.zeros(1000, 40), "fc.bias": torch.zeros(1000)}


def caffe2_weights(model: nn.Module) -> dict[str, Any]:
    """Its ResNet as NumPy arrays under Caffe2's names, statistics merged into scale and bias."""
    backbone = part(weights(model), "backbone.bottom_up.")
    arrays = {
        name: value.numpy()
        for name, value in renamed(backbone, CAFFE2).items()
        if "running" not in name
    }
    rest = {"fc1000_w": np.zeros((1000, 40), np.float32), "conv1_w_momentum": arrays["conv1_w"]}
    return {**arrays, **rest, "model_iter": 7}


def assert_has_weights(model: nn.Module, expected: Mapping[str, Tensor]) -> None:
    """Bit for bit."""
    assert expected
    state = model.state_dict()
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def saved(content: Any, path: Path) -> str:
    """Write ``content`` and return where."""
    torch.save(content, path)
    return str(path)


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below ``prefix``."""
    return {f"{prefix}{name}": value for name, value in state.items()}
