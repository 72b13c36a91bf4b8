"""Made-up pictures with made-up objects, as large and as full as COCO's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from detectron2.structures import Boxes, Instances, PolygonMasks

CLASSES = 80
OBJECTS = 7
"""Instances of a picture: COCO's mean is 7.3."""


def polygon(random: np.random.RandomState, box: np.ndarray, points: int) -> np.ndarray:
    """A star-shaped polygon that touches the box (x0, y0, x1, y1), as x, y, x, y, …"""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    spokes = random.uniform(0.6, 1.0, points)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1) * spokes[:, None]
    around = (around - around.min(axis=0)) / np.ptp(around, axis=0)
    return (box[:2] + around * (box[2:] - box[:2])).round(2).ravel()


def boxes(random: np.random.RandomState, count: int, width: int, height: int) -> np.ndarray:
    """Boxes of 4 % to 60 % of the picture's sides."""
    size = random.uniform(0.04, 0.6, (count, 2)) * [width, height]
    corner = random.uniform(size=(count, 2)) * ([width, height] - size)
    return np.concatenate([corner, corner + size], axis=1).round(2)


def picture(random: np.random.RandomState, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8: smooth colour with fine noise, which compresses about as photographs do."""
    coarse = random.randint(0, 256, (height // 32 + 1, width // 32 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + random.normal(0, 12, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def batch(size: int, height: int, width: int, device: str) -> list[dict[str, Any]]:
    """Training inputs, as ``DatasetMapper`` makes them, of a Mask R-CNN."""
    random = np.random.RandomState(0)
    return [_input(random, height, width, device) for _ in range(size)]


def _input(random: np.random.RandomState, height: int, width: int, device: str) -> dict[str, Any]:
    image = torch.from_numpy(picture(random, width, height).transpose(2, 0, 1).copy())
    found = boxes(random, OBJECTS, width, height)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.from_numpy(found).float())
    instances.gt_classes = torch.from_numpy(random.randint(0, CLASSES, OBJECTS))
    instances.gt_masks = PolygonMasks([[polygon(random, box, 24)] for box in found])
    return {"image": image, "instances": instances.to(device), "height": height, "width": width}


def write_pictures(folder: Path, count: int, width: int = 640, height: int = 480) -> Path:
    """Write JPEG pictures and their COCO json below ``folder``; the json's path."""
    random = np.random.RandomState(1)
    for index in range(count):
        Image.fromarray(picture(random, width, height)).save(folder / f"{index:012d}.jpg")
    json_file = folder / "instances.json"
    write_annotations(json_file, count, count * OBJECTS, width, height)
    return json_file


def write_annotations(
    json_file: Path, images: int, annotations: int, width: int = 640, height: int = 480
) -> None:
    """Write a COCO json without holding it in memory; each hundredth image has no object."""
    random = np.random.RandomState(2)
    with json_file.open("w") as file:
        categories = [{"id": index + 1, "name": f"class {index}"} for index in range(CLASSES)]
        file.write(f'{{"categories": {json.dumps(categories)}, "images": [')
        size = {"height": height, "width": width}
        for index in range(images):
            image = {"id": index, "file_name": f"{index:012d}.jpg", **size, "license": 3}
            file.write((", " if index else "") + json.dumps(image))
        file.write('], "annotations": [')
        owners = np.array([index for index in range(images) if index % 100 != 99])
        owners = np.sort(owners[random.randint(0, len(owners), annotations)])
        for index, text in enumerate(_annotations(random, owners, width, height)):
            file.write((", " if index else "") + text)
        file.write("]}")


def _annotations(
    random: np.random.RandomState, owners: np.ndarray, width: int, height: int
) -> Iterator[str]:
    """One json object for each entry of ``owners``, the image ids."""
    shapes = [polygon(random, np.array([0.0, 0, 1, 1]), n) for n in range(8, 48)]
    for index, (owner, box) in enumerate(
        zip(owners, boxes(random, len(owners), width, height), strict=True)
    ):
        x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
        shape = shapes[index % len(shapes)].reshape(-1, 2) * [w, h] + [x, y]
        annotation = {
            "id": index + 1,
            "image_id": int(owner),
            "category_id": index % CLASSES + 1,
            "bbox": [float(x), float(y), round(float(w), 2), round(float(h), 2)],
            "area": round(float(w * h) * 0.6, 2),
            "iscrowd": 0,
            "segmentation": [shape.round(2).ravel().tolist()],
        }
        yield json.dumps(annotation)
