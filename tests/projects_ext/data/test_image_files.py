"""Image files that would be read wrongly: refused or said, by their headers."""

import logging
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T
from projects_ext.data import build_test_loader, build_train_loader
from projects_ext.data import image_files as module
from projects_ext.data.eight_bit import convert_folder, main
from projects_ext.data.labels import image_size, read_label_map
from projects_ext.data.reading import ReadingErrors
from projects_ext.errors import UserError

CASES = Path(__file__).parents[2] / "data" / "coco_cases" / "deep_images"
DEEP = {
    "uint16.png": np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50,
    "uint16.tif": np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50,
    "big_endian.tif": np.arange(1200, dtype=">u2").reshape(30, 40),
    "int32.tif": np.arange(1200, dtype=np.int32).reshape(30, 40) * 1000,
    "float.tif": np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40),
}


@pytest.fixture(autouse=True)
def nothing_has_been_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_said", set())


def reader(image_format: str | None = "BGR", *augmentations: Any) -> ReadingErrors:
    mapper = DatasetMapper(
        is_train=False, augmentations=list(augmentations), image_format=image_format
    )
    return ReadingErrors(mapper)


def record(path: Path, **more: Any) -> dict[str, Any]:
    return {"file_name": str(path), "image_id": 3, **more}


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def colour_png_of_16_bits(path: Path, width: int = 4, height: int = 2) -> Path:
    """Pillow cannot write one."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    lines = (b"\0" + bytes(6 * width)) * height
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "L"])
@pytest.mark.parametrize("name", DEEP)
def test_deep_images_are_refused_with_file_and_mode(
    name: str, image_format: str, tmp_path: Path
) -> None:
    path = save(tmp_path / name, DEEP[name])
    mode = Image.open(path).mode
    with pytest.raises(UserError) as error:
        reader(image_format)(record(path))
    assert f'{name} (image id 3) has the PIL mode "{mode}"' in str(error.value)
    assert "python -m projects_ext.data.eight_bit FOLDER NEW_FOLDER" in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("grey16.png", "PIL mode"),
        ("float01.tif", 'PIL mode "F"'),
        ("bands5_planar.tif", "of a kind that Pillow does not read"),
    ],
)
def test_the_files_of_the_case_are_refused_before_a_run(name: str, reason: str) -> None:
    records = [record(CASES / name, width=80, height=60)]
    mapper = DatasetMapper(is_train=False, augmentations=[], image_format="RGB")
    with pytest.raises(UserError, match=rf"{name} .*{reason}"):
        build_train_loader(records, mapper=mapper, total_batch_size=1)
    with pytest.raises(UserError, match=rf"{name} .*{reason}"):
        build_test_loader(records, mapper=mapper)


def test_the_remedy_keeps_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "more").mkdir(parents=True)
    shutil.copy(CASES / "grey16.png", tmp_path / "in" / "more" / "a.png")
    save(tmp_path / "in" / "b.tif", np.array([[0, 4095]], dtype=np.uint16))
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    save(tmp_path / "in" / "c.png", colours)
    main([str(tmp_path / "in"), str(tmp_path / "out"), "--range", "0", "65535"])
    assert "--range 0 65535" in capsys.readouterr().out
    deep = np.array(Image.open(CASES / "grey16.png"))
    shallow = np.array(Image.open(tmp_path / "out" / "more" / "a.png"))
    assert shallow.dtype == np.uint8
    assert np.abs(shallow * 257.0 - deep).max() <= 129
    assert np.array(Image.open(tmp_path / "out" / "b.tif")).tolist() == [[0, 16]]
    assert np.array_equal(np.array(Image.open(tmp_path / "out" / "c.png")), colours)
    assert reader()(record(tmp_path / "out" / "more" / "a.png"))["image"].float().std() > 1


def test_without_a_range_it_is_that_of_all_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.tif", np.array([[0.25, np.nan]], dtype=np.float32))
    save(tmp_path / "in" / "b.tif", np.array([[0.5, 0.75]], dtype=np.float32))
    assert convert_folder(tmp_path / "in", tmp_path / "out") == (0.25, 0.75)
    assert np.array(Image.open(tmp_path / "out" / "b.tif")).tolist() == [[128, 255]]


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    with pytest.raises(UserError, match="no folder of images at"):
        convert_folder(folder, tmp_path / "out")
    folder.mkdir()
    save(folder / "a.png", np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(UserError, match="no image in .* has more than 8 bits"):
        convert_folder(folder, tmp_path / "out")
    with pytest.raises(UserError, match="give another new folder"):
        convert_folder(folder, folder / "out")
    save(folder / "b.png", np.full((2, 2), 7, dtype=np.uint16))
    with pytest.raises(UserError, match="the range of values is 7 to 7: give --range"):
        convert_folder(folder, tmp_path / "out")
    save(folder / "c.tif", np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(UserError, match=r"1 images of integers .* and 1 of floating point"):
        convert_folder(folder, tmp_path / "out")


def test_raw_reading_of_deep_images(tmp_path: Path, project_log: Any) -> None:
    integers = save(tmp_path / "a.png", DEEP["uint16.png"])
    with pytest.raises(UserError, match=r"I;16.*integers that cannot be augmented.*format=null"):
        reader(None)(record(integers))
    floating = save(tmp_path / "b.tif", DEEP["float.tif"])
    with project_log.at_level(logging.WARNING):
        image = ReadingErrors(
            DatasetMapper(is_train=False, augmentations=[T.RandomFlip(prob=0.0)], image_format="F")
        )
        image._check(record(floating))
    assert "model.pixel_mean" in project_log.text


def test_dropped_bands_are_said_once(tmp_path: Path, project_log: Any) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name, np.zeros((2, 2, 4), dtype=np.uint8))
    Image.new("RGBX", (2, 2)).save(tmp_path / "c.tif")
    colour_png_of_16_bits(tmp_path / "d.png")
    read = reader()
    with project_log.at_level(logging.WARNING):
        for name in ("a.png", "b.png", "c.tif", "d.png"):
            read(record(tmp_path / name))
    said = [line.getMessage() for line in project_log.records if "image id" in line.getMessage()]
    assert len(said) == 3
    assert "a.png (image id 3) has an alpha channel (PIL mode RGBA), which is dropped" in said[0]
    assert "c.tif (image id 3) has a fourth band, which is dropped" in said[1]
    assert "d.png (image id 3) has 16 bits per channel, of which only the upper 8" in said[2]
    project_log.clear()
    reader("RGBA")(record(tmp_path / "a.png"))
    assert "dropped" not in project_log.text


def test_mappers_that_read_by_themselves_are_only_warned(tmp_path: Path, project_log: Any) -> None:
    class Own(DatasetMapper):
        def __call__(self, dataset_dict: dict[str, Any]) -> Any:
            return np.array(Image.open(dataset_dict["file_name"])).max()

    path = save(tmp_path / "a.png", DEEP["uint16.png"])
    with project_log.at_level(logging.WARNING):
        read = ReadingErrors(Own(is_train=False, augmentations=[], image_format="BGR"))
        assert read(record(path)) == DEEP["uint16.png"].max()
        assert ReadingErrors(lambda _: 1)({"file_name": "not a file"}) == 1
    assert 'has the PIL mode "I;16", whose values Own has to scale' in project_log.text


def test_images_above_pillows_limit_have_the_right_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", np.zeros((30, 40), dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError) as error:
        reader()(record(path, width=40, height=30))
    assert "a.png (image id 3) (40 x 30) has more than the 0 million pixels" in str(error.value)
    assert "cut it into tiles or shrink it" in str(error.value)
    assert "truncated" not in str(error.value)
    for read in (image_size, read_label_map):
        with pytest.raises(UserError, match=r"a\.png has more than the 0 million pixels"):
            read(path)


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1)])
def test_thin_images_are_read_or_refused_never_a_crash(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    path = save(tmp_path / "thin.png", np.full(shape, 9, dtype=np.uint8))
    resize = T.ResizeShortestEdge(80, 133)
    height, width = resize.get_output_shape(*shape, 80, 133)
    if min(height, width):
        assert reader("BGR", resize)(record(path))["image"].shape[1:] == (height, width)
    else:
        with pytest.raises(UserError, match=r"thin\.png .* pixels \(width x height\), of which"):
            reader("BGR", resize)(record(path))


def test_upstreams_rounding_to_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(T.ResizeShortestEdge, "get_output_shape", staticmethod(lambda *_: (0, 133)))
    path = save(tmp_path / "thin.png", np.full((1, 4000), 9, dtype=np.uint8))
    with pytest.raises(
        UserError, match="is 4000 x 1 pixels .* resizing to at most 133 pixels leaves 133 x 0"
    ):
        reader("BGR", T.ResizeShortestEdge(80, 133))(record(path))


def test_a_sample_of_many_images_is_looked_at(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", np.zeros((2, 2), dtype=np.uint8))
    deep = save(tmp_path / "deep.png", DEEP["uint16.png"])
    records = [record(good)] * 2400 + [record(deep)] * 600
    with pytest.raises(UserError, match=r"deep\.png .*\(200 of the 1000 images looked at cannot"):
        reader().look_at(records)
    reader().look_at(records[:2400])


@pytest.mark.core_only(reason="upstream reads deep images as white or black")
@pytest.mark.parametrize("name", DEEP)
def test_core_reads_no_deep_image_as_eight_bits(name: str, tmp_path: Path) -> None:
    path = str(save(tmp_path / name, DEEP[name]))
    with pytest.raises(ValueError, match=rf"{name}' cannot be read: The image has the PIL mode"):
        detection_utils.read_image(path, "BGR")
    assert np.array_equal(detection_utils.read_image(path), DEEP[name])
