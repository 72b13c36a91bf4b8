"""The file, its fields, the wrong values of each, and which of them nobody can know to be wrong.

Coordinates and run lengths get harmless values only (of a wrong type, or numbers near the image):
what would reach a mask library if a check were missing must do no harm there.
"""

import math
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatch
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from tests.coco_trial import ROOT

IMAGES = ROOT / "tests" / "data" / "coco_cases" / "fiftyone_1.22.1" / "data"
HEIGHT, WIDTH = 120, 160

Path = tuple[str | int, ...]
"""Keys and indices from the top of the file to a field."""


class Action(Enum):
    """What is done to a field other than to replace its value."""

    DELETE = "deleted"
    DUPLICATE = "duplicated"


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        path: of the field.
        value: the new value, or an :class:`Action`.
    """

    path: Path
    value: Any

    @property
    def name(self) -> str:
        """E.g. ``annotations.0.bbox.2 = "abc"``."""
        value = self.value.value if isinstance(self.value, Action) else f"= {self.value!r}"
        return f"{dotted(self.path)} {value}"

    def applied(self, content: dict[str, Any]) -> dict[str, Any]:
        """A changed copy."""
        copy = deepcopy(content)
        parent: Any = copy
        for key in self.path[:-1]:
            parent = parent[key]
        last: Any = self.path[-1]
        if self.value is Action.DELETE:
            del parent[last]
        elif self.value is Action.DUPLICATE:
            parent.append(deepcopy(parent[last]))
        else:
            parent[last] = self.value
        return copy


def dotted(path: Path) -> str:
    """The path as text."""
    return ".".join(map(str, path))


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """A mask, (H, W) bool."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def run_lengths(mask: np.ndarray) -> list[int]:
    """Column by column, background first."""
    pixels = mask.flatten(order="F")
    ends = np.flatnonzero(np.diff(pixels)) + 1
    return np.diff([0, *ends, pixels.size]).tolist()


def content() -> dict[str, Any]:
    """Three images; polygons, run lengths as a list and, of a crowd, as text; all of it right."""
    crowd = coco_mask.encode(np.asfortranarray(rectangle(100, 10, 140, 50).astype(np.uint8)))
    size = [HEIGHT, WIDTH]
    shapes: list[tuple[int, int, Any, list[float], float, int]] = [
        (1, 1, [[10, 10, 50, 14, 40, 50, 12, 44]], [10, 10, 40, 40], 1209.0, 0),
        (1, 2, [[60, 10, 80, 10, 80, 40], [95, 12, 120, 12, 120, 42]], [60, 10, 60, 32], 675.0, 0),
        (
            2,
            2,
            {"size": size, "counts": run_lengths(rectangle(20, 60, 71, 111))},
            [20, 60, 51, 51],
            2601.0,
            0,
        ),
        (2, 1, {"size": size, "counts": crowd["counts"].decode()}, [100, 10, 40, 40], 1600.0, 1),
        (3, 1, [[10, 10, 50, 14, 40, 50, 12, 44]], [10, 10, 40, 40], 1209.0, 0),
    ]
    return {
        "info": {"year": 2026},
        "licenses": [{"id": 1, "name": "CC BY 4.0"}],
        "images": [
            {
                "id": i + 1,
                "file_name": f"img{i}.jpg",
                "width": WIDTH,
                "height": HEIGHT,
                "license": 1,
            }
            for i in range(3)
        ],
        "annotations": [
            {
                "id": 11 + i,
                "image_id": image,
                "category_id": category,
                "segmentation": segmentation,
                "bbox": bbox,
                "area": area,
                "iscrowd": iscrowd,
            }
            for i, (image, category, segmentation, bbox, area, iscrowd) in enumerate(shapes)
        ],
        "categories": [
            {"id": 1, "name": "cat", "supercategory": "animal"},
            {"id": 2, "name": "dog", "supercategory": "animal"},
        ],
    }


def fields(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every field; of a list of numbers the first, the second and the last one."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from fields(part, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, 1, len(value) - 1} | set(range(4 * (len(value) < 6)))):
            if index < len(value):
                yield from fields(value[index], (*path, index))


ANY_WRONG: tuple[Any, ...] = (
    *(None, "", "abc", "7", True, False, -1, 0, 1, 0.5, 3.7, 10**12, -(10**12), 10**30, 1e30),
    *(math.nan, math.inf, -math.inf, [], {}, [[]], [1, 2], [None], {"a": 1}, "cat\u0000", " cat "),
)
# Null in a list of numbers becomes NaN in NumPy, so it is no harmless coordinate.
COORDINATE = ("", "abc", "7", True, False, -5, 0, 1, 0.5, WIDTH + 50, [], {}, [[]], [1, 2])
POLYGON = (
    *(None, "", "abc", True, 0, 1, 0.5, [], {}, [[]], [1, 2], [1, 2, 3, 4], [10, 10, 50, 14, 40]),
    *([[10, 10], [50, 14], [40, 50]], ["10", "10", "50", "14", "40", "50"], [10, 10] * 3),
)
SEGMENTATION = (
    *(None, "", "abc", True, 0, 1, 0.5, [], {}, [[]], [1, 2], [[1, 2]], [[1, 2, 3, 4]]),
    *([10, 10, 50, 14, 40, 50], [[[10, 10], [50, 14], [40, 50]]], [[10, 10] * 3], [{}], ["abc"]),
    *({"size": [HEIGHT, WIDTH]}, {"counts": [5]}, {"size": [HEIGHT, WIDTH], "counts": []}),
    *([[10, 10, 50, 14, 40, 50, 12]], [["10", "10", "50", "14", "40", "50"]]),
)
# Run lengths that cover less than the image, sizes that are larger than what the run lengths fill.
COUNTS = (None, True, 0, 1, 0.5, [], {}, [[]], "", "1", [1], [1, 2], ["1"], {"a": 1})
COUNT = ("", "abc", "7", True, False, 0, 1, 0.5, [], {}, [[]])
SIZE = (None, "", "abc", True, 0, [], {}, [[]], [HEIGHT], [WIDTH, HEIGHT], [HEIGHT + 9, WIDTH + 9])
SIDE = (None, "", "abc", str(HEIGHT), [], {}, [[]], WIDTH + 10, WIDTH + 50)

VALUES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("annotations.*.segmentation.size.*", SIDE),
    ("annotations.*.segmentation.size", SIZE),
    ("annotations.*.segmentation.counts.*", COUNT),
    ("annotations.*.segmentation.counts", COUNTS),
    ("annotations.*.segmentation.*.*", COORDINATE),
    ("annotations.*.segmentation.*", POLYGON),
    ("annotations.*.segmentation", SEGMENTATION),
    ("images.*.file_name", (*ANY_WRONG, "img1.jpg", "img9.jpg")),
    ("*", ANY_WRONG),
)
"""Patterns of fields and the values they get; the first that fits holds."""


def _number_within(low: float, high: float) -> Any:
    return lambda v: isinstance(v, int | float) and type(v) is not bool and low <= v <= high


def _is(*values: Any) -> Any:
    return lambda v: any(type(v) is type(value) and v == value for value in values)


PLAUSIBLE: tuple[tuple[str, Any, str], ...] = (
    # A pixel outside of the image is within the margin for rounding.
    ("annotations.*.bbox.*", _number_within(-1, WIDTH), "a box at another place in the image"),
    ("annotations.*.segmentation.?.?", _number_within(0, WIDTH), "another point in the image"),
    ("annotations.*.segmentation.?", _is(Action.DELETE), "an object of fewer parts"),
    ("annotations.*.image_id", _is(1, 2, 3), "an object of another image"),
    ("annotations.*.category_id", _is(1, 2), "an object of another class"),
    ("annotations.*.area", _number_within(1, HEIGHT * WIDTH), "an object of another size"),
    ("annotations.*.iscrowd", _is(0), "an ordinary object"),
    ("annotations.*.iscrowd", _is(Action.DELETE), "an ordinary object: what is no crowd"),
    ("annotations.?", _is(Action.DELETE), "an object less"),
)
"""Changes of results that no check can notice: field, which values, and what they may mean."""


def is_plausible(mutation: Mutation) -> bool:
    """Whether the file is as likely to be right with the change as without."""
    path = dotted(mutation.path)
    return any(fnmatch(path, pattern) and fits(mutation.value) for pattern, fits, _ in PLAUSIBLE)


def values_for(path: Path, value: Any) -> Iterator[Any]:
    """The wrong values of a field, and what else can be done to it."""
    text = dotted(path)
    for wrong in next(values for pattern, values in VALUES if fnmatch(text, pattern)):
        if type(wrong) is not type(value) or wrong != value:
            yield wrong
    if "segmentation" not in path:
        yield [value]
        yield str(value)
    yield Action.DELETE
    if isinstance(path[-1], int) and "segmentation" not in path:
        yield Action.DUPLICATE


def mutations(seed: int = 0) -> list[Mutation]:
    """All of them, in an order that the seed decides."""
    whole = content()
    found = []
    for path in fields(whole):
        value: Any = whole
        for key in path:
            value = value[key]
        found += [Mutation(path, wrong) for wrong in values_for(path, value)]
    random.Random(seed).shuffle(found)
    return found
