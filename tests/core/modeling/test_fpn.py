"""FPN: the sums written out, names, shapes, padding, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, build_backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from tests.core.modeling.dense_models import load_procedural, tiny_resnet

BAD_INPUT = (AssertionError, ValueError)
ALL = ["res2", "res3", "res4", "res5"]


def images(height=64, width=96, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
@pytest.mark.parametrize("norm", ["", "GN"])
def test_equals_the_definition(fuse_type, norm):
    network = FPN(tiny_resnet(ALL), ALL, 32, norm=norm, fuse_type=fuse_type)
    load_procedural(network).eval()
    with torch.no_grad():
        answer = network(images())
        bottom_up = network.bottom_up(images())
        merged = network.fpn_lateral5(bottom_up["res5"])
        torch.testing.assert_close(answer["p5"], network.fpn_output5(merged))
        for level in (4, 3, 2):
            lateral = getattr(network, f"fpn_lateral{level}")(bottom_up[f"res{level}"])
            merged = lateral + merged.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            merged = merged / (2 if fuse_type == "avg" else 1)
            expected = getattr(network, f"fpn_output{level}")(merged)
            torch.testing.assert_close(answer[f"p{level}"], expected)
    assert list(answer) == ["p2", "p3", "p4", "p5"]


def test_names_and_shapes_with_max_pool():
    network = FPN(tiny_resnet(ALL), ALL, 16, top_block=LastLevelMaxPool())
    names = [name for name in network.state_dict() if not name.startswith("bottom_up.")]
    assert names == [
        f"fpn_{kind}{level}.{part}"
        for level in range(2, 6)
        for kind in ("lateral", "output")
        for part in ("weight", "bias")
    ]
    assert network.output_shape() == {
        f"p{level}": ShapeSpec(channels=16, stride=2**level) for level in range(2, 7)
    }
    assert network.size_divisibility == 32
    assert network.in_features == tuple(ALL)
    assert network.lateral_convs[0] is network.fpn_lateral5
    with torch.no_grad():
        features = network(images(96, 64))
    assert torch.equal(features["p6"], features["p5"][:, :, ::2, ::2])
    for name, shape in network.output_shape().items():
        height, width = -(-96 // shape.stride), -(-64 // shape.stride)
        assert features[name].shape == (2, 16, height, width)


def test_norm_replaces_the_bias():
    network = FPN(tiny_resnet(ALL), ALL, 32, norm="BN")
    assert "fpn_lateral2.norm.running_var" in network.state_dict()
    assert "fpn_lateral2.bias" not in network.state_dict()


@pytest.mark.parametrize(("source", "channels"), [("res5", 64), ("p5", 16)])
def test_p6_p7(source, channels):
    top = LastLevelP6P7(channels, 16, source)
    network = load_procedural(
        FPN(tiny_resnet(ALL), ["res3", "res4", "res5"], 16, top_block=top)
    ).eval()
    assert list(network.output_shape()) == ["p3", "p4", "p5", "p6", "p7"]
    assert "top_block.p7.weight" in network.state_dict()
    with torch.no_grad():
        features = network(images())
        below = network.bottom_up(images())["res5"] if source == "res5" else features["p5"]
        p6 = F.conv2d(below, top.p6.weight, top.p6.bias, stride=2, padding=1)
        p7 = F.conv2d(p6.clamp(min=0), top.p7.weight, top.p7.bias, stride=2, padding=1)
    torch.testing.assert_close(features["p6"], p6)
    torch.testing.assert_close(features["p7"], p7)


def test_padding_constraints():
    assert FPN(tiny_resnet(ALL), ALL, 8, square_pad=128).padding_constraints == {"square_size": 128}
    assert FPN(tiny_resnet(ALL), ALL, 8).padding_constraints == {"square_size": 0}
    assert tiny_resnet(ALL).padding_constraints == {}
    assert tiny_resnet(ALL).size_divisibility == 0


@pytest.mark.parametrize(
    ("in_features", "options"),
    [(["res2", "res4"], {}), (["res3", "res2"], {}), ([], {}), (ALL, {"fuse_type": "max"})],
)
def test_bad_arguments(in_features, options):
    with pytest.raises(BAD_INPUT):
        FPN(tiny_resnet(ALL), in_features, 16, **options)


@pytest.mark.core_only(reason="upstream fails without a sentence")
def test_bad_arguments_are_explained():
    with pytest.raises(ValueError, match="has no output 'res9'; its outputs are res2, res3"):
        FPN(tiny_resnet(ALL), ["res9"], 16)
    with pytest.raises(ValueError, match=r"strides \[4, 16\]"):
        FPN(tiny_resnet(ALL), ["res2", "res4"], 16)
    network = FPN(tiny_resnet(ALL), ["res2", "res3"], 16, top_block=LastLevelMaxPool())
    with pytest.raises(KeyError, match="works on 'p5'"):
        network(images())


@pytest.mark.core_only(reason="upstream takes only sizes that are divisible")
def test_sizes_that_are_not_divisible():
    network = FPN(tiny_resnet(ALL), ALL, 16, top_block=LastLevelMaxPool()).eval()
    with torch.no_grad():
        features = network(images(75, 101, 1))
    assert [tuple(f.shape[2:]) for f in features.values()] == [
        (19, 26), (10, 13), (5, 7), (3, 4), (2, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("builder", "names"),
    [
        ("build_resnet_fpn_backbone", ["p2", "p3", "p4", "p5", "p6"]),
        ("build_retinanet_resnet_fpn_backbone", ["p3", "p4", "p5", "p6", "p7"]),
    ],
)
def test_from_config(builder, names):
    config = get_cfg()
    config.MODEL.BACKBONE.NAME = builder
    config.MODEL.RESNETS.DEPTH = 18
    config.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    config.MODEL.RESNETS.OUT_FEATURES = ALL
    config.MODEL.FPN.IN_FEATURES = ALL if "p2" in names else ALL[1:]
    config.MODEL.FPN.OUT_CHANNELS = 24
    assert builder in BACKBONE_REGISTRY
    network = build_backbone(config)
    assert list(network.output_shape()) == names
    with torch.no_grad():
        assert all(feature.shape[1] == 24 for feature in network(images()).values())


def test_batch_of_one_equals_its_part_of_a_batch():
    network = load_procedural(FPN(tiny_resnet(ALL), ALL, 16, top_block=LastLevelMaxPool()))
    batch = images(count=3)
    with torch.no_grad():
        whole = network.eval()(batch)
        for name, value in network(batch[1:2]).items():
            error = (value[0] - whole[name][1]).abs().max() / value.abs().max()
            assert float(error) < 1e-5


def test_bfloat16_autocast():
    network = FPN(tiny_resnet(ALL), ALL, 16, fuse_type="avg")
    load_procedural(network)
    with torch.no_grad():
        exact = network(images())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(images())
    for name, value in rough.items():
        assert value.dtype == torch.bfloat16
        error = (value.float() - exact[name]).abs().max() / exact[name].abs().max()
        assert float(error) < 0.05
