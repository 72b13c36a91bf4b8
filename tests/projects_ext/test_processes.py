"""Two processes train every system as one does."""

from pathlib import Path

import pytest

from tests.small_systems import SMALL
from tests.two_processes import losses, train, write_config


# Frozen statistics leave GC blocks little to be wrong in: tests/projects_ext/gcnet has its own.
@pytest.mark.parametrize("name", SMALL)
def test_two_processes_give_the_losses_of_one(
    name: str, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    config_file = write_config(SMALL[name], tmp_path, shapes, shapes_overrides)
    expected = losses(train(config_file, tmp_path / "one", 1))
    found = losses(train(config_file, tmp_path / "two", 2))
    assert len(expected) == len(found) == 3
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    # Sums in another order: what differs in the last digit grows from step to step.
    for one, two in zip(expected[1:], found[1:], strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5 * one["total_loss"])
    assert ("loss_grid" in expected[0]) == ("grid" in name)
    assert expected[2]["total_loss"] != pytest.approx(expected[0]["total_loss"], rel=1e-2)
