"""VOC 2012 with SBD: which image gets whose labels, and both of their formats."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import read_image
from projects_ext.data.preparation import prepare
from projects_ext.data.voc12aug import VOC_CLASSES
from projects_ext.errors import MissingFileError, UserError
from tests.conftest import ROOT, load_script
from tests.semantic_trees import blocks, registered_below, voc_tree

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(ROOT / "datasets" / "prepare_voc12aug.py")


def run(script: ModuleType, root: Path, any_count: bool = True) -> dict:
    return prepare(
        script.find_parts(root),
        VOC_CLASSES,
        script.convert,
        problems_file=root / "problems.txt",
        any_count=any_count,
    )


def test_vocs_own_labels_come_first_and_val_is_left_out(script: ModuleType, tmp_path: Path) -> None:
    counted = run(script, voc_tree(tmp_path))
    labels = tmp_path / "VOC2012" / "annotations_detectron2"
    found = {path.stem: np.array(Image.open(path)) for path in (labels / "trainaug").iterdir()}
    # 0 and 1: VOC's training part; 4 and 5: SBD alone; 2 is in VOC's validation part.
    assert sorted(found) == ["2007_000000", "2007_000001", "2007_000004", "2007_000005"]
    assert np.array_equal(found["2007_000000"], blocks([0, 1, 15, 20, 255], 0))
    assert np.array_equal(found["2007_000004"], blocks([0, 3, 7], 14))
    assert sorted(p.stem for p in (labels / "val").iterdir()) == ["2007_000002", "2007_000003"]
    assert counted["train"].images[[0, 3, 15, 255]].tolist() == [4, 2, 2, 2]


def test_detectron2_reads_labels_and_not_colours(script: ModuleType, tmp_path: Path) -> None:
    run(script, voc_tree(tmp_path))
    with registered_below(tmp_path):
        records = DatasetCatalog.get("voc12aug_sem_seg_train")
        assert len(DatasetCatalog.get("voc12aug_sem_seg_val")) == 2
    assert [Path(record["file_name"]).stem for record in records][-1] == "2007_000005"
    read = read_image(records[0]["sem_seg_file_name"], "L").squeeze(2)
    assert np.array_equal(read, blocks([0, 1, 15, 20, 255], 0))
    assert all(Path(record["file_name"]).is_file() for record in records)


def test_official_counts(script: ModuleType, tmp_path: Path) -> None:
    assert script.OFFICIAL_COUNTS == {"train": 10582, "val": 1449}
    with pytest.raises(UserError, match="2 problems"):
        run(script, voc_tree(tmp_path), any_count=False)
    listed = (tmp_path / "problems.txt").read_text().splitlines()
    assert listed == [
        "train: 4 good images, officially 10582",
        "val: 2 good images, officially 1449",
    ]


def test_each_missing_or_damaged_file_is_named(script: ModuleType, tmp_path: Path) -> None:
    voc_tree(tmp_path)
    cls = tmp_path / "benchmark_RELEASE/dataset/cls"
    whole = (cls / "2007_000005.mat").read_bytes()
    (cls / "2007_000005.mat").write_bytes(whole[: len(whole) // 2])
    (cls / "2007_000004.mat").write_bytes(b"<html>404</html>")
    (tmp_path / "VOC2012/JPEGImages/2007_000001.jpg").unlink()
    with pytest.raises(UserError, match="3 problems"):
        run(script, tmp_path)
    lines = (tmp_path / "problems.txt").read_text().splitlines()
    assert [Path(line.split(": ")[0]).name for line in lines] == [
        "2007_000001.jpg",
        "2007_000004.mat",
        "2007_000005.mat",
    ]
    assert [line.endswith(": missing") for line in lines] == [True, False, False]


def test_lists_that_are_not_there_are_named(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no list of images at .*train.txt"):
        script.find_parts(tmp_path)


def test_an_unprepared_tree_says_what_to_run(tmp_path: Path) -> None:
    with (
        registered_below(voc_tree(tmp_path)),
        pytest.raises(MissingFileError, match="prepare_voc12aug.py"),
    ):
        DatasetCatalog.get("voc12aug_sem_seg_train")


def test_the_folder_of_the_archive_is_left_out(script: ModuleType) -> None:
    place = script.place
    assert place("VOCdevkit/VOC2012/JPEGImages/a.jpg") == "VOC2012/JPEGImages/a.jpg"
    assert place("benchmark_RELEASE/dataset/cls/a.mat") == "benchmark_RELEASE/dataset/cls/a.mat"
    assert place("VOCdevkit/VOC2012/SegmentationObject/a.png") is None
    assert place("benchmark_RELEASE/dataset/inst/a.mat") is None
