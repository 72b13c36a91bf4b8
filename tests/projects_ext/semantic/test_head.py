"""Heads by themselves: what they are made of, and how they talk to Detectron2."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.layers import ShapeSpec
from projects_ext.semantic import CrossEntropy, Dice, FCNHead, OHEMCrossEntropy
from projects_ext.semantic.head import upsample
from tests.procedural import procedural_noise
from tests.projects_ext.semantic.models import with_procedural_weights


def head(**options: Any) -> Any:
    given: dict[str, Any] = {
        "in_feature": "res5",
        "input_shape": ShapeSpec(channels=12, stride=8),
        "channels": 8,
        "num_classes": 3,
        "losses": [CrossEntropy()],
        **options,
    }
    return with_procedural_weights(FCNHead(**given)).eval()


def feature(name: str = "feature") -> dict[str, Tensor]:
    return {"res5": procedural_noise(name, (2, 12, 5, 7)), "res4": torch.zeros(2, 6, 5, 7)}


def conv_norm_relu(layer: Any, x: Tensor, dilation: int = 1) -> Tensor:
    pad = dilation * (layer.weight.shape[-1] // 2)
    x = F.conv2d(x, layer.weight, layer.bias, padding=pad, dilation=dilation)
    return F.relu(x if layer.norm is None else layer.norm(x))


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("concat", [True, False])
def test_layers_by_hand(concat: bool, dilation: int) -> None:
    module = head(concat_input=concat, dilation=dilation)
    x = feature()["res5"]
    expected = x
    for layer in module.convs:
        expected = conv_norm_relu(layer, expected, dilation)
    if concat:
        expected = conv_norm_relu(module.conv_cat, torch.cat([x, expected], 1))
    expected = F.conv2d(expected, module.predictor.weight, module.predictor.bias)
    torch.testing.assert_close(module.layers(feature()), expected)


def test_without_convolutions_the_feature_map_is_classified() -> None:
    module = head(num_convs=0, channels=12, concat_input=False)
    expected = module.predictor(feature()["res5"])
    torch.testing.assert_close(module.layers(feature()), expected)
    with pytest.raises(ValueError, match="res5's 12 channels cannot become 8: set channels to 12"):
        head(num_convs=0)


def test_dropout_leaves_out_whole_channels_in_training_alone() -> None:
    module = head(dropout=0.5).train()
    seen: list[Tensor] = []
    module.dropout.register_forward_hook(lambda part, inputs, output: seen.append(output))
    torch.manual_seed(0)
    module.layers(feature())
    kept = seen[0].flatten(2).any(-1)
    assert kept.any()
    assert not kept.all()
    module.eval().layers(feature())
    assert isinstance(module.dropout, nn.Dropout2d)
    torch.testing.assert_close(seen[1], module.refine(feature()["res5"]))


def test_logits_have_the_size_that_is_asked_for() -> None:
    module = head()
    logits, losses = module(feature())
    assert losses == {}
    assert logits.shape == (2, 3, 40, 56)
    assert module.logits(feature(), (37, 50)).shape == (2, 3, 37, 50)
    assert torch.equal(module.logits(feature(), (5, 7)), module.layers(feature()))


def test_align_corners_keeps_centres() -> None:
    x = procedural_noise("corners", (1, 2, 3, 4))
    found = upsample(x, (17, 25), True)
    torch.testing.assert_close(found[..., ::8, ::8], x)
    assert not torch.allclose(upsample(x, (17, 25), False)[..., ::8, ::8], x, atol=1e-3)


def test_several_losses_are_told_apart() -> None:
    losses = [CrossEntropy(), OHEMCrossEntropy(), Dice(weight=2.0)]
    module = head(losses=losses, loss_prefix="loss_x").train()
    labels = torch.zeros(2, 40, 56, dtype=torch.long)
    logits, found = module(feature(), labels)
    assert logits is None
    assert set(found) == {"loss_x_ce", "loss_x_ohem", "loss_x_dice"}
    with pytest.raises(ValueError, match="the losses are called .*: each once, please"):
        head(losses=[Dice(), Dice()])


def test_labels_of_any_size_train() -> None:
    module = head(align_corners=True).train()
    labels = torch.randint(0, 3, (2, 33, 49))
    found = module(feature(), labels)[1]["loss_sem_seg_ce"]
    logits = F.interpolate(module.layers(feature()), (33, 49), mode="bilinear", align_corners=True)
    # Dropout is random.
    assert found.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=0.5)


def test_training_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="trains with sem_seg labels alone: there are none"):
        head().train()(feature())


def test_an_ignored_value_of_one_s_own() -> None:
    module = head(ignore_value=0, dropout=0.0).train()
    labels = torch.zeros(2, 40, 56, dtype=torch.long)
    assert module(feature(), labels)[1]["loss_sem_seg_ce"].item() == 0
