"""Small scenes: what is there, what was found, as files that a report reads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_util

from projects_ext.report.results import Results, read_results

# Names that would break a page which does not escape them.
CLASSES = ('cat <b>&"', "dog's", "50 $x$ %")
SIDE = 100

Box = tuple[float, float, float, float]
Thing = tuple[Any, ...]
"""(image, class, box) of an object, with a score at the end of a detection; numbers from 0."""


def rectangle(box: Box) -> dict[str, Any]:
    """The RLE of a mask that fills a box."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    x, y, width, height = (round(value) for value in box)
    mask[y : y + height, x : x + width] = 1
    rle = mask_util.encode(mask)
    return {"size": [SIDE, SIDE], "counts": rle["counts"].decode()}


def truth_of(objects: Sequence[Thing], images: int, masks: bool, crowds: Sequence[int] = ()) -> Any:
    """Ground truth in COCO format; ids do not start at 1 and are out of order."""
    annotations = []
    for number, (image, label, box) in enumerate(objects):
        one = {
            "id": 100 - number,
            "image_id": 7 + 2 * image,
            "category_id": 11 + label,
            "bbox": list(box),
            "area": box[2] * box[3],
            "iscrowd": int(number in crowds),
        }
        annotations.append(one | ({"segmentation": rectangle(box)} if masks else {}))
    return {
        "images": [
            {"id": 7 + 2 * k, "file_name": f"{k} <&' #.png", "width": SIDE, "height": SIDE}
            for k in range(images)
        ],
        "categories": [{"id": 11 + k, "name": name} for k, name in enumerate(CLASSES)],
        "annotations": annotations,
    }


def detections_of(detections: Sequence[Thing], masks: bool) -> Any:
    """Results in COCO's format."""
    return [
        {"image_id": 7 + 2 * image, "category_id": 11 + label, "bbox": list(box), "score": score}
        | ({"segmentation": rectangle(box)} if masks else {})
        for image, label, box, score in detections
    ]


def write_scene(
    folder: Path,
    objects: Sequence[Thing],
    detections: Sequence[Thing],
    *,
    masks: bool = False,
    crowds: Sequence[int] = (),
    images: int = 0,
) -> tuple[Path, Path, Path]:
    """Results, ground truth and images as files; returns their paths."""
    images = images or 1 + max(one[0] for one in (*objects, *detections))
    results, truth, pictures = folder / "results.json", folder / "truth.json", folder / "images"
    pictures.mkdir(exist_ok=True)
    content = truth_of(objects, images, masks, crowds)
    for number, entry in enumerate(content["images"]):
        colour = (40 * number % 256, 120, 160)
        Image.new("RGB", (SIDE, SIDE), colour).save(pictures / entry["file_name"])
    truth.write_text(json.dumps(content))
    results.write_text(json.dumps(detections_of(detections, masks)))
    return results, truth, pictures


def scene(folder: Path, *things: Sequence[Thing], **options: Any) -> Results:
    """As :func:`write_scene`, read again."""
    objects, detections = things
    return read_results(*write_scene(folder, objects, detections, **options))


def random_scene(seed: int, images: int = 12) -> tuple[list[Thing], list[Thing]]:
    """Objects, and detections with every kind of error among them."""
    random = np.random.default_rng(seed)
    objects: list[Thing] = []
    detections: list[Thing] = []
    for image in range(images):
        for _ in range(random.integers(1, 6)):
            x, y = random.integers(0, 60, 2).tolist()
            width, height = random.integers(8, 40, 2).tolist()
            label = int(random.integers(0, 3))
            objects.append((image, label, (x, y, width, height)))
            for _ in range(random.integers(0, 3)):
                shift = int(random.integers(0, 9))
                said = label if random.random() < 0.7 else int(random.integers(0, 3))
                box = (min(x + shift, 90), y, min(width, 100 - min(x + shift, 90)), height)
                detections.append((image, said, box, round(float(random.random()), 3)))
        box = (*random.integers(0, 80, 2).tolist(), 15, 15)
        detections.append((image, int(random.integers(0, 3)), box, float(random.random())))
    return objects, detections
