"""Numbers in a file that cannot be weights."""

from typing import Any

import pytest
import torch

from projects_ext.checkpoint import load_weights
from projects_ext.checkpoint.values import require_finite_state
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    openmmlab_weights,
    saved,
    weights,
)

CLASSIFIER = "roi_heads.box_predictor.cls_score.weight"
VARIANCE = "backbone.bottom_up.stem.conv1.norm.running_var"


def with_value(state: dict[str, torch.Tensor], name: str, value: float) -> dict[str, torch.Tensor]:
    changed = {**state, name: state[name].clone()}
    changed[name].view(-1)[1] = value
    return changed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [CLASSIFIER, VARIANCE])
def test_nan_and_infinite_weights_are_refused(
    source: Any, model: Any, tmp_path: Any, value: float, name: str
) -> None:
    before = weights(model)
    file = saved({"model": with_value(weights(source), name, value)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="NaN or infinite") as caught:
        load_weights(model, file)
    size = model.state_dict()[name].numel()
    assert str(caught.value) == (
        f"{file} has NaN or infinite values in 1 entry, such as {name} (1 of its {size}): take an "
        "earlier checkpoint or other weights"
    )
    assert_has_weights(model, before)


def test_every_broken_entry_counts_and_renamed_ones_have_the_models_name(
    source: Any, model: Any
) -> None:
    state = {name: torch.full_like(x, torch.nan) for name, x in openmmlab_weights(source).items()}
    with pytest.raises(
        ValueError, match=rf"has NaN or .* in {len(state)} entries, such as backbone\."
    ):
        load_weights(model, state)


def test_values_beyond_the_models_type_are_infinite_in_it(source: Any, model: Any) -> None:
    state = {name: value.double() for name, value in weights(source).items()}
    load_weights(model, state)
    with pytest.raises(ValueError, match=rf"such as {CLASSIFIER} \(1 of its"):
        load_weights(model, with_value(state, CLASSIFIER, 1e300))


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (torch.int64, "integers"),
        (torch.int8, "integers"),
        (torch.bool, "booleans"),
        (torch.complex64, "complex numbers"),
    ],
)
def test_numbers_of_another_kind_are_refused(
    source: Any, model: Any, dtype: torch.dtype, kind: str
) -> None:
    before = weights(model)
    state = weights(source)
    state[CLASSIFIER] = state[CLASSIFIER].to(dtype)
    with pytest.raises(
        ValueError, match=rf"in 1 entry, such as {CLASSIFIER} \({kind}, the model has f"
    ):
        load_weights(model, state)
    assert_has_weights(model, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_are_converted(
    source: Any, model: Any, dtype: torch.dtype
) -> None:
    state = {name: value.to(dtype) for name, value in weights(source).items()}
    load_weights(model, state)
    assert_has_weights(model, {name: value.float() for name, value in state.items()})


def test_negative_variances_are_refused(source: Any, model: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"negative variances in 1 entry, such as {VARIANCE}: the f"
    ):
        load_weights(model, with_value(weights(source), VARIANCE, -1.0))


def test_training_states() -> None:
    state = {"optimizer": {"state": {0: {"momentum": torch.ones(2)}}}, "best": float("inf")}
    require_finite_state(state, "x.pth")
    state["optimizer"]["state"][0]["momentum"][1] = torch.nan
    with pytest.raises(
        ValueError, match=r"x\.pth has .* such as optimizer\.state\.0\.momentum: re"
    ):
        require_finite_state(state, "x.pth")
