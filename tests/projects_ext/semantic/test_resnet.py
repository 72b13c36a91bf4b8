"""Dilated ResNets: strides, dilations, names."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from detectron2.modeling.backbone.resnet import ResNet
from projects_ext.semantic import DeepStem, make_dilated_stages
from tests.procedural import procedural_noise
from tests.projects_ext.semantic.models import with_procedural_weights

FEATURES = ["res2", "res3", "res4", "res5"]


def network(**options: Any) -> ResNet:
    stages = make_dilated_stages(blocks=(2, 1, 2, 2), width=8, stem_channels=16, **options)
    return ResNet(DeepStem(3, 16), stages, out_features=FEATURES)


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_dilations_and_strides_of_d8(depth: int) -> None:
    with torch.device("meta"):
        stages = make_dilated_stages(depth)
    counts = {50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
    assert [len(stage) for stage in stages] == counts[depth]
    for index, stage in enumerate(stages):
        dilations = [block.conv2.dilation[0] for block in stage]
        strides = [block.conv2.stride[0] for block in stage]
        assert dilations[0] == (1, 1, 1, 2)[index]
        assert set(dilations[1:]) == {(1, 1, 2, 4)[index]}
        assert strides == [(1, 2, 1, 1)[index]] + [1] * (len(stage) - 1)
        assert all(block.conv1.stride == (1, 1) for block in stage)
        assert stage[-1].out_channels == 256 * 2**index


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 31)])
def test_shapes(size: tuple[int, int]) -> None:
    model = network().eval()
    shapes = model.output_shape()
    assert [shapes[name].stride for name in FEATURES] == [4, 8, 8, 8]
    with torch.no_grad():
        found = model(torch.rand(2, 3, *size))
    for name in FEATURES:
        stride = shapes[name].stride
        assert found[name].shape[1] == shapes[name].channels
        assert found[name].shape[2:] == tuple(-(-length // stride) for length in size)


def test_dilation_keeps_what_a_stride_would_leave_out() -> None:
    """Yu et al., arXiv 1705.09914, section 2: every second cell is the strided network's.

    That holds where the first block of a dilated stage has the dilation that came before it.
    """
    dilated = with_procedural_weights(network(dilations=(1, 1, 2, 4))).eval()
    strided = with_procedural_weights(network(dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2))).eval()
    images = procedural_noise("dilated", (1, 3, 64, 96))
    with torch.no_grad():
        fine, coarse = dilated(images), strided(images)
    torch.testing.assert_close(fine["res3"], coarse["res3"])
    torch.testing.assert_close(fine["res4"][..., ::2, ::2], coarse["res4"])
    torch.testing.assert_close(fine["res5"][..., ::4, ::4], coarse["res5"])


def test_stem_is_three_convolutions_and_a_pooling() -> None:
    stem: Any = with_procedural_weights(DeepStem(3, 16)).eval()
    assert (stem.stride, stem.out_channels) == (4, 16)
    x = expected = procedural_noise("stem", (1, 3, 21, 30))
    for part, stride in ((stem.conv1_1, 2), (stem.conv1_2, 1), (stem.conv1_3, 1)):
        expected = F.conv2d(expected, part.weight, stride=stride, padding=1)
        expected = F.relu(part.norm(expected))
    expected = F.max_pool2d(expected, 3, 2, 1)
    torch.testing.assert_close(stem(x), expected)
    assert [part.out_channels for part in (stem.conv1_1, stem.conv1_2, stem.conv1_3)] == [8, 8, 16]


def test_freezing() -> None:
    model = network()
    model.freeze(2)
    trained = {name.split(".")[0] for name, x in model.named_parameters() if x.requires_grad}
    assert trained == {"res3", "res4", "res5"}
    assert not [part for part in model.stem.modules() if isinstance(part, nn.BatchNorm2d)]


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="depth is 34: give one of 50, 101, 152"):
        make_dilated_stages(34)
    with pytest.raises(ValueError, match="dilations has 3 entries: give one for each of the 4"):
        make_dilated_stages(50, dilations=(1, 1, 2))
    with pytest.raises(ValueError, match="strides has 5 entries"):
        make_dilated_stages(50, strides=(1, 2, 1, 1, 1))
