"""The losses and their gradients, against one location and one instance at a time."""

from typing import Any

import pytest
import torch
from torch import Tensor

from projects_ext.condinst import Criterion, DynamicMaskHead, Predictions
from projects_ext.condinst.losses import dice_loss, focal_loss
from tests.references import condinst as reference

from .scenes import OBJECTS, STRIDES, instances, mask_features, predictions, reference_truth

NAMES = ["loss_cls", "loss_box_reg", "loss_centerness", "loss_mask"]


def leaves(count: int) -> tuple[Predictions, Tensor]:
    found = predictions(count)
    kinds = [[x.clone().requires_grad_() for x in maps] for maps in found]
    return Predictions(*kinds), mask_features(count).requires_grad_()


def gradients(total: Tensor, given: tuple[Predictions, Tensor]) -> list[Tensor]:
    tensors = [x for maps in given[0] for x in maps] + [given[1]]
    return list(torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True))


def losses(
    given: tuple[Predictions, Tensor], truths: list[Any], **options: Any
) -> dict[str, Tensor]:
    return Criterion(**options).losses(given[0], STRIDES, given[1], DynamicMaskHead(), truths)


@pytest.fixture(scope="module")
def expected() -> tuple[dict[str, Tensor], list[Tensor]]:
    """Losses and gradients of their weighted sum, by the reference."""
    given = leaves(len(OBJECTS))
    truths = [reference_truth(instances(x)) for x in OBJECTS]
    found = reference.losses(given[0], given[1], STRIDES, truths)
    return found, gradients(weighted(found), given)


def weighted(found: dict[str, Tensor]) -> Tensor:
    return sum((k + 1) * found[name] for k, name in enumerate(NAMES))  # type: ignore[return-value]


@pytest.mark.parametrize("bits", [False, True])
def test_losses_and_gradients_are_the_references(expected: Any, bits: bool) -> None:
    given = leaves(len(OBJECTS))
    found = losses(given, [instances(x, bits) for x in OBJECTS])
    assert list(found) == NAMES
    for name in NAMES:
        assert expected[0][name] > 0.1
        torch.testing.assert_close(found[name], expected[0][name], rtol=1e-5, atol=1e-6)
    for own, other in zip(gradients(weighted(found), given), expected[1], strict=True):
        assert (own - other).abs().max() <= 1e-4 * other.abs().max()
    # Classes of all levels, the rest where there are objects, and the mask features.
    assert sum(bool(x.any()) for x in expected[1]) == 3 + 3 * 2 + 1


def test_images_do_not_mix(expected: Any) -> None:
    """The losses of a batch are the images' own, weighted by what they are divided by."""
    given = leaves(len(OBJECTS))
    truths = [instances(x) for x in OBJECTS]
    flipped = (
        Predictions(*([x.flip(0) for x in maps] for maps in given[0])), given[1].flip(0)
    )  # fmt: skip
    found = losses(flipped, truths[::-1])
    for name in NAMES:
        torch.testing.assert_close(found[name], expected[0][name], rtol=1e-5, atol=1e-6)


def test_without_objects_only_the_classes_learn() -> None:
    given = leaves(2)
    found = losses(given, [instances([]), instances([])])
    assert [float(found[name].detach()) for name in NAMES[1:]] == [0, 0, 0]
    assert found["loss_cls"] > 0
    own = gradients(sum(found.values()), given)  # type: ignore[arg-type]
    assert all(x.any() for x in own[:3])
    assert not any(x.any() for x in own[3:])


def test_no_more_masks_than_asked_for_and_the_surest_ones(monkeypatch: Any) -> None:
    seen = []

    def loss(self: Any, features: Tensor, parameters: Tensor, *others: Tensor) -> Tensor:
        seen.append((parameters, others[-1]))
        return parameters.sum()

    monkeypatch.setattr(DynamicMaskHead, "loss", loss)
    given = leaves(3)
    truths = [instances(x) for x in OBJECTS]
    losses(given, truths, max_masks=4)
    assert [len(x) for x, _ in seen] == [2, 2]
    assert [len(set(instance.tolist())) for _, instance in seen] == [2, 2]
    seen.clear()
    losses(given, truths)
    assert sum(len(x) for x, _ in seen) > 8


def test_missing_masks_are_named() -> None:
    truth = instances(OBJECTS[0])
    truth.remove("gt_masks")
    with pytest.raises(ValueError, match="use_instance_mask=True"):
        losses(leaves(1), [truth])


def test_semantic_loss() -> None:
    truths = [instances(x) for x in OBJECTS]
    logits = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    found = Criterion().semantic_loss(logits, 8, truths)["loss_semantic"]
    total, cells = torch.zeros(()), 0
    for own, truth in zip(logits, truths, strict=True):
        full = reference_truth(truth)
        areas = full.masks.sum((1, 2)).tolist()
        for row in range(8):
            for column in range(12):
                here = full.masks[:, 4 + 8 * row, 4 + 8 * column].nonzero().flatten().tolist()
                smallest = min(here, key=areas.__getitem__) if here else None
                wanted = -1 if smallest is None else int(full.classes[smallest])
                cells += wanted >= 0
                for index in range(3):
                    total += reference.focal(own[index, row, column], index == wanted)
    assert cells > 20
    torch.testing.assert_close(found, total / cells)


def test_focal_loss_of_labels() -> None:
    logits = torch.tensor([[2.0, -1], [0.5, 3]])
    found = focal_loss(logits, torch.tensor([1, 2]), 0.25, 2.0)
    expected = [reference.focal(x, place == (0, 1)) for place, x in _places(logits)]
    torch.testing.assert_close(found, sum(expected))


def _places(logits: Tensor) -> list[Any]:
    return [((i, j), logits[i, j]) for i in range(2) for j in range(2)]


def test_dice_loss_of_perfect_and_of_empty_masks() -> None:
    target = torch.tensor([[True, False], [False, False]])
    assert dice_loss(target.float(), target)[0] == pytest.approx(0, abs=1e-4)
    assert dice_loss(torch.zeros(2, 2), target).tolist() == [1, 1]
