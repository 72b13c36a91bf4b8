"""Objects that general converters lose: several parts, holes, circles."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as masks

from projects_ext.data.formats import Part, read_source

HEIGHT, WIDTH = 40, 60


def read(folder: Path, *shapes: dict[str, Any]) -> Part:
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png")
    content = {"shapes": list(shapes), "imagePath": "..\\elsewhere\\a.png"}
    (folder / "a.json").write_text(json.dumps(content))
    return read_source(str(folder), of_maps=False).train


def shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"label": "cat", "shape_type": kind, "points": points, **more}


def pixels(annotation: dict[str, Any]) -> np.ndarray:
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        segmentation = masks.merge(masks.frPyObjects(segmentation, HEIGHT, WIDTH))
    return masks.decode(segmentation).astype(bool)


def encoded(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


FIRST, SECOND = [[2, 3], [12, 3], [12, 20]], [[30, 5], [50, 5.5], [40, 30]]
FLAT = [2, 3, 12, 3, 12, 20], [30, 5, 50, 5.5, 40, 30]


def test_parts_of_a_group_are_one_object(tmp_path: Path) -> None:
    part = read(
        tmp_path,
        shape("polygon", FIRST, group_id=1),
        shape("polygon", SECOND, group_id=1),
        shape("polygon", FIRST, group_id=None),
        shape("polygon", SECOND),
    )
    both, first, second = part.annotations
    assert both["segmentation"] == [*FLAT]
    assert both["bbox"] == [2, 3, 48, 27]
    assert (first["segmentation"], second["segmentation"]) == ([FLAT[0]], [FLAT[1]])


def test_holes_survive(tmp_path: Path) -> None:
    ring = np.ones((11, 16), dtype=bool)
    ring[3:7, 4:9] = False
    part = read(tmp_path, shape("mask", [[5, 8], [20, 18]], mask=encoded(ring)))
    (annotation,) = part.annotations
    whole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    whole[8:19, 5:21] = ring
    assert np.array_equal(pixels(annotation), whole)
    assert annotation["bbox"] == [5, 8, 16, 11]
    assert annotation["iscrowd"] == 0


def test_mask_and_polygon_of_one_group(tmp_path: Path) -> None:
    part = read(
        tmp_path,
        shape("mask", [[20, 30], [23, 33]], mask=encoded(np.ones((4, 4))), group_id=7),
        shape("polygon", FIRST, group_id=7),
    )
    (annotation,) = part.annotations
    expected = pixels({"segmentation": [FLAT[0]]})
    expected[30:34, 20:24] = True
    assert np.array_equal(pixels(annotation), expected)


def test_box_is_an_object_without_a_mask(tmp_path: Path) -> None:
    (annotation,) = read(tmp_path, shape("rectangle", [[30, 20], [10, 5]])).annotations
    assert annotation["bbox"] == [10, 5, 20, 15]
    assert "segmentation" not in annotation


def test_circle_is_a_polygon_of_its_size(tmp_path: Path) -> None:
    (annotation,) = read(tmp_path, shape("circle", [[30, 20], [40, 20]])).annotations
    points = np.array(annotation["segmentation"][0]).reshape(-1, 2) - [30, 20]
    assert np.allclose(np.hypot(*points.T), 10)
    middles = (points + np.roll(points, 1, 0)) / 2
    assert np.hypot(*middles.T).min() > 10 - 0.06


@pytest.mark.parametrize("kind", ["line", "linestrip", "point"])
def test_shapes_without_area_are_named(tmp_path: Path, kind: str) -> None:
    part = read(tmp_path, shape("polygon", FIRST), shape(kind, [[1, 1], [5, 5], [9, 1]]))
    assert len(part.annotations) == 1
    (sentence,) = part.unusable
    assert f"shape 1 (cat) is a {kind}, which has no area" in sentence
