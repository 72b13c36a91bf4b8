import pytest
import torch

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, build_box_head

SHAPE = ShapeSpec(channels=6, height=5, width=3)


@pytest.mark.parametrize("norm", ["", "BN"])
def test_state_names(norm):
    head = FastRCNNConvFCHead(SHAPE, conv_dims=[4, 8], fc_dims=[16, 10], conv_norm=norm)
    shapes = {k: tuple(v.shape) for k, v in head.state_dict().items() if "norm" not in k}
    expected = {
        "conv1.weight": (4, 6, 3, 3),
        "conv2.weight": (8, 4, 3, 3),
        "fc1.weight": (16, 8 * 5 * 3),
        "fc1.bias": (16,),
        "fc2.weight": (10, 16),
        "fc2.bias": (10,),
    }
    if not norm:
        expected.update({"conv1.bias": (4,), "conv2.bias": (8,)})
    assert shapes == expected
    assert ("conv1.norm.weight" in head.state_dict()) == bool(norm)


def test_output_is_rectified_and_of_the_announced_shape():
    torch.manual_seed(0)
    x = torch.randn(7, 6, 5, 3)
    head = FastRCNNConvFCHead(SHAPE, conv_dims=[4], fc_dims=[16])
    out = head(x)
    assert out.shape == (7, head.output_shape.channels)
    assert head.output_shape == ShapeSpec(channels=16)
    assert (out >= 0).all()
    assert (out > 0).any()
    convolutional = FastRCNNConvFCHead(SHAPE, conv_dims=[4], fc_dims=[])
    assert convolutional.output_shape == ShapeSpec(channels=4, height=5, width=3)
    assert convolutional(x).shape == (7, 4, 5, 3)
    assert head(x[:0]).shape == (0, 16)


def test_is_what_its_layers_say():
    torch.manual_seed(0)
    head = FastRCNNConvFCHead(SHAPE, conv_dims=[4], fc_dims=[16])
    x = torch.randn(2, 6, 5, 3)
    hidden = torch.nn.functional.conv2d(x, head.conv1.weight, head.conv1.bias, padding=1).relu()
    expected = (hidden.reshape(2, -1) @ head.fc1.weight.T + head.fc1.bias).relu()
    torch.testing.assert_close(head(x), expected)


def test_needs_a_layer():
    with pytest.raises((ValueError, AssertionError)):
        FastRCNNConvFCHead(SHAPE, conv_dims=[], fc_dims=[])


def test_yaml_route():
    cfg = get_cfg()
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_CONV, cfg.MODEL.ROI_BOX_HEAD.CONV_DIM = 4, 8
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 12
    cfg.MODEL.ROI_BOX_HEAD.NORM = "BN"
    head = build_box_head(cfg, SHAPE)
    assert [name for name, _ in head.named_children()] == [
        "conv1", "conv2", "conv3", "conv4", "flatten", "fc1", "fc_relu1",
    ]  # fmt: skip
    assert head.output_shape.channels == 12
