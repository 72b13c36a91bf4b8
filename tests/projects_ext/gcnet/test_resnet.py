"""Residual blocks with global context: in every kind of ResNet, at any stage, with any norm."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from detectron2.layers import CNNBlockBase, FrozenBatchNorm2d
from detectron2.modeling.backbone.resnet import (
    BasicBlock,
    BasicStem,
    BottleneckBlock,
    DeformBottleneckBlock,
    ResNet,
)
from projects_ext.gcnet import (
    ContextBasicBlock,
    ContextBottleneckBlock,
    ContextDeformBottleneckBlock,
    add_context,
    make_stages,
)
from projects_ext.layers import ContextBlock
from tests.procedural import procedural_noise, procedural_state
from tests.references.context_block import context_block

NORMS = ["FrozenBN", "BN", "SyncBN", "GN"]
KINDS: dict[str, tuple[type[CNNBlockBase], type[CNNBlockBase], dict[str, Any]]] = {
    "basic": (ContextBasicBlock, BasicBlock, {}),
    "bottleneck": (ContextBottleneckBlock, BottleneckBlock, {"bottleneck_channels": 32}),
    "ResNeXt": (
        ContextBottleneckBlock,
        BottleneckBlock,
        {"bottleneck_channels": 64, "num_groups": 32},
    ),
    "deformable": (
        ContextDeformBottleneckBlock,
        DeformBottleneckBlock,
        {"bottleneck_channels": 32},
    ),
}


def make_procedural(module: nn.Module) -> nn.Module:
    """Weights that are functions of their names, so that a context block is no identity."""
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = procedural_state(shapes, [("context|conv3|conv2|offset", 0.3)])
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return module


def make_stage(kind: str, norm: str = "BN", **options: Any) -> nn.Sequential:
    """Two blocks, the first with a stride and a shortcut of its own."""
    block_class, _, more = KINDS[kind]
    return nn.Sequential(
        *ResNet.make_stage(
            block_class, 2, stride_per_block=[2, 1], in_channels=32, out_channels=64, norm=norm,
            **more, **options,
        )
    )  # fmt: skip


def small_network(stages: list[list[CNNBlockBase]] | None = None, **options: Any) -> ResNet:
    """Three stages of 32 to 128 channels, the second and third with context blocks."""
    if stages is None:
        stages = [
            ResNet.make_stage(
                ContextBottleneckBlock if width > 32 else BottleneckBlock, 2,
                stride_per_block=[1 if width == 32 else 2, 1], in_channels=max(width // 2, 32),
                out_channels=width, bottleneck_channels=32, norm="BN",
            )
            for width in (32, 64, 128)
        ]  # fmt: skip
    names = [f"res{number}" for number in range(2, 2 + len(stages))]
    return ResNet(BasicStem(3, 32, norm="BN"), stages, out_features=names, **options)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_fresh_stage_is_the_plain_one(kind: str, norm: str) -> None:
    plain = nn.Sequential(
        *ResNet.make_stage(
            KINDS[kind][1], 2, stride_per_block=[2, 1], in_channels=32, out_channels=64, norm=norm,
            **KINDS[kind][2],
        )
    )  # fmt: skip
    with_context = make_stage(kind, norm)
    missing, unexpected = with_context.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert len(missing) == 2 * 8
    assert all(".activation." in name for name in missing)
    x = procedural_noise("stage", (2, 32, 9, 7))
    torch.testing.assert_close(with_context(x), plain(x))


@pytest.mark.parametrize("kind", KINDS)
def test_context_comes_after_the_last_norm_and_before_the_addition(kind: str) -> None:
    block: Any = make_procedural(make_stage(kind)).eval()[1]
    last = block.conv2 if kind == "basic" else block.conv3
    context = last.activation
    seen = []
    last.norm.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    x = procedural_noise("order", (2, 64, 6, 5))
    with torch.no_grad():
        found = block(x.clone())
        assert len(seen) == 1
        expected = F.relu(x + context_block(context, seen[0]))
        assert not torch.allclose(expected, F.relu(x + seen[0]), atol=0.01)
    torch.testing.assert_close(found, expected)


DEFORMABLE = pytest.param(
    "deformable",
    marks=pytest.mark.core_only(
        reason="upstream's deformable convolution has no gradient on the CPU"
    ),
)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["basic", "bottleneck", "ResNeXt", DEFORMABLE])
def test_a_gradient_reaches_every_parameter_that_trains(kind: str, norm: str) -> None:
    fusions = ("channel_mul", "channel_add")
    stage = make_procedural(make_stage(kind, norm, ratio=1 / 2, fusions=fusions)).train()
    stage(procedural_noise("gradient", (2, 32, 9, 7))).square().mean().backward()
    for name, parameter in stage.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # The softmax does not see the bias of the mask.
        assert parameter.grad.abs().max() > 0 or name.endswith("mask.bias"), name
    assert not [
        name for name, _ in stage.named_parameters() if norm == "FrozenBN" and "norm" in name
    ]


def test_ratio_pooling_and_fusion_are_free() -> None:
    block: Any = make_stage("bottleneck", ratio=0.3, pooling="avg", fusions=["channel_mul"])[0]
    context = block.conv3.activation
    assert context.mask is None
    assert context.channel_add is None
    assert context.channel_mul[0].out_channels == 19  # int(0.3 * 64)


def test_any_stage_of_a_resnet_has_context() -> None:
    stages = make_stages(
        50,
        context_per_stage=(True, False, True, False),
        deform_per_stage=(False, False, True, True),
        ratio=1 / 4,
        norm="FrozenBN",
    )
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]
    for index, stage in enumerate(stages):
        for block in stage:
            has_context = any(isinstance(part, ContextBlock) for part in block.modules())
            assert has_context == (index in (0, 2))
            assert isinstance(block, DeformBottleneckBlock) == (index in (2, 3))
            assert block.out_channels == 256 * 2**index
    context: Any = stages[2][0].conv3
    assert context.activation.channel_add[0].out_channels == 256


def test_resnext_has_its_groups_and_widths() -> None:
    stages: Any = make_stages(101, num_groups=32, width_per_group=4, norm="BN", ratio=1 / 16)
    assert [len(stage) for stage in stages] == [3, 4, 23, 3]
    for index, stage in enumerate(stages):
        assert stage[0].conv2.groups == 32
        assert stage[0].conv2.out_channels == 128 * 2**index
        assert isinstance(stage[0], ContextBottleneckBlock) == (index > 0)
    count = sum(
        value.numel() for stage in stages for block in stage for value in block.parameters()
    )
    # The stages of ResNeXt-101-32x4d (44.18 million less stem and classifier) and 30 blocks whose
    # bottlenecks have 1/16 of the channels.
    context = sum(
        number * (2 * width * width // 16 + width // 16 * 3 + width + width + 1)
        for number, width in ((4, 512), (23, 1024), (3, 2048))
    )
    assert count == 44_177_704 - (9_408 + 128) - (2048 * 1000 + 1000) + context


@pytest.mark.parametrize("freeze_at", [0, 2, 3])
def test_frozen_stages_have_frozen_context(freeze_at: int) -> None:
    network = small_network(freeze_at=freeze_at)
    for index, name in enumerate(network.stage_names):
        trains = {parameter.requires_grad for parameter in getattr(network, name).parameters()}
        assert trains == {freeze_at < index + 2}


def test_batch_norms_of_a_frozen_block_are_frozen() -> None:
    stage = make_stage("bottleneck", "SyncBN")
    for block in stage:
        block.freeze()
    norms = [module for module in stage.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(norms) == 7
    assert not [parameter for parameter in stage.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("size", [(64, 64), (63, 41), (33, 95), (1, 1)])
def test_an_image_has_its_own_context_whatever_its_size(size: tuple[int, int]) -> None:
    network = make_procedural(small_network()).eval()
    images = procedural_noise("images", (3, 3, *size))
    with torch.no_grad():
        together = network(images)
        alone = [network(image[None]) for image in images]
    for name, value in together.items():
        assert value.isfinite().all()
        torch.testing.assert_close(value, torch.cat([one[name] for one in alone]))


def test_bfloat16_is_near_float32() -> None:
    network = make_procedural(small_network()).eval()
    images = procedural_noise("bfloat16", (2, 3, 64, 48))
    with torch.no_grad():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            low = network(images)
    for name, value in exact.items():
        scale = value.abs().max()
        torch.testing.assert_close(low[name].float() / scale, value / scale, rtol=0, atol=0.03)


def test_saved_weights_give_the_same_outputs(tmp_path: Any) -> None:
    network = make_procedural(small_network()).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    other = small_network().eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    images = procedural_noise("saved", (1, 3, 64, 64))
    for name, value in network(images).items():
        assert torch.equal(value, other(images)[name])


def test_a_stage_compiles_as_one_graph() -> None:
    stage = make_procedural(make_stage("bottleneck")).eval()
    compiled = torch.compile(stage, backend="eager", fullgraph=True)
    x = procedural_noise("compiled", (2, 32, 9, 7))
    torch.testing.assert_close(compiled(x), stage(x))


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="depth is 34: give one of 50, 101, 152"):
        make_stages(34)
    with pytest.raises(ValueError, match="context_per_stage has 3 entries"):
        make_stages(50, context_per_stage=(True, True, True))
    with pytest.raises(ValueError, match="has a BackboneContext already"):
        add_context(make_stage("basic")[0])
