"""Label maps: what is read, what is refused and how it is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.data.labels import (
    LabelStatistics,
    check_label_map,
    count_labels,
    image_size,
    read_label_map,
    require_label_maps,
    require_learnable,
)
from projects_ext.data.palette import class_colours, distinct_colours
from projects_ext.errors import MissingFileError, UserError
from tests.semantic_trees import blocks, write_image, write_png


def record(folder: Path, labels: np.ndarray, name: str = "x") -> dict[str, Any]:
    write_image(folder / f"{name}.jpg", 0, (48, 80))
    write_png(folder / f"{name}.png", labels)
    return {
        "file_name": str(folder / f"{name}.jpg"),
        "sem_seg_file_name": str(folder / f"{name}.png"),
        "height": 48,
        "width": 80,
    }


def test_labels_are_read_as_they_are_stored(tmp_path: Path) -> None:
    labels = blocks([0, 7, 255], 1)
    write_png(tmp_path / "x.png", labels)
    assert np.array_equal(read_label_map(tmp_path / "x.png"), labels)
    assert read_label_map(tmp_path / "x.png", dtype=int).dtype == np.int64


def test_what_detectron2_would_misread_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "palette.png", blocks([0, 1], 0), palette=True)
    with pytest.raises(UserError, match=r"palette\.png is a palette image.*store its indices"):
        read_label_map(tmp_path / "palette.png")
    Image.fromarray(np.full((4, 4), 300, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png has the PIL mode \"I;16\": labels are 8-bit"):
        read_label_map(tmp_path / "deep.png")
    # The remedy that the sentence gives is one.
    path = tmp_path / "palette.png"
    Image.fromarray(np.array(Image.open(path))).save(path)
    assert np.array_equal(read_label_map(path), blocks([0, 1], 0))


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no label map at .*x\.png"):
        read_label_map(tmp_path / "x.png")
    write_png(tmp_path / "x.png", blocks([0, 1], 0))
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:70])
    with pytest.raises(UserError, match=r"x\.png cannot be read \(.*it is truncated or no image"):
        read_label_map(tmp_path / "x.png")
    (tmp_path / "x.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"x\.jpg is no image"):
        image_size(tmp_path / "x.jpg")
    with pytest.raises(MissingFileError, match=r"no image at .*y\.jpg"):
        image_size(tmp_path / "y.jpg")


def test_unknown_values_are_named_with_the_file(tmp_path: Path) -> None:
    labels = np.zeros((48, 80), dtype=np.uint8)
    labels[0, :3], labels[1, :5], labels[2] = 3, 200, 255
    with pytest.raises(
        UserError,
        match=r"x\.png has the labels 3 \(3 pixels\), 200 \(5 pixels\), but the 3 classes are 0 to "
        "2 and 255 is ignored",
    ):
        check_label_map(record(tmp_path, labels), 3)
    labels[labels == 200] = 0
    assert check_label_map(record(tmp_path, labels), 4)[[0, 3, 255]].tolist() == [3757, 3, 80]


def test_another_size_than_the_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.png is 80 x 40 \(width x height\), but its image"):
        check_label_map(record(tmp_path, blocks([0, 1], 0, (40, 80))), 2)


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    from projects_ext.data import labels as module

    read: list[str] = []
    monkeypatch.setattr(
        module, "read_label_map", lambda path: (read.append(path), read_label_map(path))[1]
    )
    one = record(tmp_path, blocks([0, 1], 0))
    for _ in range(3):
        check_label_map(one, 2)
    assert len(read) == 1
    check_label_map(one, 5)
    assert len(read) == 2


def test_size_of_a_turned_photograph(tmp_path: Path) -> None:
    image = Image.new("RGB", (80, 48))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert image_size(tmp_path / "turned.jpg") == (80, 48)


def test_table_by_class() -> None:
    statistics = LabelStatistics(["road", "car"])
    statistics.add(count_labels(np.array([[0, 0, 0, 1], [255, 255, 255, 255]], dtype=np.uint8)))
    statistics.add(count_labels(np.array([[0, 0, 0, 0]], dtype=np.uint8)))
    rows = [line.split() for line in statistics.table().splitlines()[2:]]
    assert rows == [
        ["0", "road", "2", "7", "87.50", "%"],
        ["1", "car", "1", "1", "12.50", "%"],
        ["255", "(ignored)", "1", "4", "33.33", "%", "of", "all"],
    ]


def counted(classes: list[str], *labels: list[int]) -> LabelStatistics:
    statistics = LabelStatistics(classes)
    for row in labels:
        statistics.add(count_labels(np.array(row, dtype=np.uint8)))
    return statistics


@pytest.mark.parametrize(
    ("classes", "labels", "sentence"),
    [
        (["background", "coin"], [[0, 0, 255], [0, 255, 255]], r"class 0 \(background\) or 255"),
        (["a", "b", "c"], [[255, 255]], r"all pixels of the 1 label maps of set are 255 \(100"),
        (["road", "car", "tree"], [[0, 255, 255, 255]], r"75\.00 % are 255.*write 1 .* class car"),
        (["background"], [[0, 0, 255]], r"the single class background.*data\.classes=\[backgr"),
    ],
)
def test_label_maps_with_nothing_to_tell_apart_are_refused(
    classes: list[str], labels: list[list[int]], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        require_learnable(counted(classes, *labels), "set")


def test_classes_without_a_pixel_are_named_once(project_log: pytest.LogCaptureFixture) -> None:
    statistics = counted(["road", "car", "tree"], [0, 0, 255, 255], [0, 1, 1, 1])
    for _ in range(2):
        require_learnable(statistics, "some set")
    (said,) = [line.getMessage() for line in project_log.records]
    assert "some set: 1 of the 3 classes has no pixel in any label map" in said
    assert "tree (2)" in said
    assert '25.00 % of the pixels are 255, which means "ignore"' in said
    project_log.clear()
    require_learnable(counted(["road", "car"], [0, 1, 255]), "good set")
    require_learnable(LabelStatistics(["road", "car"]), "empty set")
    assert not project_log.records


def test_registered_label_maps_of_0_and_255_are_refused(tmp_path: Path) -> None:
    name = "test_labels_0_255"
    DatasetCatalog.register(name, lambda: [])
    try:
        MetadataCatalog.get(name).set(stuff_classes=["background", "coin"])
        with pytest.raises(UserError, match=f"all pixels of the 1 label maps of {name}"):
            require_label_maps([record(tmp_path, blocks([0, 255], 0))], [name])
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_registered_data_sets_are_checked_by_their_class_names(tmp_path: Path) -> None:
    name = "test_labels_registered"
    good, bad = record(tmp_path, blocks([0, 1], 0)), record(tmp_path, blocks([0, 9], 0), "bad")
    DatasetCatalog.register(name, lambda: [good, bad])
    try:
        MetadataCatalog.get(name).set(stuff_classes=["a", "b"])
        require_label_maps([good], [name])
        with pytest.raises(UserError, match=r"bad\.png has the labels 9"):
            require_label_maps([good, bad], [name])
        require_label_maps([{"file_name": "x.jpg", "annotations": []}], [name])
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_colours_are_vocs_and_all_differ() -> None:
    colours = class_colours(256)
    assert colours[:4] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert colours[15] == (192, 128, 128)
    assert colours[20] == (0, 64, 128)
    assert len(set(colours)) == 256


def test_bright_colours_differ_and_the_background_is_black() -> None:
    names = ["background", *(f"class {number}" for number in range(150))]
    colours = distinct_colours(names)
    assert colours[0] == (0, 0, 0)
    assert len(set(colours)) == len(names)
    few = np.array(colours[:14])
    apart = np.abs(few[:, None] - few[None]).sum(-1) + 999 * np.eye(len(few), dtype=int)
    assert apart.min() > 50
