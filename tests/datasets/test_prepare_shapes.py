"""The shapes data: the same files every time, and annotations that say what is to be seen."""

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask


def read(shapes: Path, part: str) -> dict[str, Any]:
    return json.loads((shapes / "annotations" / f"instances_{part}.json").read_text())


def decoded(annotation: dict[str, Any], height: int, width: int) -> np.ndarray:
    rle = annotation["segmentation"]
    compressed = coco_mask.frPyObjects(rle, height, width)
    if isinstance(compressed, list):
        compressed = coco_mask.merge(compressed)
    return coco_mask.decode(compressed).astype(bool)


def test_the_same_arguments_give_the_same_files(
    prepare_shapes: ModuleType, shapes: Path, tmp_path: Path
) -> None:
    prepare_shapes.write_part(tmp_path, "val", 4, seed=1)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert len(written) == 4 + 4 + 1
    for name in written:
        hashes = {
            hashlib.sha256((root / name).read_bytes()).hexdigest() for root in (tmp_path, shapes)
        }
        assert len(hashes) == 1, name


def test_label_maps_agree_with_the_annotations(shapes: Path) -> None:
    content = read(shapes, "train")
    for image in content["images"]:
        size = image["height"], image["width"]
        labels = np.asarray(Image.open(shapes / "labels" / "train" / image["file_name"]))
        assert labels.shape == size
        annotated = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        for annotation in annotated:
            mask = decoded(annotation, *size)
            value = 255 if annotation["iscrowd"] else annotation["category_id"]
            # A hole, such as a small object in the middle, is part of its polygon.
            assert (labels[mask] == value).mean() > 0.7
        covered = np.zeros(size, dtype=bool)
        for annotation in annotated:
            covered |= decoded(annotation, *size)
        assert (labels[~covered] == 0).all()


def test_corner_cases_are_in(shapes: Path, prepare_shapes: ModuleType) -> None:
    content = read(shapes, "train")
    assert [a["iscrowd"] for a in content["annotations"]].count(1) == 1
    assert [category["name"] for category in content["categories"]] == list(prepare_shapes.KINDS)
    empty = prepare_shapes.draw_scene(np.random.default_rng(0), crowd=False, empty=True)
    assert empty["objects"] == []
    areas = [a["area"] for a in content["annotations"] if not a["iscrowd"]]
    assert min(areas) < 32**2 / 2 < 32**2 * 2 < max(areas)


@pytest.mark.parametrize("seed", range(8))
def test_traced_outlines_give_the_mask_back(prepare_shapes: ModuleType, seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 15)) < 0.3
    mask[4:8, 3:9] = True
    polygons = prepare_shapes.visible_polygons(mask)
    again = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape)))
    # Holes are filled; nothing else changes.
    assert (again.astype(bool) & mask).sum() == mask.sum()
    solid = np.zeros((9, 9), dtype=bool)
    solid[2:5, 1:7] = solid[4:8, 3:5] = True
    outline = prepare_shapes.visible_polygons(solid)
    assert len(outline) == 1
    traced = coco_mask.decode(coco_mask.frPyObjects(outline, 9, 9))[..., 0].astype(bool)
    assert (traced == solid).all()


def test_unknown_kind_is_refused(prepare_shapes: ModuleType) -> None:
    with pytest.raises(ValueError, match="unknown kind of object: 'heart'; known are disc"):
        prepare_shapes.outline("heart")
