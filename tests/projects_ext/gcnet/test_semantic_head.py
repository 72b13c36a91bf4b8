"""The segmentation head of GCNet: where its context stands, and its options."""

from typing import Any

import pytest
import torch

from detectron2.layers import ShapeSpec
from projects_ext.gcnet import GCHead
from projects_ext.semantic import CrossEntropy, FCNHead
from tests.procedural import procedural_noise, procedural_state
from tests.references.context_block import context_block


def head(head_class: Any = GCHead, **options: Any) -> Any:
    return head_class(
        in_feature="res5",
        input_shape=ShapeSpec(channels=12, stride=8),
        channels=8,
        num_classes=3,
        losses=[CrossEntropy()],
        **options,
    ).eval()


def with_procedural_weights(module: Any) -> Any:
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    state = procedural_state(shapes)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return module


def test_a_fresh_head_is_the_plain_one() -> None:
    with_context, plain = head(), head(FCNHead)
    missing, unexpected = plain.load_state_dict(with_context.state_dict(), strict=False)
    assert missing == []
    assert {name.split(".")[0] for name in unexpected} == {"context"}
    features = {"res5": procedural_noise("head", (2, 12, 5, 7))}
    torch.testing.assert_close(with_context.layers(features), plain.layers(features))


@pytest.mark.parametrize("options", [{}, {"pooling": "avg", "fusions": ("channel_mul",)}])
def test_context_follows_the_first_convolution(options: Any) -> None:
    module = with_procedural_weights(head(ratio=1 / 2, **options))
    x = procedural_noise("context", (2, 12, 5, 7))
    with torch.no_grad():
        first = module.convs[0](x)
        expected = module.convs[1](context_block(module.context, first))
        torch.testing.assert_close(module.convolve(x), expected)
        assert not torch.allclose(module.convs[1](first), expected, atol=0.01)
        logits = module.predictor(module.conv_cat(torch.cat([x, expected], 1)))
        torch.testing.assert_close(module.layers({"res5": x}), logits)


def test_the_published_bottleneck() -> None:
    module = GCHead(
        in_feature="res5", input_shape=ShapeSpec(channels=16, stride=8), channels=512,
        num_classes=19, losses=[CrossEntropy()],
    )  # fmt: skip
    assert module.context.channel_add[0].out_channels == 128
    assert module.context.channel_mul is None


def test_no_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="global context follows the head's first convolution"):
        GCHead(
            in_feature="res5", input_shape=ShapeSpec(channels=8, stride=8), channels=8,
            num_classes=3, losses=[CrossEntropy()], num_convs=0,
        )  # fmt: skip
