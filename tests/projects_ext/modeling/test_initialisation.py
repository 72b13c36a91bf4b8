"""Initial values, by their spread."""

import math

import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from projects_ext.modeling import KaimingLogitsMaskHead, XavierUniformFPN


def test_pyramid() -> None:
    torch.manual_seed(0)
    stage = ResNet.make_stage(BasicBlock, 1, stride_per_block=[1], in_channels=8, out_channels=96)
    bottom_up = ResNet(BasicStem(out_channels=8), [stage], out_features=["res2"])
    fpn = XavierUniformFPN(bottom_up, ["res2"], 32)
    for layer, fan in ((fpn.fpn_lateral2, 96 + 32), (fpn.fpn_output2, 9 * 64)):
        bound, weight = math.sqrt(6 / fan), layer.weight.detach()
        assert 0.98 * bound < float(weight.abs().max()) <= bound
        assert abs(float(weight.std()) - bound / math.sqrt(3)) < 0.03 * bound
        assert not layer.bias.any()


def test_mask_logits() -> None:
    torch.manual_seed(0)
    shape = ShapeSpec(channels=16, height=14, width=14)
    head = KaimingLogitsMaskHead(shape, num_classes=80, conv_dims=[16, 64])
    expected = math.sqrt(2 / 80)
    assert abs(float(head.predictor.weight.detach().std()) - expected) < 0.05 * expected
    assert not head.predictor.bias.any()
