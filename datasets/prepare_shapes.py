"""Write the *shapes* data set: small textured pictures of five kinds of objects, in COCO format.

    python datasets/prepare_shapes.py [--output datasets/shapes] [--train 800] [--val 100]

The same arguments always give the same files. Nothing is downloaded. The result::

    shapes/train/*.png            shapes/val/*.png
    shapes/annotations/instances_train.json, instances_val.json
    shapes/labels/train/*.png     shapes/labels/val/*.png

Objects lie on top of each other and are annotated as they are seen: the polygons of a partly
hidden object outline its visible part. Some pictures have no object, and one picture of each part
has a crowd region. Label maps hold 0 for background, 1 to 5 for the kinds in their order, and 255
("ignore") in crowds.
"""

import argparse
import colorsys
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from tqdm import tqdm

KINDS = ("disc", "box", "triangle", "star", "cross")
CROWD_KIND = "disc"
IGNORE_LABEL = 255
EMPTY_SHARE = 0.04
# An object of which less is left to see than this is left out of the picture.
MIN_VISIBLE_PIXELS, MIN_VISIBLE_SHARE = 40, 0.3


def outline(kind: str) -> np.ndarray:
    """Vertices (n, 2) of ``kind`` around the origin, within the unit circle."""
    if kind == "disc":
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "box":
        return np.array([[-0.8, -0.6], [0.8, -0.6], [0.8, 0.6], [-0.8, 0.6]])
    if kind == "triangle":
        angles = np.deg2rad([90, 210, 330])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "star":
        angles = np.deg2rad(90 + 36 * np.arange(10))
        radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "cross":
        a, b = 0.28, 0.95
        quarter = np.array([[a, b], [a, a], [b, a]])
        turns = [np.array([[c, -s], [s, c]]) for c, s in ((1, 0), (0, -1), (-1, 0), (0, 1))]
        return np.concatenate([quarter @ turn.T for turn in turns])
    raise ValueError(f"unknown kind of object: {kind!r}; known are {', '.join(KINDS)}")


def place(kind: str, random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The outline of ``kind``, turned, stretched and put somewhere in the picture (pixels, xy)."""
    radius = 0.5 * min(height, width) * math.exp(random.uniform(math.log(0.15), math.log(0.65)))
    turn = random.uniform(0, 2 * np.pi)
    stretch = random.uniform(0.75, 1.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = radius * (outline(kind) * [1.0, stretch]) @ rotation.T
    margin = 0.6 * radius
    centre = random.uniform([margin, margin], [width - margin, height - margin])
    return np.clip(points + centre, 0, [width, height]).round(2)


def rasterise(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boolean mask (H, W) of one polygon, by the rule that COCO's evaluation uses."""
    rle = coco_mask.frPyObjects([polygon.reshape(-1).tolist()], height, width)
    return coco_mask.decode(rle)[..., 0].astype(bool)


def colour(random: np.random.Generator, kind: str | None) -> np.ndarray:
    """A colour (3,) in 0..255: greyish for the background, around its own hue for each kind."""
    if kind is None:
        hue, saturation = random.uniform(), random.uniform(0.0, 0.25)
    else:
        hue = (KINDS.index(kind) / len(KINDS) + random.normal(0, 0.06)) % 1.0
        saturation = random.uniform(0.35, 0.9)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, random.uniform(0.4, 0.9)))


def texture(
    random: np.random.Generator, height: int, width: int, kind: str | None = None
) -> np.ndarray:
    """A picture (H, W, 3) in 0..255 for the background or a ``kind``: a colour with stripes,
    checks, blobs or a gradient, and fine noise.
    """
    rows, columns = np.mgrid[0:height, 0:width] / random.uniform(4, 12)
    turn = random.uniform(0, np.pi)
    u = columns * np.cos(turn) + rows * np.sin(turn)
    v = rows * np.cos(turn) - columns * np.sin(turn)
    patterns = (np.sin(u), np.sign(np.sin(u) * np.sin(v)), np.sin(u) * np.cos(0.7 * v), 0.3 * u)
    pattern = patterns[random.integers(len(patterns))]
    pattern = pattern / max(np.abs(pattern).max(), 1e-6)
    tint = 40 * random.uniform(-1, 1, 3)
    noise = random.normal(0, 6, (height, width, 3))
    return np.clip(colour(random, kind) + pattern[..., None] * tint + noise, 0, 255)


def visible_polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines of a boolean mask along its pixels' edges, [x0, y0, x1, y1, ...] each.

    Every pixel contributes its sides towards the outside, directed so that the mask lies on the
    right; the sides are then chained to loops. Outer loops are kept, holes are not: COCO polygons
    cannot express them.
    """
    sides: dict[tuple[int, int], list[tuple[int, int]]] = {}
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    directions = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    for neighbour, (start_x, start_y), (end_x, end_y) in directions:
        for y, x in np.argwhere(inner & ~neighbour).tolist():
            sides.setdefault((x + start_x, y + start_y), []).append((x + end_x, y + end_y))
    loops = []
    while sides:
        first = next(iter(sides))
        loop, point = [first], sides[first][0]
        _take(sides, first, point)
        while point != first:
            loop.append(point)
            # Where two corners touch, turn right: the loops stay apart.
            dx, dy = point[0] - loop[-2][0], point[1] - loop[-2][1]
            preferred = (point[0] - dy, point[1] + dx)
            following = preferred if preferred in sides[point] else sides[point][0]
            _take(sides, point, following)
            point = following
        corners = _corners(np.array(loop, dtype=float))
        if _signed_area(corners) > 0:
            loops.append(corners.reshape(-1).tolist())
    return loops


def _take(sides: dict, start: tuple[int, int], end: tuple[int, int]) -> None:
    sides[start].remove(end)
    if not sides[start]:
        del sides[start]


def _corners(loop: np.ndarray) -> np.ndarray:
    """The points of a closed rectilinear loop at which it turns."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    return loop[(before != after).any(axis=1)]


def _signed_area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def draw_scene(random: np.random.Generator, crowd: bool, empty: bool) -> dict[str, Any]:
    """One picture with its objects from back to front.

    Returns ``image`` (H, W, 3) uint8 and ``objects``: dicts of ``kind``, ``mask`` (the visible
    part), ``polygon`` (the outline, None once something hides a part of it) and ``crowd``.
    """
    height, width = (int(16 * random.integers(7, 12)) for _ in range(2))
    image = texture(random, height, width)
    objects: list[dict[str, Any]] = []
    kinds = (
        [] if empty else [KINDS[i] for i in random.integers(len(KINDS), size=random.integers(1, 8))]
    )
    outlines = [(kind, place(kind, random, height, width)) for kind in kinds]
    if crowd:
        objects.append(_draw_crowd(image, random))
    for kind, polygon in outlines:
        mask = rasterise(polygon, height, width)
        remaining = [other["mask"] & ~mask for other in objects]
        hides_too_much = any(
            left.sum() < max(MIN_VISIBLE_PIXELS, MIN_VISIBLE_SHARE * other["area"])
            for left, other in zip(remaining, objects, strict=True)
        )
        if hides_too_much or mask.sum() < MIN_VISIBLE_PIXELS:
            continue
        for left, other in zip(remaining, objects, strict=True):
            if left.sum() < other["mask"].sum():
                other.update(mask=left, polygon=None)
        image[mask] = texture(random, height, width, kind)[mask]
        objects.append(
            {"kind": kind, "mask": mask, "polygon": polygon, "crowd": False, "area": mask.sum()}
        )
    return {"image": image.round().astype(np.uint8), "objects": objects}


def _draw_crowd(image: np.ndarray, random: np.random.Generator) -> dict[str, Any]:
    """Many small discs in the upper left quarter, to be annotated as one region."""
    height, width = image.shape[:2]
    region = np.zeros((height, width), dtype=bool)
    for _ in range(40):
        centre = random.uniform([6, 6], [width / 2, height / 2])
        mask = rasterise(6 * outline("disc") + centre, height, width)
        image[mask] = texture(random, height, width, CROWD_KIND)[mask]
        region |= mask
    return {
        "kind": CROWD_KIND,
        "mask": region,
        "polygon": None,
        "crowd": True,
        "area": region.sum(),
    }


def annotation(thing: dict[str, Any], image_id: int, annotation_id: int) -> dict[str, Any]:
    """The COCO annotation of one object of :func:`draw_scene`."""
    rle = coco_mask.encode(np.asfortranarray(thing["mask"].astype(np.uint8)))
    if thing["crowd"]:
        counts = _uncompressed_counts(thing["mask"])
        segmentation: Any = {"size": list(thing["mask"].shape), "counts": counts}
    elif thing["polygon"] is not None:
        segmentation = [thing["polygon"].reshape(-1).tolist()]
    else:
        segmentation = visible_polygons(thing["mask"])
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": KINDS.index(thing["kind"]) + 1,
        "segmentation": segmentation,
        "bbox": coco_mask.toBbox(rle).tolist(),
        "area": float(coco_mask.area(rle)),
        "iscrowd": int(thing["crowd"]),
    }


def _uncompressed_counts(mask: np.ndarray) -> list[int]:
    """Run lengths in column-major order, the first one of zeros: COCO's form of crowd regions."""
    flat = mask.reshape(-1, order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def label_map(objects: list[dict[str, Any]], shape: tuple[int, int]) -> np.ndarray:
    """Semantic labels (H, W) uint8: 0 background, 1.. the kinds, 255 in crowds."""
    labels = np.zeros(shape, dtype=np.uint8)
    for thing in objects:
        labels[thing["mask"]] = IGNORE_LABEL if thing["crowd"] else KINDS.index(thing["kind"]) + 1
    return labels


def write_part(root: Path, part: str, count: int, seed: int) -> dict[str, int]:
    """Write ``count`` pictures of ``part`` with labels and json; return what was counted."""
    for folder in (root / part, root / "labels" / part, root / "annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    empty_every = round(1 / EMPTY_SHARE)
    for index in tqdm(range(count), desc=f"shapes {part}", unit="image"):
        random = np.random.default_rng([seed, index])
        empty = index % empty_every == empty_every - 1
        scene = draw_scene(random, crowd=index == 0, empty=empty)
        height, width = scene["image"].shape[:2]
        name = f"{index:06d}.png"
        Image.fromarray(scene["image"]).save(root / part / name)
        labels = label_map(scene["objects"], (height, width))
        Image.fromarray(labels).save(root / "labels" / part / name)
        image_id = index + 1
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for thing in scene["objects"]:
            annotations.append(annotation(thing, image_id, len(annotations) + 1))
    content = {
        "info": {"description": f"shapes, {part} part, made by prepare_shapes.py, seed {seed}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": kind} for i, kind in enumerate(KINDS, start=1)],
    }
    (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    return {"images": len(images), "objects": len(annotations)}


def main() -> None:
    """Parse the command line and write both parts."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "shapes")
    parser.add_argument("--train", type=int, default=800, help="number of training pictures")
    parser.add_argument("--val", type=int, default=100, help="number of validation pictures")
    arguments = parser.parse_args()
    for seed, (part, count) in enumerate((("train", arguments.train), ("val", arguments.val))):
        counted = write_part(arguments.output, part, count, seed)
        print(
            f"{arguments.output / part}: {counted['images']} images, {counted['objects']} objects"
        )


if __name__ == "__main__":
    main()
