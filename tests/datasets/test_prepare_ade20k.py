"""ADE20K: 0 is "other" in the official label maps, and 255 in ours."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.data.preparation import prepare
from projects_ext.errors import MissingFileError, UserError
from tests.conftest import ROOT, load_script
from tests.semantic_trees import ade20k_tree, registered_below

CLASSES = [str(index) for index in range(150)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(ROOT / "datasets" / "prepare_ade20k.py")


def run(script: ModuleType, root: Path, any_count: bool = True) -> dict:
    return prepare(
        script.find_parts(root, any_count),
        CLASSES,
        script.convert,
        problems_file=root / "problems.txt",
        any_count=any_count,
    )


def test_labels_are_shifted_and_other_is_ignored(script: ModuleType, tmp_path: Path) -> None:
    ade20k_tree(tmp_path)
    counted = run(script, tmp_path)
    base = tmp_path / "ADEChallengeData2016"
    for folder, name in (("training", "ADE_train_00000002"), ("validation", "ADE_val_00000001")):
        before = np.array(Image.open(base / "annotations" / folder / f"{name}.png")).astype(int)
        after = Image.open(base / "annotations_detectron2" / folder / f"{name}.png")
        assert after.mode == "L"
        assert np.array_equal(np.array(after), np.where(before == 0, 255, before - 1))
    train = counted["train"]
    assert train.maps == 3
    assert train.images[[0, 1, 12, 149, 255]].tolist() == [3] * 5
    assert train.pixels.sum() == 3 * 48 * 80


def test_detectron2_reads_the_result(script: ModuleType, tmp_path: Path) -> None:
    run(script, ade20k_tree(tmp_path))
    with registered_below(tmp_path):
        assert len(DatasetCatalog.get("ade20k_sem_seg_train")) == 3
        assert len(DatasetCatalog.get("ade20k_sem_seg_val")) == 2
        assert len(MetadataCatalog.get("ade20k_sem_seg_val").stuff_classes) == 150


def test_every_missing_number_is_named(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script.OFFICIAL_COUNTS == {"train": 20210, "val": 2000}
    ade20k_tree(tmp_path)
    monkeypatch.setattr(script, "OFFICIAL_COUNTS", {"train": 4, "val": 2})
    with pytest.raises(UserError, match="3 problems with the downloaded files, listed in"):
        run(script, tmp_path, any_count=False)
    listed = (tmp_path / "problems.txt").read_text().splitlines()
    base = tmp_path / "ADEChallengeData2016"
    assert listed == [
        f"{base}/images/training/ADE_train_00000004.jpg: missing",
        f"{base}/annotations/training/ADE_train_00000004.png: missing",
        "train: 3 good images, officially 4",
    ]


def test_an_image_without_labels_is_named_in_a_subset_too(
    script: ModuleType, tmp_path: Path
) -> None:
    ade20k_tree(tmp_path)
    annotations = tmp_path / "ADEChallengeData2016" / "annotations"
    (annotations / "validation" / "ADE_val_00000002.png").unlink()
    with pytest.raises(UserError, match="1 problem with"):
        run(script, tmp_path)
    listed = (tmp_path / "problems.txt").read_text()
    assert listed == f"{annotations}/validation/ADE_val_00000002.png: missing\n"


def test_converted_labels_in_the_wrong_place_are_refused(
    script: ModuleType, tmp_path: Path
) -> None:
    """Who converts twice would shift the classes once more: 255 is no official label."""
    run(script, ade20k_tree(tmp_path))
    base = tmp_path / "ADEChallengeData2016"
    shutil.rmtree(base / "annotations")
    (base / "annotations_detectron2").rename(base / "annotations")
    with pytest.raises(UserError):
        run(script, tmp_path)
    listed = (tmp_path / "problems.txt").read_text().splitlines()
    assert len(listed) == 5
    assert all("it has the label 255, but the classes are 1 to 150" in line for line in listed)


def test_no_tree_at_all_is_said(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"give the path of ADEChallengeData2016\.zip"):
        script.find_parts(tmp_path)


def test_only_what_is_needed_is_unpacked(script: ModuleType) -> None:
    assert script.place("ADEChallengeData2016/images/training/a.jpg") is not None
    assert script.place("ADEChallengeData2016/annotations/training/a.png") is not None
    assert script.place("ADEChallengeData2016/objectInfo150.txt") is None
    assert script.place("ADE20K_2021/images/a.jpg") is None
