"""Cityscapes: label maps of training ids are drawn from the polygons, as its own script does."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog
from projects_ext.data.preparation import prepare
from projects_ext.errors import MissingFileError, UserError
from tests.conftest import ROOT, load_script
from tests.semantic_trees import cityscapes_tree, registered_below

pytest.importorskip("cityscapesscripts")
CLASSES = [str(index) for index in range(19)]
ROAD, SKY, PERSON, CAR = 0, 10, 11, 13


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(ROOT / "datasets" / "prepare_cityscapes.py")


def run(script: ModuleType, root: Path, any_count: bool = True) -> dict:
    return prepare(
        script.find_parts(root, any_count),
        CLASSES,
        script.convert,
        problems_file=root / "problems.txt",
        any_count=any_count,
    )


def test_label_maps_are_those_of_the_official_script(script: ModuleType, tmp_path: Path) -> None:
    from cityscapesscripts.helpers.labels import id2label
    from cityscapesscripts.preparation.json2labelImg import json2labelImg

    counted = run(script, cityscapes_tree(tmp_path))
    folder = tmp_path / "cityscapes" / "gtFine" / "train" / "ulm"
    drawn = np.array(Image.open(folder / "ulm_000002_000019_gtFine_labelTrainIds.png"))
    json2labelImg(
        str(folder / "ulm_000002_000019_gtFine_polygons.json"),
        tmp_path / "official.png",
        "trainIds",
    )
    assert np.array_equal(drawn, np.array(Image.open(tmp_path / "official.png")))
    ids = np.array(Image.open(folder / "ulm_000002_000019_gtFine_labelIds.png"))
    train_ids = np.array([id2label[i].trainId for i in range(34)]).astype(np.uint8)
    assert np.array_equal(drawn, train_ids[ids])
    # By hand: what lies at some points; groups count, deleted objects and licence plates do not.
    assert drawn[5, 5] == SKY
    assert drawn[25, 55] == CAR
    assert drawn[31, 13] == CAR
    assert drawn[46, 40] == 255
    assert drawn[38, 2] == ROAD
    assert counted["train"].images[[ROAD, SKY, PERSON, CAR, 255]].tolist() == [3] * 5
    assert counted["train"].pixels[PERSON] == 3 * 5 * 13
    assert counted["val"].maps == 2


def test_detectron2_reads_the_result(script: ModuleType, tmp_path: Path) -> None:
    run(script, cityscapes_tree(tmp_path))
    with registered_below(tmp_path):
        records = DatasetCatalog.get("cityscapes_fine_sem_seg_train")
    assert len(records) == 3
    assert {(record["height"], record["width"]) for record in records} == {(48, 80)}


def test_cities_with_too_few_pictures_are_named(script: ModuleType, tmp_path: Path) -> None:
    assert script.OFFICIAL_COUNTS == {"train": 2975, "val": 500}
    cityscapes_tree(tmp_path, train=1, val=1)
    with pytest.raises(UserError, match="23 problems"):
        run(script, tmp_path, any_count=False)
    listed = (tmp_path / "problems.txt").read_text().splitlines()
    images = tmp_path / "cityscapes" / "leftImg8bit"
    assert f"{images}/train/aachen: 0 of 174 pictures" in listed
    assert f"{images}/train/ulm: 1 of 95 pictures" in listed
    assert f"{images}/val/lindau: 1 of 59 pictures" in listed
    assert listed[-1] == "val: 1 good images, officially 500"


def test_each_missing_or_damaged_file_is_named(script: ModuleType, tmp_path: Path) -> None:
    cityscapes_tree(tmp_path)
    folder = tmp_path / "cityscapes" / "gtFine" / "train" / "ulm"
    image = tmp_path / "cityscapes/leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:-200])
    (folder / "ulm_000001_000019_gtFine_instanceIds.png").unlink()
    (folder / "ulm_000001_000019_gtFine_polygons.json").write_text('{"imgHeight": 48')
    other = folder / "ulm_000002_000019_gtFine_polygons.json"
    content = json.loads(other.read_text())
    content["objects"][0]["label"] = "dragon"
    other.write_text(json.dumps(content))
    with pytest.raises(UserError, match="4 problems"):
        run(script, tmp_path)
    lines = sorted((tmp_path / "problems.txt").read_text().splitlines())
    by_name = {Path(line.split(": ")[0]).name: line for line in lines}
    assert "truncated" in by_name[image.name]
    assert by_name["ulm_000001_000019_gtFine_instanceIds.png"].endswith(": missing")
    assert "damaged" in by_name["ulm_000001_000019_gtFine_polygons.json"]
    assert "unknown label 'dragon'" in by_name[other.name]
    # What is good was done all the same.
    assert len(list(tmp_path.rglob("*_labelTrainIds.png"))) == 2


def test_no_tree_at_all_is_said(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"give the path of leftImg8bit_trainvaltest\.zip"):
        script.find_parts(tmp_path)


def test_only_what_is_needed_is_unpacked(script: ModuleType) -> None:
    name = "gtFine/val/lindau/lindau_000000_000019_gtFine_polygons.json"
    assert script.place(name) == f"cityscapes/{name}"
    assert script.place("license.txt") is None
