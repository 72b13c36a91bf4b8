"""Label maps in numbers."""

from pathlib import Path

import numpy as np
import pytest

from projects_ext.data.statistics import count_label_maps
from projects_ext.errors import UserError
from tests.semantic_trees import write_png


def records(folder: Path, *maps: np.ndarray) -> list[dict]:
    for index, labels in enumerate(maps):
        write_png(folder / f"{index}.png", labels)
    return [
        {"file_name": f"{index}.jpg", "sem_seg_file_name": str(folder / f"{index}.png")}
        for index in range(len(maps))
    ]


def test_figures_by_hand(tmp_path: Path) -> None:
    first, second = np.zeros((10, 10)), np.full((10, 10), 255)
    first[0] = 1
    second[0] = 0
    data = count_label_maps([*records(tmp_path, first, second), {"file_name": "x"}], ["a", "b"])
    assert data.files == ("0.jpg", "1.jpg")
    assert data.totals.pixels[[0, 1, 255]].tolist() == [100, 10, 90]
    assert data.shares.tolist() == pytest.approx([100 / 110, 10 / 110])
    assert data.ignored.tolist() == [0, 0.9]
    assert data.classes_per_image.tolist() == [2, 1]


def test_oddities(tmp_path: Path) -> None:
    plain, ignored = np.zeros((40, 40)), np.full((40, 40), 255)
    ignored[:18], ignored[0, 0] = 0, 1
    maps = count_label_maps(records(tmp_path, plain, plain, plain, ignored), ["a", "b", "c"])
    oddities = {oddity.kind: oddity for oddity in maps.oddities()}
    assert list(oddities) == ["absent", "rare", "ignored", "uniform"]
    assert oddities["absent"].classes == (2,)
    assert oddities["rare"].classes == (1, 0)  # class 0 in 4 images only
    assert oddities["ignored"].images == (3,)
    assert oddities["uniform"].images == (0, 1, 2)


def test_no_label_maps_at_all() -> None:
    with pytest.raises(UserError, match="no record of the data set has a label map"):
        count_label_maps([{"file_name": "x"}], ["a"])
