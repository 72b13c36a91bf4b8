"""Convolutions with their norm and activation, small tensor functions, blocks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from detectron2 import layers
from detectron2.layers import (
    CNNBlockBase,
    Conv2d,
    DepthwiseSeparableConv2d,
    FrozenBatchNorm2d,
    ShapeSpec,
    cat,
    cross_entropy,
    move_device_like,
    nonzero_tuple,
    shapes_to_tensor,
)
from tests.procedural import procedural_array


def values(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(procedural_array(f"tests/wrappers/{name}", shape))


class TestConv2d:
    def test_norm_then_activation(self):
        norm = nn.BatchNorm2d(4)
        conv = Conv2d(3, 4, 3, padding=1, bias=False, norm=norm, activation=F.relu)
        plain = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        plain.load_state_dict({"weight": conv.weight})
        conv.eval()
        x = values("x", 2, 3, 6, 5)
        assert torch.equal(conv(x), F.relu(norm(plain(x))))

    def test_state_names(self):
        assert list(Conv2d(3, 4, 1, norm=nn.GroupNorm(2, 4)).state_dict()) == [
            "weight",
            "bias",
            "norm.weight",
            "norm.bias",
        ]
        assert list(Conv2d(3, 4, 1, bias=False).state_dict()) == ["weight"]

    def test_alone_it_is_a_convolution(self):
        conv = Conv2d(3, 4, 3, stride=2)
        assert conv.norm is None
        assert conv.activation is None
        x = values("x", 2, 3, 6, 5)
        assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias, stride=2))

    def test_empty_batch_has_gradients(self):
        conv = Conv2d(3, 4, 3, norm=FrozenBatchNorm2d(4))
        out = conv(torch.zeros(0, 3, 8, 8))
        assert out.shape == (0, 4, 6, 6)
        out.sum().backward()
        assert conv.weight.grad.abs().sum() == 0

    def test_sync_norm_cannot_train_on_nothing(self):
        with pytest.raises((AssertionError, ValueError), match="SyncBatchNorm"):
            Conv2d(3, 4, 3, norm=nn.SyncBatchNorm(4))(torch.zeros(0, 3, 8, 8))


class TestFunctions:
    def test_cat(self):
        one, two = torch.zeros(1, 2), torch.ones(1, 2)
        assert cat([one]) is one
        assert cat([one, two]).shape == (2, 2)
        assert cat((one, two), dim=1).shape == (1, 4)
        with pytest.raises((AssertionError, TypeError)):
            cat(iter([one]))

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_cross_entropy_of_something(self, reduction):
        logits, labels = values("logits", 5, 3), torch.tensor([0, 1, 2, 0, 1])
        ours = cross_entropy(logits, labels, reduction=reduction, label_smoothing=0.1)
        assert torch.equal(
            ours, F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=0.1)
        )

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_cross_entropy_of_nothing_is_zero_with_a_gradient(self, reduction):
        logits = torch.zeros(0, 3, requires_grad=True)
        loss = cross_entropy(logits, torch.zeros(0, dtype=torch.int64), reduction=reduction)
        assert loss.item() == 0
        loss.backward()
        assert logits.grad.shape == (0, 3)

    def test_nonzero_tuple(self):
        rows, columns = nonzero_tuple(torch.tensor([[0, 1], [2, 0]]))
        assert rows.tolist() == [0, 1]
        assert columns.tolist() == [1, 0]
        assert [i.tolist() for i in nonzero_tuple(torch.tensor(3))] == [[0]]

    def test_devices_and_shapes(self):
        meta = torch.zeros(1, device="meta")
        assert move_device_like(torch.zeros(2), meta).device.type == "meta"
        sizes = shapes_to_tensor([3, 4])
        assert sizes.tolist() == [3, 4]
        assert sizes.dtype == torch.int64

    def test_names_of_torch(self):
        assert layers.Linear is nn.Linear
        assert layers.ConvTranspose2d is nn.ConvTranspose2d
        assert layers.interpolate is F.interpolate


def test_shape_spec():
    shape = ShapeSpec(channels=3, stride=4)
    assert (shape.channels, shape.height, shape.width, shape.stride) == (3, None, None, 4)
    assert shape == ShapeSpec(3, stride=4)
    assert str(shape) == "ShapeSpec(channels=3, height=None, width=None, stride=4)"


class TestBlocks:
    def test_freezing(self):
        class Block(CNNBlockBase):
            def __init__(self):
                super().__init__(1, 2, 4)
                self.conv = Conv2d(1, 2, 1, norm=nn.BatchNorm2d(2))

        block = Block()
        assert (block.in_channels, block.out_channels, block.stride) == (1, 2, 4)
        assert block.freeze() is block
        assert isinstance(block.conv.norm, FrozenBatchNorm2d)
        assert not any(parameter.requires_grad for parameter in block.parameters())

    def test_depthwise_separable(self):
        block = DepthwiseSeparableConv2d(
            4, 6, 5, 4, 2, norm1="BN", activation1=F.relu, norm2="", activation2=torch.tanh
        ).eval()
        assert block.depthwise.weight.shape == (4, 1, 5, 5)
        assert block.depthwise.bias is None
        assert block.pointwise.weight.shape == (6, 4, 1, 1)
        assert block.pointwise.bias.tolist() == [0] * 6
        x = values("x", 2, 4, 9, 9)
        inner = F.conv2d(x, block.depthwise.weight, padding=4, dilation=2, groups=4)
        inner = F.relu(block.depthwise.norm(inner))
        expected = torch.tanh(F.conv2d(inner, block.pointwise.weight))
        torch.testing.assert_close(block(x), expected)
        assert block(x[:0]).shape == (0, 6, 9, 9)
