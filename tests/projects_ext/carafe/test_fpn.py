"""The CARAFE pyramid against its literal form, and in the place of Detectron2's."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import FPN
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from projects_ext.carafe import CARAFEFPN
from projects_ext.gcnet import ContextBasicBlock
from projects_ext.layers import CARAFEUpsample, ContextBlock
from projects_ext.modeling import XavierUniformFPN
from tests.procedural import procedural_noise, procedural_state
from tests.references import carafe_pyramid
from tests.small_systems import CONFIGS, image, record, small_config

FEATURES = ["res2", "res3", "res4", "res5"]


def bottom_up() -> Any:
    """The small models' ResNet."""
    return instantiate(small_config("carafe mask").backbone.bottom_up)


def with_procedural_weights(module: nn.Module) -> nn.Module:
    """Weights that are functions of their names, kernels that are far from uniform included."""
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = procedural_state(shapes, [("lateral", 0.3), ("encoder", 2.0)])
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return module.eval()


@pytest.fixture(scope="module")
def pyramid() -> Any:
    return with_procedural_weights(instantiate(small_config("carafe mask").backbone))


@pytest.mark.parametrize("size", [(64, 128), (97, 66), (33, 130), (1, 40)])
def test_literal_form_at_any_size(pyramid: Any, size: tuple[int, int]) -> None:
    images = procedural_noise(f"{size}", (2, 3, *size))
    with torch.no_grad():
        found, expected = pyramid(images), carafe_pyramid.pyramid(pyramid, images)
    assert list(found) == ["p2", "p3", "p4", "p5", "p6"]
    for level, (name, value) in enumerate(found.items(), start=2):
        assert value.shape[2:] == tuple(math.ceil(side / 2**level) for side in size)
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4)


def test_shapes_and_padding_that_it_announces(pyramid: Any) -> None:
    shapes = pyramid.output_shape()
    assert [(name, x.channels, x.stride) for name, x in shapes.items()] == [
        (f"p{level}", 64, 2**level) for level in range(2, 7)
    ]
    assert pyramid.size_divisibility == 64
    assert pyramid.padding_constraints == {"square_size": 0}


def test_model_pads_to_multiples_of_64() -> None:
    model = instantiate(small_config("carafe mask"))
    assert model.preprocess_image([{"image": image("a", 65, 100)}]).tensor.shape[2:] == (128, 128)


def test_extra_level_is_learnt_and_reaches_the_finest(pyramid: Any) -> None:
    images = procedural_noise("images", (1, 3, 64, 64))
    (pyramid(images)["p2"] ** 2).sum().backward()
    assert pyramid.fpn_lateral6.weight.grad.any()
    assert pyramid.fpn_output6.weight.grad is None
    pyramid.zero_grad(set_to_none=True)


@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
def test_plain_fpn_if_pixels_are_copied(fuse_type: str) -> None:
    network = bottom_up()
    options = {"in_features": FEATURES, "out_channels": 16, "fuse_type": fuse_type}
    plain = XavierUniformFPN(network, **options, top_block=LastLevelMaxPool(), square_pad=32)
    other = CARAFEFPN(
        network,
        **options,
        top_block=LastLevelMaxPool(),
        square_pad=32,
        extra_levels=0,
        upsamplers=[nn.Upsample(scale_factor=2) for _ in range(3)],
    )
    assert isinstance(other, FPN)
    assert other.load_state_dict(plain.state_dict()) == ([], [])
    assert other.output_shape() == plain.output_shape()
    assert other.size_divisibility == plain.size_divisibility == 32
    assert other.padding_constraints == plain.padding_constraints
    images = procedural_noise("images", (2, 3, 64, 96))
    with torch.no_grad():
        found, expected = other.eval()(images), plain.eval()(images)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_top_block_of_dense_detectors() -> None:
    blocks = LastLevelP6P7(16, 16, in_feature="p5")
    model = CARAFEFPN(bottom_up(), FEATURES[1:], 16, top_block=blocks, extra_levels=0)
    assert len(model.upsamplers) == 2
    assert all(isinstance(part, CARAFEUpsample) for part in model.upsamplers)
    with torch.no_grad():
        found = model(procedural_noise("images", (1, 3, 64, 64)))
        assert torch.equal(found["p6"], blocks(found["p5"])[0])
    assert [len(x[0, 0]) for x in found.values()] == [8, 4, 2, 1, 1]
    assert list(found) == list(model.output_shape()) == ["p3", "p4", "p5", "p6", "p7"]


def test_two_extra_levels_and_norm() -> None:
    model = CARAFEFPN(bottom_up(), FEATURES[2:], 8, norm="BN", extra_levels=2)
    assert model.size_divisibility == 128
    assert model.fpn_lateral7.weight.shape == (8, 8, 3, 3)
    assert model.fpn_lateral7.bias is None
    assert isinstance(model.fpn_output7.norm, nn.BatchNorm2d)
    found = model(procedural_noise("images", (2, 3, 96, 160)))
    assert [tuple(x.shape[2:]) for x in found.values()] == [(6, 10), (3, 5), (2, 3), (1, 2)]


def test_initial_values_are_the_references() -> None:
    torch.manual_seed(0)
    model = CARAFEFPN(bottom_up(), FEATURES, 64)
    for level, inputs in ((5, 256), (6, 256 * 9)):
        weight = getattr(model, f"fpn_lateral{level}").weight
        bound = math.sqrt(6 / (inputs + 64 * (9 if level == 6 else 1)))
        assert 0.98 * bound < weight.abs().max() <= bound
    assert not model.fpn_lateral6.bias.any()
    assert not model.fpn_output6.bias.any()
    for part in model.upsamplers:
        assert part.encoder.weight.std().item() == pytest.approx(0.001, rel=0.05)
        assert not part.encoder.bias.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_block": LastLevelMaxPool()}, "extra_levels is 1 and top_block is LastLevelMaxPool"),
        ({"extra_levels": -1}, "extra_levels is -1"),
        ({"upsamplers": [nn.Upsample(scale_factor=2)] * 3}, "3 upsamplers .*: give 4"),
    ],
)
def test_parts_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CARAFEFPN(bottom_up(), FEATURES, 16, **options)


def test_upsampler_that_does_not_upsample() -> None:
    # The coarsest map is a single pixel, which would be added to all.
    model = CARAFEFPN(bottom_up(), FEATURES, 16, upsamplers=[nn.Identity() for _ in range(4)])
    with pytest.raises(ValueError, match=r"gave \(1, 16, 1, 1\) for a level of \(1, 16, 2, 2\)"):
        model(torch.zeros(1, 3, 64, 64))


def test_with_other_systems_by_configuration() -> None:
    config = small_config("carafe mask")
    for stage in config.backbone.bottom_up.stages[1:]:
        stage.update(block_class=ContextBasicBlock, ratio=1 / 4)
    plain = LazyConfig.load(str(CONFIGS / "groie" / "mask_rcnn_groie_shapes.py")).model
    config.roi_heads.box_pooler = plain.roi_heads.box_pooler
    model = instantiate(config)
    assert sum(isinstance(part, ContextBlock) for part in model.modules()) == 3
    with torch.no_grad():
        found = model.eval()([{"image": record("a", height=64, width=64)["image"]}])[0]
    assert found["instances"].pred_masks.shape[1:] == (64, 64)


def test_pyramid_of_condinst_by_configuration() -> None:
    exchange = LazyConfig.load(str(CONFIGS / "common/models/carafe.py"), "use_carafe_pyramid")
    model = LazyConfig.load(str(CONFIGS / "common/models/condinst_r50_fpn.py")).model
    exchange(model, extra_levels=0, compressed_channels=16)
    with torch.device("meta"):
        pyramid = instantiate(model.backbone)
        found = pyramid(torch.zeros(1, 3, 128, 64))
    assert isinstance(pyramid.top_block, LastLevelP6P7)
    assert [part.compressor.out_channels for part in pyramid.upsamplers] == [16, 16]
    assert [(name, tuple(x.shape[2:])) for name, x in found.items()] == [
        ("p3", (16, 8)), ("p4", (8, 4)), ("p5", (4, 2)), ("p6", (2, 1)), ("p7", (1, 1)),
    ]  # fmt: skip
