"""Losses against sums over single pixels."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from detectron2.config import LazyConfig, instantiate
from projects_ext.semantic import CrossEntropy, Dice, OHEMCrossEntropy, PolynomialDecay
from tests.procedural import procedural_noise
from tests.references.segmentation import cross_entropy, dice, poly_rates
from tests.two_stage_parity import ROOT

CLASSES, IGNORED = 4, 255


def case(name: str = "losses", ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    """Logits (2, 4, 5, 6), some of them far apart, and labels."""
    random = np.random.RandomState(3)
    labels = random.randint(0, CLASSES, (2, 5, 6))
    labels[random.uniform(size=labels.shape) < ignored] = IGNORED
    return 2 * procedural_noise(name, (2, CLASSES, 5, 6)), torch.from_numpy(labels)


def surprises(logits: Tensor, labels: Tensor) -> list[float]:
    return [value for image in cross_entropy(logits, labels, IGNORED) for value in image]


def test_cross_entropy_is_the_mean_over_all_pixels() -> None:
    logits, labels = case()
    values = surprises(logits, labels)
    counted = [value for value in values if not math.isnan(value)]
    assert 0 < len(counted) < len(values)
    found = CrossEntropy(weight=0.4)(logits, labels, IGNORED)
    assert found.item() == pytest.approx(0.4 * sum(counted) / len(values), rel=1e-5)
    found = CrossEntropy(average="counted")(logits, labels, IGNORED)
    assert found.item() == pytest.approx(sum(counted) / len(counted), rel=1e-5)
    expected = F.cross_entropy(logits, labels, ignore_index=IGNORED)
    torch.testing.assert_close(found, expected)


def test_class_weights() -> None:
    weights = [0.5, 1.0, 2.0, 0.0]
    logits, labels = case(ignored=0)
    expected = F.cross_entropy(logits, labels, weight=torch.tensor(weights))
    for average in ("all", "counted"):
        loss = CrossEntropy(class_weights=weights, average=average)
        torch.testing.assert_close(loss(logits, labels, IGNORED), expected)
    # Ignored pixels count as if they weighed 1.
    labels[0] = IGNORED
    labelled = sum(weights[int(label)] for label in labels[1].flatten())
    inner = F.cross_entropy(logits[1:], labels[1:], weight=torch.tensor(weights))
    found = CrossEntropy(class_weights=weights)(logits, labels, IGNORED)
    torch.testing.assert_close(found, inner * labelled / (labelled + 30))
    with pytest.raises(ValueError, match="there are 3 class weights for 4 classes"):
        CrossEntropy(class_weights=[1, 2, 3])(logits, labels, IGNORED)


@pytest.mark.parametrize(
    ("threshold", "min_kept"), [(0.7, 1), (0.1, 1), (0.3, 20), (None, 7), (0.001, 5), (0.7, 1000)]
)
@pytest.mark.parametrize("average", ["all", "counted"])
def test_ohem_counts_hard_pixels(threshold: float | None, min_kept: int, average: str) -> None:
    logits, labels = case()
    values = surprises(logits, labels)
    hardest = sorted((value for value in values if not math.isnan(value)), reverse=True)
    kept = hardest[: 2 * min_kept]
    if threshold is not None:
        below = [value for value in hardest if math.exp(-value) < threshold]
        kept = max(kept, below, key=len)
    assert 0 < len(kept) <= len(hardest)
    loss = OHEMCrossEntropy(threshold=threshold, min_kept=min_kept, average=average)
    divisor = len(values) if average == "all" else len(kept)
    assert loss(logits, labels, IGNORED).item() == pytest.approx(sum(kept) / divisor, rel=1e-5)


def test_ohem_keeps_enough_of_equal_pixels() -> None:
    labels = case(ignored=0)[1]
    logits = torch.zeros(2, CLASSES, 5, 6, requires_grad=True)
    OHEMCrossEntropy(threshold=None, min_kept=3)(logits, labels, IGNORED).backward()
    assert (logits.grad.abs().sum(1) > 0).sum() >= 2 * 3


@pytest.mark.parametrize("per_class", [True, False])
def test_dice(per_class: bool) -> None:
    logits, labels = case()
    # A class that one image has not.
    labels[0][labels[0] == 2] = 1
    expected = dice(logits, labels, IGNORED, per_class, 1e-3)
    found = Dice(weight=3.0, per_class=per_class)(logits, labels, IGNORED)
    assert found.item() == pytest.approx(3 * expected, rel=1e-5)
    perfect = 50 * F.one_hot(labels.where(labels != IGNORED, 0), CLASSES).permute(0, 3, 1, 2)
    assert Dice(per_class=per_class)(perfect.float(), labels, IGNORED).item() < 1e-3


LOSSES = [
    CrossEntropy(),
    CrossEntropy(average="counted", class_weights=[1, 2, 3, 4]),
    OHEMCrossEntropy(min_kept=3),
    OHEMCrossEntropy(threshold=None, min_kept=3, average="counted"),
    Dice(),
    Dice(per_class=False),
]
NAMES = ["all", "weighted", "ohem", "ohem by number", "dice", "dice together"]


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_ignored_pixels_have_no_gradient_and_others_do(loss: Any) -> None:
    logits, labels = case()
    logits.requires_grad_()
    loss(logits, labels, IGNORED).backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad.movedim(1, -1)[labels == IGNORED].any()
    assert logits.grad.any()
    # What they are does not matter either.
    changed = logits.detach().clone()
    changed.movedim(1, -1)[labels == IGNORED] = 100.0
    torch.testing.assert_close(loss(changed, labels, IGNORED), loss(logits, labels, IGNORED))


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_nothing_is_labelled(loss: Any) -> None:
    logits = case()[0].requires_grad_()
    found = loss(logits, torch.full((2, 5, 6), IGNORED), IGNORED)
    assert found.item() == 0
    found.backward()
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_gradients_are_the_derivatives(loss: Any) -> None:
    logits, labels = case("derivatives")
    double = logits.double().requires_grad_()
    weights = {name: value.double() for name, value in loss.named_buffers()}

    def of(x: Tensor) -> Tensor:
        return torch.func.functional_call(loss, weights, (x, labels, IGNORED))

    assert torch.autograd.gradcheck(of, (double,), atol=1e-5)


def test_class_weights_are_no_part_of_the_weights() -> None:
    assert CrossEntropy(class_weights=[1, 2]).state_dict() == {}


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="average is 'none': give 'all' or 'counted'"):
        CrossEntropy(average="none")
    with pytest.raises(ValueError, match="OHEM with threshold 1.5 and min_kept 10"):
        OHEMCrossEntropy(threshold=1.5, min_kept=10)
    with pytest.raises(ValueError, match="the power of a polynomial schedule is 0"):
        PolynomialDecay(power=0)


def test_the_schedule_is_the_reference_s() -> None:
    config = LazyConfig.load(
        str(ROOT / "configs/gcnet/semantic/gcnet_r50_d8_512x1024_40k_cityscapes.py")
    )
    multiplier = instantiate(config.lr_multiplier)
    iterations = 400
    expected = poly_rates(0.01, 1e-4, 0.9, iterations)
    found = [0.01 * multiplier(step / iterations) for step in range(iterations)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert config.optimizer.lr == 0.01
    assert multiplier(1.0) == pytest.approx(0.01)
