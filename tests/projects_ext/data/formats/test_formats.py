"""Copies of real photographs' annotations in every format say the same as the original."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from projects_ext.data.formats import Part, read_source
from projects_ext.errors import UserError
from tests.golden_files import DATA
from tests.own_copies import Content, outlined, write_coco, write_labelme, write_voc, write_yolo

IMAGES = DATA / "coco" / "train2017"
WRITERS = {
    "COCO json": write_coco,
    "labelme json": write_labelme,
    "YOLO": write_yolo,
    "Pascal VOC xml": write_voc,
}


@pytest.fixture(scope="module")
def content() -> Content:
    file = DATA / "coco" / "annotations" / "instances_train2017.json"
    return outlined(json.loads(file.read_text()))


def objects(part: Part) -> list[tuple[str, str, list[float]]]:
    """File, class and box of each."""
    names = {category["id"]: category["name"] for category in part.categories}
    files = {image["id"]: Path(image["file_name"]).name for image in part.images}
    return [
        (files[a["image_id"]], names[a["category_id"]], list(a["bbox"])) for a in part.annotations
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_format_is_recognised_and_says_the_same(
    name: str, content: Content, tmp_path: Path
) -> None:
    source = read_source(str(WRITERS[name](content, IMAGES, tmp_path / "data")), of_maps=False)
    assert (source.format, source.val) == (name, None)
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    wanted = content["annotations"]
    found = objects(source.train)
    assert len(source.train.images) == 4
    assert all(Path(image["file_name"]).is_absolute() for image in source.train.images)
    assert len(found) == len(wanted) > 10
    # VOC has whole pixels, each end within half of one; YOLO six digits; the corners' sums round.
    tolerance = {"Pascal VOC xml": 1.0, "YOLO": 2e-3}.get(name, 1e-9 if name != "COCO json" else 0)
    for (file, of, box), annotation in zip(found, wanted, strict=True):
        assert file == files[annotation["image_id"]]
        assert of == names[annotation["category_id"]]
        polygon = np.array(annotation["segmentation"][0]).reshape(-1, 2)
        around = [*polygon.min(0), *(polygon.max(0) - polygon.min(0))]
        expected = annotation["bbox"] if name in ("COCO json", "Pascal VOC xml") else around
        assert np.abs(np.subtract(box, expected)).max() <= tolerance


@pytest.mark.parametrize(("name", "tolerance"), [("labelme json", 0.0), ("YOLO", 1e-3)])
def test_polygons_survive(name: str, tolerance: float, content: Content, tmp_path: Path) -> None:
    part = read_source(str(WRITERS[name](content, IMAGES, tmp_path / "data")), of_maps=False).train
    for found, wanted in zip(part.annotations, content["annotations"], strict=True):
        (ours,), (theirs,) = found["segmentation"], wanted["segmentation"]
        assert len(ours) == len(theirs)
        assert np.abs(np.subtract(ours, theirs)).max() <= tolerance


Damage = Callable[[Path], object]


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _first(folder: Path, pattern: str) -> Path:
    return next(path for path in sorted(folder.rglob(pattern)) if path.stat().st_size > 400)


@pytest.mark.parametrize(
    ("writer", "damage", "sentence"),
    [
        (write_labelme, lambda p: _first(p, "*.json").write_text('{"shapes": ['), "not valid json"),
        (write_labelme, lambda p: _edit(_first(p, "*.json"), "[[", '[["x", 1], ['), "no points of"),
        (write_labelme, lambda p: _edit(_first(p, "*.json"), "polygon", "star"), "unknown type"),
        (write_labelme, lambda p: _first(p, "*.jpg").unlink(), "its image .* is not in"),
        (write_labelme, lambda p: _edit(_first(p, "*.json"), 'Width": ', 'Width": 1'), "x 4|width"),
        (write_yolo, lambda p: _edit(_first(p, "*.txt"), "0.", "1."), "outside 0 … 1"),
        (write_yolo, lambda p: _edit(_first(p, "*.txt"), " ", " 0.5 "), r"txt:1 has \d+ coord"),
        (write_yolo, lambda p: _edit(p / "data.yaml", "images/train", "nowhere"), "is no nowhere"),
        (write_yolo, lambda p: _edit(p / "data.yaml", "  0:", "  7:"), "number them from 0"),
        (write_voc, lambda p: _edit(_first(p, "*.xml"), "<xmin>", "<xmin>a"), "no bndbox"),
        (write_voc, lambda p: _edit(_first(p, "*.xml"), "</annotation>", ""), "no valid xml"),
        (write_voc, lambda p: _edit(_first(p, "*.xml"), "<width>", "<width>9"), "is for an image"),
        (write_coco, lambda p: _first(p, "*.jpg").unlink(), "1 of the 4 images"),
    ],
)
def test_damage_ends_in_a_sentence_with_the_file(
    writer: Callable[..., Path], damage: Damage, sentence: str, content: Content, tmp_path: Path
) -> None:
    folder = writer(content, IMAGES, tmp_path / "data")
    damage(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        read_source(str(folder), of_maps=False)
    assert str(tmp_path) in caught.value.sentence


def test_document_types_are_refused(content: Content, tmp_path: Path) -> None:
    folder = write_voc(content, IMAGES, tmp_path / "data")
    file = _first(folder, "*.xml")
    file.write_text('<!DOCTYPE annotation [<!ENTITY a "b">]>' + file.read_text())
    with pytest.raises(UserError, match="declares a document type"):
        read_source(str(folder), of_maps=False)


def test_two_formats_in_one_folder_are_told_apart_by_a_key(
    content: Content, tmp_path: Path
) -> None:
    write_voc(content, IMAGES, tmp_path / "data")
    write_labelme(content, IMAGES, tmp_path / "data" / "more")
    with pytest.raises(UserError, match="data.format=labelme or voc"):
        read_source(str(tmp_path / "data"), of_maps=False)
    assert read_source(str(tmp_path / "data"), False, "voc").format == "Pascal VOC xml"


def test_nothing_known_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="holds no data set in a known format"):
        read_source(str(tmp_path), of_maps=False)
    with pytest.raises(UserError, match="there is no file or folder"):
        read_source(str(tmp_path / "missing"), of_maps=False)


def test_coco_layouts_with_a_validation_part(content: Content, tmp_path: Path) -> None:
    """annotations/instances_*.json with images elsewhere, and a json within each part's images."""
    for split in ("train", "val"):
        write_coco(content, IMAGES, tmp_path / "one" / split)
        write_coco(content, IMAGES, tmp_path / "x" / split)
        (tmp_path / "two" / "annotations").mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / split / "images").rename(tmp_path / "two" / f"{split}2017")
        name = f"instances_{split}2017.json"
        (tmp_path / "x" / split / "annotations.json").rename(
            tmp_path / "two" / "annotations" / name
        )
    for folder in ("one", "two"):
        source = read_source(str(tmp_path / folder), of_maps=False)
        assert source.val is not None
        assert "train" in source.train.images[0]["file_name"]
        assert "val" in source.val.images[0]["file_name"]


def test_names_with_spaces_in_the_lists_of_voc(content: Content, tmp_path: Path) -> None:
    place = Path(write_voc(content, IMAGES, tmp_path / "data"))
    files = sorted(place.glob("**/*.xml"))
    named = files[0].with_name("with a space ä.xml")
    files[0].rename(named)
    lists = place / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.txt").write_text(f"{named.stem}\n{files[1].stem}\n", encoding="utf-8")
    (lists / "val.txt").write_text("".join(f"{file.stem}\n" for file in files[2:]))
    (lists / "test.txt").write_text("withheld\n")  # not used where there is a list for validation
    source = read_source(str(place), of_maps=False)
    assert len(source.train.images) == 2
    assert source.val is not None
    assert len(source.val.images) == len(files) - 2
    (lists / "train.txt").write_text(f"{named.stem}\nnope\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.txt names 'nope', of which there is no xml"):
        read_source(str(place), of_maps=False)


@pytest.mark.parametrize("text", ["", '{"version": "5.'])
def test_a_damaged_file_among_those_of_labelme_is_refused(
    content: Content, tmp_path: Path, text: str
) -> None:
    place = Path(write_labelme(content, IMAGES, tmp_path / "data"))
    damaged = sorted(place.glob("**/*.json"))[0]
    damaged.write_text(text)
    with pytest.raises(UserError, match=f"{damaged} is not valid json"):
        read_source(str(place), of_maps=False)


def test_a_damaged_file_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"instances\.json is not valid json"):
        read_source(str(tmp_path / "instances.json"), of_maps=False)
