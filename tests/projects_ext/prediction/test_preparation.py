"""Inputs of the model: from files, PIL images and arrays the same, and as an evaluation's."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import get_cfg
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.errors import MissingFileError, UserError
from projects_ext.prediction.preparation import Preparation, evaluation_mapper
from projects_ext.zoo import get_config

SIZE = (50, 80)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file that is to be turned by 90 degrees: upright it has 80 rows and 50 columns."""
    values = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


def mapper(augmentation: Any, image_format: str) -> DatasetMapper:
    return DatasetMapper(is_train=False, augmentations=[augmentation], image_format=image_format)


@pytest.mark.parametrize("image_format", ["RGB", "BGR", "L"])
@pytest.mark.parametrize("resize", [T.ResizeShortestEdge, OpenCVResizeShortestEdge])
def test_every_kind_of_image_is_prepared_as_the_mapper_does(
    resize: Any, image_format: str, picture: Path
) -> None:
    reader = mapper(resize(short_edge_length=64, max_size=90), image_format)
    expected = reader({"file_name": str(picture)})
    bgr = np.ascontiguousarray(detection_utils.read_image(str(picture), "BGR"))
    prepare, from_rgb = Preparation(reader), Preparation(reader, "RGB")
    for found in (
        prepare(str(picture)),
        prepare(picture),
        prepare(Image.open(picture)),
        prepare(bgr),
        from_rgb(np.ascontiguousarray(bgr[:, :, ::-1])),
        from_rgb(bgr[:, :, ::-1]),
    ):
        assert torch.equal(found["image"], expected["image"])
        assert (found["height"], found["width"]) == SIZE[::-1]


def test_grey_palette_and_alpha(tmp_path: Path) -> None:
    reader = mapper(T.NoOpTransform(), "RGB")
    prepare = Preparation(reader)
    grey = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8)
    images = {"L": Image.fromarray(grey), "P": Image.fromarray(grey).convert("P")}
    images["RGBA"] = Image.fromarray(grey).convert("RGBA")
    for mode, image in images.items():
        file = tmp_path / f"{mode}.png"
        image.save(file)
        assert image.mode == mode
        expected = torch.from_numpy(grey).expand(3, -1, -1)
        for given in (file, image):
            assert torch.equal(prepare(given)["image"], expected)
    assert torch.equal(prepare(grey)["image"], torch.from_numpy(grey).expand(3, -1, -1))


def test_from_several_threads(picture: Path) -> None:
    prepare = Preparation(mapper(T.ResizeShortestEdge(64, 90), "RGB"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(prepare, [picture] * 16))
    assert all(torch.equal(one["image"], found[0]["image"]) for one in found)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\), but an image has"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\), but an image has"),
        (np.zeros((8, 0, 3), np.uint8), r"shape \(8, 0, 3\), but an image has"),
        (np.zeros((8, 8, 3), np.float32), "values of float32, but an image has uint8"),
        (np.zeros((8, 8), np.uint16), r"values of uint16, .*eight_bit"),
        (torch.zeros(3, 8, 8), "an image is a path, a PIL image or an array of uint8, not a Tens"),
        (None, "not a NoneType"),
        ("https://example.org/a.png", "a.png is an address: download the image"),
        (Image.new("I;16", (8, 8)), r'PIL mode "I;16".*cut off'),
        (Image.new("F", (8, 8)), 'PIL mode "F"'),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(image: Any, sentence: str) -> None:
    prepare = Preparation(mapper(T.ResizeShortestEdge(64, 90), "RGB"))
    with pytest.raises(UserError, match=sentence) as caught:
        prepare(image)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path, picture: Path) -> None:
    prepare = Preparation(mapper(T.NoOpTransform(), "RGB"))
    with pytest.raises(MissingFileError, match=r"there is no image file .*none\.png: correct"):
        prepare(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"text\.png is no image, or of a kind"):
        prepare(tmp_path / "text.png")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"cut\.png cannot be read \(.*\): it is truncated"):
        prepare(tmp_path / "cut.png")
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full(SIZE, 4000, np.uint16)).save(deep)
    with pytest.raises(UserError, match=r'deep\.png has the PIL mode "I;16".* cut off'):
        prepare(deep)


class OwnMapper:
    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        image = Image.open(record["file_name"])
        return {"image": torch.zeros(3, 4, 4), "height": image.height, "width": image.width}


def test_a_mapper_of_ones_own_reads_files(picture: Path) -> None:
    prepare = Preparation(OwnMapper())
    assert prepare(picture)["image"].shape == (3, 4, 4)
    with pytest.raises(UserError, match="the config's OwnMapper reads image files by itself"):
        prepare(Image.open(picture))


def test_mappers_of_both_kinds_of_config() -> None:
    lazy = evaluation_mapper(get_config("groie/mask_rcnn_r50_fpn_groie_1x"))
    assert isinstance(lazy.augmentations.augs[0], OpenCVResizeShortestEdge)
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.FORMAT = 64, "RGB"
    yaml = evaluation_mapper(cfg)
    assert (yaml.augmentations.augs[0].short_edge_length[0], yaml.image_format) == (64, "RGB")
    with pytest.raises(UserError, match="array_format is 'rgb': it is BGR or RGB"):
        Preparation(yaml, "rgb")  # type: ignore[arg-type]
