"""Folders of label maps: found, named and split."""

import json
import shutil
from pathlib import Path

import pytest

from projects_ext.data.formats import read_source
from projects_ext.data.formats.part import Reader
from projects_ext.data.own import Wanted, own_data
from projects_ext.errors import UserError
from tests.golden_files import DATA
from tests.own_copies import label_maps as write

SOURCE = DATA / "coco_semseg"
NAMES = json.loads((SOURCE / "classes.json").read_text())["labels_supercategory"]


@pytest.mark.parametrize("layout", ["{what}/{split}", "{split}/{what}"])
def test_given_parts(layout: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", layout, ("train", "val"))
    (folder / "classes.txt").write_text("\n".join(NAMES))
    source = read_source(str(folder), of_maps=True)
    assert source.of_maps
    assert source.val is not None
    for part, split in ((source.train, "train"), (source.val, "val")):
        assert part.classes == tuple(NAMES)
        assert len(part.images) == 2
        for image in part.images:
            assert split in Path(image["file_name"]).parts
            assert Path(image["file_name"]).stem == Path(image["sem_seg_file_name"]).stem
            assert split in Path(image["sem_seg_file_name"]).parts


def test_part_is_split_off(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "{what}")
    data = own_data(Wanted((str(folder),), of_maps=True, classes=tuple(NAMES)))
    train, val = ({image["file_name"] for image in part} for part in (data.train, data.val))
    assert len(train) == len(val) == 1
    assert train != val
    assert "1 images with label maps" in data.overview


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "{what}")
    with pytest.raises(UserError, match=r"are not named: add data.classes="):
        read_source(str(folder), of_maps=True)
    (folder / "classes.json").write_text(json.dumps({"a": ["x"], "b": ["y"]}))
    with pytest.raises(UserError, match=r"classes.json:KEY .*\(a, b\)"):
        read_source(str(folder), of_maps=True)
    (folder / "masks").rename(folder / "first_masks")
    shutil.copytree(folder / "first_masks", folder / "more_masks")
    with pytest.raises(UserError, match="data.labels=first_masks"):
        read_source(str(folder), of_maps=True)
    given = Reader(labels="more_masks", classes=tuple(NAMES))
    assert len(read_source(str(folder), of_maps=True, options=given).train.images) == 2


def test_model_and_data_have_to_learn_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "{what}")
    with pytest.raises(UserError, match="the model learns objects .* holds label maps"):
        read_source(str(folder), of_maps=False)
    coco = str(DATA / "coco" / "annotations" / "instances_val2017.json")
    with pytest.raises(UserError, match="the model learns label maps .* holds COCO json"):
        read_source(coco, of_maps=True)
