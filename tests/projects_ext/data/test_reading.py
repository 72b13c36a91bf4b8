"""Image files that are missing, damaged, or not what their record says."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetMapper
from projects_ext.data import build_test_loader, build_train_loader
from projects_ext.data.labels import image_size
from projects_ext.data.reading import ReadingErrors
from projects_ext.errors import MissingFileError, UserError


def record(path: Path, **more: Any) -> dict[str, Any]:
    return {"file_name": str(path), "image_id": 7, "width": 30, "height": 20, **more}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    pixels = np.random.RandomState(0).randint(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mapper() -> ReadingErrors:
    return ReadingErrors(DatasetMapper(is_train=False, augmentations=[], image_format="BGR"))


def test_a_good_image_is_mapped(picture: Path) -> None:
    assert mapper()(record(picture))["image"].shape == (3, 20, 30)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere\.jpg \(image id 7\) does not exist: copy"):
        mapper()(record(tmp_path / "nowhere.jpg"))


def test_a_truncated_image_is_named(picture: Path) -> None:
    content = picture.read_bytes()
    picture.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"picture\.jpg \(image id 7\) cannot be read \(.*trunc"):
        mapper()(record(picture))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_what_is_no_image_is_named(content: bytes, picture: Path) -> None:
    picture.write_bytes(content)
    with pytest.raises(
        UserError, match=r"picture\.jpg .* is no image, or of a kind .*: copy it again"
    ):
        mapper()(record(picture))


def test_another_size_is_named_with_both_sizes(picture: Path) -> None:
    with pytest.raises(UserError, match=r"picture\.jpg .* is 30 x 20 .* says 20 x 30"):
        mapper()(record(picture, width=20, height=30))


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_only_an_orientation_in_the_file_is_given_as_the_reason(
    orientation: int | None, picture: Path
) -> None:
    turned = orientation in (6, 8)
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        with Image.open(picture) as image:
            image.load()
        image.save(picture, exif=exif)
    size = (30, 20) if turned else (20, 30)
    with pytest.raises(UserError) as caught:
        mapper()(record(picture, width=size[0], height=size[1]))
    said = caught.value.sentence
    assert ("EXIF" in said) == turned
    assert ("width and height are exchanged there: exchange them" in said) != turned


def test_a_missing_label_map_is_named_and_not_the_image(picture: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"labels\.png \(image id 7\) does not exist"):
        mapper()(record(picture, sem_seg_file_name=str(tmp_path / "labels.png")))


def test_a_mistake_in_the_mapper_stays_what_it_is(picture: Path) -> None:
    def broken(_: dict[str, Any]) -> None:
        raise ZeroDivisionError("in the mapper")

    with pytest.raises(ZeroDivisionError, match="in the mapper") as error:
        ReadingErrors(broken)(record(picture))
    assert "picture.jpg" in "".join(getattr(error.value, "__notes__", ["picture.jpg"]))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_loaders_pass_the_sentence_on(training: bool, workers: int, tmp_path: Path) -> None:
    records = [record(tmp_path / f"{index}.jpg") for index in range(2)]
    for entry in records:
        Image.new("RGB", (30, 20)).save(entry["file_name"])
    options: Any = {"mapper": mapper().mapper, "num_workers": workers}
    if training:
        loader = build_train_loader(records, total_batch_size=1, **options)
    else:
        loader = build_test_loader(records, **options)
    for entry in records:
        Path(entry["file_name"]).unlink()
    with pytest.raises(UserError) as error:
        next(iter(loader))
    assert error.value.sentence.startswith("the image file ")
    assert "does not exist: copy it there" in error.value.sentence
    assert "Traceback" not in error.value.sentence


@pytest.mark.parametrize("orientation", [None, 6])
def test_loaders_compare_sizes_before_a_run(orientation: int | None, tmp_path: Path) -> None:
    records = [record(tmp_path / f"{index}.jpg") for index in range(3)]
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    for entry in records:
        Image.new("RGB", (30, 20)).save(entry["file_name"], exif=exif)
    if orientation:
        records[0] |= {"width": 20, "height": 30}  # as it is read
        found = r"1\.jpg .* is 20 x 30 .* says 30 x 20: the image is turned by its EXIF .*"
    else:
        records[1]["width"], records[2]["height"] = 31, 21
        found = r"1\.jpg .* is 30 x 20 .* says 31 x 20: put the right file in place.*"
    for build in (build_test_loader, partial(build_train_loader, total_batch_size=1)):
        with pytest.raises(UserError, match=found + r"\(2 of the 3 images looked at"):
            build(records, mapper=mapper().mapper)


def test_the_orientation_of_a_png_may_stand_behind_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "0.png"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
    end = content.index(b"IEND") - 4
    path.write_bytes(content[:start] + content[stop:end] + content[start:stop] + content[end:])
    read = record(path, width=20, height=30)
    assert mapper()(read)["image"].shape == (3, 30, 20)
    assert image_size(path) == (30, 20)
    build_test_loader([read], mapper=mapper().mapper)
    with pytest.raises(UserError, match="is 20 x 30 .* says 20 x 31: put the right file"):
        build_test_loader([read | {"height": 31}], mapper=mapper().mapper)


def test_loaders_look_for_images_before_a_run(tmp_path: Path) -> None:
    records = [record(tmp_path / f"{index}.jpg") for index in range(3)]
    options: Any = {"mapper": mapper().mapper}
    for build in (build_test_loader, partial(build_train_loader, total_batch_size=1)):
        with pytest.raises(MissingFileError, match=r"0\.jpg .* \(3 of the 3 images looked at"):
            build(records, **options)
