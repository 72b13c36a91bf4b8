"""ResNet against torchvision's (another implementation of the same networks), and its options."""

import pytest
import torch
import torchvision
from torch import nn

from detectron2.config import get_cfg
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, ResNet, build_backbone, make_stage
from detectron2.modeling.backbone import build_resnet_backbone
from detectron2.modeling.backbone.resnet import (
    BasicBlock,
    BasicStem,
    BottleneckBlock,
    DeformBottleneckBlock,
    ResNetBlockBase,
)
from detectron2.modeling.proposal_generator import build_proposal_generator
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from tests.core.modeling.dense_models import load_procedural, tiny_resnet

BAD_INPUT = (AssertionError, ValueError)
ALL = ["res2", "res3", "res4", "res5"]
# What upstream's weights add up to.
SEEDED_SUMS = [1.86442, -17.83356, -0.9667, 1.84376, 0.67594]


def torchvision_name(name):
    """``res3.0.conv2.norm.weight`` -> ``layer2.0.bn2.weight``."""
    name = name.removeprefix("stem.").replace("linear.", "fc.")
    for stage in range(2, 6):
        name = name.replace(f"res{stage}.", f"layer{stage - 1}.")
    name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
    for number in range(1, 4):
        name = name.replace(f"conv{number}.norm.", f"bn{number}.")
    return name


@pytest.mark.parametrize(
    ("reference", "depth", "options"),
    [
        ("resnet18", 18, {}),
        ("resnet50", 50, {}),
        ("resnext50_32x4d", 50, {"num_groups": 32, "width": 4}),
    ],
)
def test_equals_torchvision(reference, depth, options):
    config = get_cfg()
    config.MODEL.RESNETS.DEPTH = depth
    config.MODEL.RESNETS.NORM = "BN"
    config.MODEL.RESNETS.STRIDE_IN_1X1 = False
    config.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    config.MODEL.RESNETS.NUM_GROUPS = options.get("num_groups", 1)
    config.MODEL.RESNETS.WIDTH_PER_GROUP = options.get("width", 64)
    config.MODEL.RESNETS.OUT_FEATURES = ["stem", *ALL]
    config.MODEL.BACKBONE.FREEZE_AT = 0
    ours = load_procedural(build_resnet_backbone(config, ShapeSpec(channels=3)).eval())
    theirs = getattr(torchvision.models, reference)(weights=None).eval()
    state = {torchvision_name(name): value for name, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])

    images = torch.randn(1, 3, 71, 90, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours(images)
        expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        torch.testing.assert_close(features["stem"], expected)
        for name, layer in zip(ALL, ["layer1", "layer2", "layer3", "layer4"], strict=True):
            expected = getattr(theirs, layer)(expected)
            bound = 1e-5 * float(expected.abs().max())
            torch.testing.assert_close(features[name], expected, rtol=0, atol=bound)
            shape = ours.output_shape()[name]
            assert features[name].shape[1] == shape.channels
            assert features[name].shape[2] == -(-71 // shape.stride)


def test_classifier_equals_torchvision():
    ours = ResNet(BasicStem(), ResNet.make_default_stages(18), num_classes=7).eval()
    load_procedural(ours)
    theirs = torchvision.models.resnet18(num_classes=7).eval()
    theirs.load_state_dict({torchvision_name(k): v for k, v in ours.state_dict().items()})
    images = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours(images)
        assert list(features) == ["linear"]
        torch.testing.assert_close(features["linear"], theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_depth_counts_the_layers_with_weights(depth):
    stages = ResNet.make_default_stages(depth)
    per_block = 2 if depth < 50 else 3
    assert per_block * sum(len(stage) for stage in stages) + 2 == depth
    assert [stage[0].stride for stage in stages] == [1, 2, 2, 2]
    assert {block.stride for stage in stages for block in stage[1:]} == {1}
    assert isinstance(stages[0][0], BasicBlock if depth < 50 else BottleneckBlock)


def test_default_stages_take_another_block_class():
    class MyBlock(BottleneckBlock):
        pass

    stages = ResNet.make_default_stages(50, MyBlock, norm="GN", stride_in_1x1=True)
    assert all(type(block) is MyBlock for stage in stages for block in stage)
    first = stages[1][0]
    assert first.conv1.stride == (2, 2)
    assert first.conv2.stride == (1, 1)
    assert isinstance(first.conv3.norm, nn.GroupNorm)
    assert [stage[-1].conv2.out_channels for stage in stages] == [64, 128, 256, 512]


def test_seeds_give_the_initialisation_of_c2_msra():
    torch.manual_seed(0)
    block = BottleneckBlock(64, 128, bottleneck_channels=256)
    expected = (2 / (9 * 256)) ** 0.5
    assert float(block.conv2.weight.detach().std()) == pytest.approx(expected, rel=0.02)


def test_a_seed_gives_a_c4_model_the_weights_it_gives_upstream():
    torch.manual_seed(121)
    cfg = get_cfg()
    backbone = build_backbone(cfg)
    rpn = build_proposal_generator(cfg, backbone.output_shape())
    heads = FastRCNNConvFCHead(
        ShapeSpec(channels=4, height=3, width=3), conv_dims=[6, 5], fc_dims=[8, 7]
    )
    sums = [
        float(weight.detach().double().sum())
        for weight in (backbone.stem.conv1.weight, rpn.rpn_head.conv.weight,
                       heads.conv2.weight, heads.fc1.weight, heads.fc2.weight)
    ]  # fmt: skip
    assert sums == pytest.approx(SEEDED_SUMS, abs=1e-4)


def test_state_dict_names_of_blocks():
    bottleneck = BottleneckBlock(8, 16, bottleneck_channels=4, norm="FrozenBN").state_dict()
    parts = ["weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
    convs = ["shortcut", "conv1", "conv2", "conv3"]
    assert [key for key in bottleneck if not key.endswith("tracked")] == [
        f"{conv}.{part}" for conv in convs for part in parts
    ]
    assert BasicBlock(8, 8).shortcut is None
    deform = DeformBottleneckBlock(8, 16, bottleneck_channels=4, deform_num_groups=2)
    assert deform.state_dict()["conv2_offset.weight"].shape == (36, 4, 3, 3)


def test_per_block_arguments():
    stage = ResNet.make_stage(
        BottleneckBlock, 3, in_channels=4, out_channels=8, bottleneck_channels=2,
        stride_per_block=[2, 1, 1], dilation_per_block=[1, 2, 4],
    )  # fmt: skip
    assert [block.stride for block in stage] == [2, 1, 1]
    assert [block.conv2.dilation for block in stage] == [(1, 1), (2, 2), (4, 4)]
    assert [block.in_channels for block in stage] == [4, 8, 8]
    assert len(make_stage(BasicBlock, 2, in_channels=3, out_channels=3)) == 2
    with pytest.raises(BAD_INPUT, match="stride_per_block"):
        ResNet.make_stage(BasicBlock, 2, in_channels=3, out_channels=3, stride_per_block=[1])


def test_stages_after_the_last_output_are_dropped():
    network = tiny_resnet(["res3", "stem"])
    assert network.stage_names == ("res2", "res3")
    assert not hasattr(network, "res4")
    assert list(network.output_shape()) == ["res3", "stem"]
    assert network.output_shape()["res3"] == ShapeSpec(channels=16, stride=8)
    assert list(tiny_resnet(None).output_shape()) == ["res5"]


def test_unknown_output_is_refused():
    with pytest.raises(BAD_INPUT, match="stem"):
        tiny_resnet(["res7"])


def test_wrong_input_and_empty_stage_are_refused():
    with pytest.raises(BAD_INPUT, match=r"\(N, C, H, W\)"):
        tiny_resnet(["res2"])(torch.zeros(3, 32, 32))
    with pytest.raises(BAD_INPUT):
        ResNet(BasicStem(3, 8), [[]])


@pytest.mark.parametrize("freeze_at", [0, 1, 2, 3])
def test_freezing(freeze_at):
    network = tiny_resnet(ALL, norm="BN")
    assert network.freeze(freeze_at) is network
    frozen = {
        name.split(".")[0]
        for name, module in network.named_modules()
        if isinstance(module, FrozenBatchNorm2d)
    }
    assert frozen == set(["stem", "res2", "res3"][:freeze_at])
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (name.split(".")[0] not in frozen)
    network.train()
    sum(value.sum() for value in network(torch.randn(2, 3, 64, 64)).values()).backward()
    trained = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert trained == {"stem", *ALL} - frozen


def configured(**resnets):
    config = get_cfg()
    config.MODEL.RESNETS.OUT_FEATURES = ["res4", "res5"]
    for key, value in resnets.items():
        config.MODEL.RESNETS[key] = value
    return build_backbone(config)


def test_dilated_res5_keeps_the_stride():
    network = configured(RES5_DILATION=2)
    assert isinstance(network, Backbone)
    assert {name: shape.stride for name, shape in network.output_shape().items()} == {
        "res4": 16,
        "res5": 16,
    }
    assert network.res5[0].conv2.dilation == (2, 2)
    assert isinstance(network.stem.conv1.norm, FrozenBatchNorm2d)
    assert not network.res2[0].conv1.weight.requires_grad
    assert network.res3[0].conv1.weight.requires_grad


@pytest.mark.parametrize(
    "resnets",
    [
        {"RES5_DILATION": 3},
        {"DEPTH": 18},
        {"DEPTH": 18, "RES2_OUT_CHANNELS": 64, "NUM_GROUPS": 2},
        {"DEPTH": 34, "RES2_OUT_CHANNELS": 64, "DEFORM_ON_PER_STAGE": [False, True, True, True]},
    ],
)
def test_impossible_configs_are_refused(resnets):
    with pytest.raises(BAD_INPUT):
        configured(**resnets)


def test_unknown_depth_is_refused():
    with pytest.raises(KeyError, match="20"):
        ResNet.make_default_stages(20)


def test_registry():
    assert "build_resnet_backbone" in BACKBONE_REGISTRY
    assert ResNetBlockBase in BasicBlock.__mro__


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.core_only(reason="upstream's deformable convolution has no CPU form")
def test_deformable_block_starts_as_a_bottleneck(modulated):
    options = {"bottleneck_channels": 6, "stride": 2, "num_groups": 2, "dilation": 2, "norm": "BN"}
    deform = DeformBottleneckBlock(
        8, 16, **options, deform_modulated=modulated, deform_num_groups=3
    ).eval()
    plain = BottleneckBlock(8, 16, **options).eval()
    state = {k: v for k, v in deform.state_dict().items() if "offset" not in k}
    if modulated:  # all factors start at sigmoid(0)
        state["conv2.weight"] = state["conv2.weight"] / 2
    plain.load_state_dict(state)
    x = torch.randn(2, 8, 17, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(deform(x), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.core_only(reason="upstream's deformable convolution has no CPU form")
def test_deformable_offsets_shift_the_samples():
    block = DeformBottleneckBlock(
        4, 4, bottleneck_channels=4, norm="", deform_modulated=True
    ).double()
    nn.init.dirac_(block.conv2.weight)
    x = torch.rand(1, 4, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    block.conv2_offset.bias.data[:18:2] = 1.0  # one row down, at every sample
    block.conv2_offset.bias.data[18:] = 50.0  # factor 1
    middle = torch.relu(block.conv1(x))
    moved = torch.zeros_like(middle)
    moved[:, :, :-1] = middle[:, :, 1:]
    torch.testing.assert_close(block(x), torch.relu(block.conv3(moved) + x))
    block(x).sum().backward()
    assert float(block.conv2_offset.weight.grad.abs().sum()) > 0


@pytest.mark.core_only(reason="upstream's deformable convolution has no CPU form")
def test_deformable_network_from_config():
    network = configured(DEFORM_ON_PER_STAGE=[False, False, False, True], DEFORM_MODULATED=True)
    assert isinstance(network.res5[0], DeformBottleneckBlock)
    assert isinstance(network.res4[0], BottleneckBlock)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 40, 50))["res5"].shape == (1, 2048, 2, 2)


def test_batch_of_one_equals_its_part_of_a_batch():
    network = load_procedural(tiny_resnet(ALL)).eval()
    images = torch.randn(3, 3, 53, 77, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = network(images)
        for index in range(3):
            for name, value in network(images[index : index + 1]).items():
                torch.testing.assert_close(value[0], whole[name][index])


def test_bfloat16_autocast():
    network = load_procedural(tiny_resnet(ALL, norm="BN")).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        loss = sum(value.float().square().mean() for value in features.values())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
