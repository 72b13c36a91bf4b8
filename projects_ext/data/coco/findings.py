"""What is wrong with the annotations of a COCO-format file, each kind counted."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .reading import LARGEST_ID, Record, and_more, is_whole, shown
from .shapes import Fault, Mask, Size, as_float, is_no_mask, measure

Action = Literal["refuse", "leave out", "warn"]

TOLERANCE = 1.0
"""Pixels by which a box or a mask may end outside its image without a word."""
LEAST_OVERLAP = 0.5
"""IoU of a box with the box around its mask, below which they do not belong together."""


NO_MASK_REMEDY = "add their masks"
"""By which the finding on objects without masks is told from the others."""


@dataclass(frozen=True)
class Finding:
    """One kind of problem that some annotations have.

    Attributes:
        what: the first case, with its ids, and how many there are.
        remedy: what to correct.
        action: whether the file is refused for it; such annotations can be left out; or a warning
            is enough.
        of_masks: whether it is none for a model that learns boxes only.
        annotations: the places of those annotations in the file.
        polygons: those of their polygons that are wrong, for each annotation.
        of_area: whether it is the area that is wrong, and computed then.
    """

    what: str
    remedy: str
    action: Action
    of_masks: bool
    annotations: tuple[int, ...]
    polygons: tuple[tuple[int, ...], ...] = ()
    of_area: bool = False


@dataclass(frozen=True)
class Context:
    """What annotations refer to.

    Attributes:
        images: by id, with the sizes as far as they are known.
        category_ids: of the file.
    """

    images: dict[Any, Record]
    category_ids: frozenset[Any]

    def size_of(self, annotation: Record) -> Size:
        """Height and width of its image; NaN where unknown."""
        image = self.images.get(annotation["image_id"], {})
        if not image.get("width") or not image.get("height"):
            return math.nan, math.nan
        return image["height"], image["width"]


def find_problems(annotations: Sequence[Record], context: Context) -> Iterator[Finding]:
    """Each kind of problem, those first that nothing can be done about.

    Args:
        annotations: with the keys ``image_id``, ``category_id`` and ``bbox``.
        context: the images and categories of the same file.
    """
    values = list(_wrong_values(annotations, context))
    yield from values
    if values:
        return  # figures of boxes and masks need numbers, and the images that they lie in
    sizes = [context.size_of(annotation) for annotation in annotations]
    masks = measure([a.get("segmentation") for a in annotations], sizes)
    describe = _Describe(annotations, context)
    yield from _mask_faults(describe, masks)
    yield from _box_findings(describe, masks, np.array(sizes, dtype=float).reshape(-1, 2))


def name_of(annotation: Record, place: int) -> str:
    """What to call an annotation: by its id, or by its place in the file."""
    if annotation.get("id") is None:
        return f"annotation number {place + 1} in the file"
    return f"annotation {shown(annotation['id'])}"


class _Describe:
    """Makes findings of the places of annotations."""

    def __init__(self, annotations: Sequence[Record], context: Context) -> None:
        self.annotations, self.context = annotations, context

    def __call__(
        self,
        places: Iterable[int],
        what: str,
        remedy: str,
        action: Action = "refuse",
        of_masks: bool = False,
        polygons: tuple[tuple[int, ...], ...] = (),
    ) -> Iterator[Finding]:
        """One finding, or none without places. ``{key}`` in ``what`` is the first one's value."""
        places = tuple(int(place) for place in places)
        if not places:
            return
        first = self.annotations[places[0]]
        identity = first["image_id"]
        known = isinstance(identity, int | float) and identity in self.context.images
        file = f" ({self.context.images[identity]['file_name']})" if known else ""
        values = {key: shown(value) for key, value in first.items()}
        if type(first.get("segmentation")) is dict:
            values["size"] = shown(first["segmentation"].get("size"))
        subject = f"{name_of(first, places[0])} of image {shown(identity)}{file}"
        text = f"{subject} {what.format_map(values)}{and_more(len(places))}"
        yield Finding(text, remedy, action, of_masks, places, polygons)


def _wrong_values(annotations: Sequence[Record], context: Context) -> Iterator[Finding]:
    """Values of the wrong type, and ids that refer to nothing."""
    describe = _Describe(annotations, context)

    def where(test: Callable[[Record], bool]) -> list[int]:
        return [place for place, annotation in enumerate(annotations) if test(annotation)]

    for key, known, what in (
        ("image_id", context.images, "belongs to an image that the file does not list"),
        ("category_id", context.category_ids, "has the unknown category_id {category_id}"),
    ):
        mistyped = where(lambda a, key=key: not is_whole(a[key]))  # type: ignore[misc]
        yield from describe(
            mistyped,
            f"has the {key} {{{key}}}, which is not a whole number",
            "write the number, without quotes",
        )
        if not mistyped:
            remedy = "correct it, or add the category to the file's categories"
            if key == "image_id":
                remedy = "correct its image_id, add the image, or take the annotation out"
            unknown = where(lambda a, key=key, known=known: a[key] not in known)  # type: ignore[misc]
            yield from describe(unknown, what, remedy)
    yield from describe(
        where(lambda a: not _is_box(a["bbox"])),
        "has the bbox {bbox}, which is not four numbers",
        "write x, y, width and height in pixels",
    )
    yield from _wrong_ids(annotations, describe)
    for key in ("iscrowd", "ignore"):
        yield from describe(
            where(lambda a, key=key: key in a and not _is_flag(a[key])),  # type: ignore[misc]
            f"has {key} {{{key}}}",
            "write 0 or 1, without quotes",
        )
    yield from describe(
        where(lambda a: "area" in a and not _is_area(a["area"])),
        "has the area {area}",
        "write the number of its pixels, or take the key area out: it is computed then",
    )


def _wrong_ids(annotations: Sequence[Record], describe: _Describe) -> Iterator[Finding]:
    def is_id(value: Any) -> bool:
        return is_whole(value) and abs(value) <= LARGEST_ID

    wrong = [p for p, a in enumerate(annotations) if "id" in a and not is_id(a["id"])]
    remedy = "give each annotation a number of its own, or take all ids out: they are numbered then"
    yield from describe(wrong, "has the id {id}, which is not a whole number", remedy)
    if not wrong:
        counts = Counter(a["id"] for a in annotations if "id" in a)
        again = {identity for identity, count in counts.items() if count > 1}
        places = [p for p, a in enumerate(annotations) if again and a.get("id") in again]
        yield from describe(places, "has an id that is not its own", remedy)


def _is_box(box: Any) -> bool:
    return type(box) is list and len(box) == 4 and set(map(type, box)) <= {int, float}


def _is_flag(value: Any) -> bool:
    return type(value) in (int, float) and value in (0, 1)


def _is_area(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= as_float(value) < math.inf


_MASK_FAULTS: tuple[tuple[str, str, str, Action], ...] = (
    (
        "malformed",
        "has a segmentation that is neither a list of polygons nor an RLE",
        "write [[x1, y1, x2, y2, …], …], or an object with size and counts",
        "refuse",
    ),
    (
        "nested",
        "has a polygon whose points are nested as [x, y]",
        "write one flat list per polygon: [[x1, y1, x2, y2, …], …]",
        "refuse",
    ),
    (
        "not numbers",
        "has a polygon with something other than numbers in it",
        "write its coordinates as numbers, without quotes",
        "refuse",
    ),
    (
        "size",
        "has an RLE of the size {size}, which is not its image's",
        "encode the mask at the image's [height, width]",
        "refuse",
    ),
    (
        "runs",
        "has an RLE whose counts do not fill its image exactly",
        "encode the mask again",
        "leave out",
    ),
    (
        "short",
        "has a polygon of fewer than 3 points (or with half a point)",
        "correct or remove the polygon",
        "leave out",
    ),
    (
        "outside",
        "has a polygon that is not finite, or farther outside its image than that is large",
        "correct or remove the polygon",
        "leave out",
    ),
    ("flat", "has a mask without any area", "correct it, or take the annotation out", "leave out"),
)


def _mask_faults(describe: _Describe, masks: Sequence[Mask | Fault | None]) -> Iterator[Finding]:
    annotations = describe.annotations
    faults = {place: fault for place, fault in enumerate(masks) if isinstance(fault, Fault)}
    for kind, what, remedy, action in _MASK_FAULTS:
        places = [place for place, fault in faults.items() if fault.kind == kind]
        polygons = tuple(faults[place].polygons for place in places)
        yield from describe(places, what, remedy, action, of_masks=True, polygons=polygons)
    without = [p for p, a in enumerate(annotations) if is_no_mask(a.get("segmentation"))]
    if without:
        first = annotations[without[0]]
        text = (
            f"{len(without)} of {len(annotations)} objects have no mask (no segmentation), the "
            f"first is {name_of(first, without[0])} of image {first['image_id']}"
        )
        yield Finding(text, NO_MASK_REMEDY, "leave out", True, tuple(without))


def _box_findings(
    describe: _Describe, masks: Sequence[Mask | Fault | None], sizes: np.ndarray
) -> Iterator[Finding]:
    """What the boxes show: (N, 2) sizes are the height and width of each one's image."""
    annotations = describe.annotations
    if not annotations:
        return
    boxes = np.array([[as_float(v) for v in a["bbox"]] for a in annotations])
    finite = np.isfinite(boxes).all(1)
    yield from describe(
        np.flatnonzero(~finite),
        "has the bbox {bbox}, which is not finite",
        "write x, y, width and height in pixels",
        "leave out",
    )
    flat = finite & ~(boxes[:, 2:] > 0).all(1)
    yield from describe(
        np.flatnonzero(flat),
        "has the bbox {bbox}, which has no area",
        "correct its width and height, or take the annotation out",
        "leave out",
    )
    yield from _suspicious_boxes(describe, np.where(finite[:, None], boxes, np.nan), masks, sizes)
    yield from _suspicious_areas(describe, sizes)


def _suspicious_boxes(
    describe: _Describe, boxes: np.ndarray, masks: Sequence[Mask | Fault | None], sizes: np.ndarray
) -> Iterator[Finding]:
    width_height = sizes[:, ::-1]
    ends = boxes[:, :2] + boxes[:, 2:]
    # Comparisons with NaN (unknown sizes) are False.
    beyond = (ends > width_height + TOLERANCE).any(1) | (boxes[:, :2] < -TOLERANCE).any(1)
    corners = (boxes[:, 2:] > boxes[:, :2]).all(1) & (boxes[:, 2:] <= width_height + TOLERANCE).all(
        1
    )
    look_like_corners = beyond.mean() > 0.5 and corners.mean() > 0.9
    yield from describe(
        np.flatnonzero(beyond),
        "has the bbox {bbox}, which ends outside its image",
        "most look like corners (x1, y1, x2, y2): write x, y, width and height"
        if look_like_corners
        else "correct x, y, width and height where that is a mistake",
        "warn",
    )
    normalized = (boxes >= 0).all(1) & (boxes <= 1).all(1) & (width_height > 2).all(1)
    yield from describe(
        np.flatnonzero(normalized),
        "has the bbox {bbox}, which looks normalized to 0 … 1",
        "write pixels: multiply x and width by the image's width, y and height by its height",
        "warn",
    )
    extents = np.array(
        [mask.extent if isinstance(mask, Mask) else (math.nan,) * 4 for mask in masks]
    )
    yield from describe(
        np.flatnonzero(
            _are_apart(np.hstack([boxes[:, :2], ends]), extents) & ~beyond & ~normalized
        ),
        "has the bbox {bbox}, which is not the one around its mask",
        "correct the box or the mask where that is a mistake (a box is x, y, width and height)",
        "warn",
        of_masks=True,
    )
    leaving = (extents[:, 2:] > width_height + TOLERANCE).any(1)
    leaving |= (extents[:, :2] < -TOLERANCE).any(1)
    yield from describe(
        np.flatnonzero(leaving),
        "has a mask that ends outside its image",
        "it is cut off there; correct it where that is a mistake",
        "warn",
        of_masks=True,
    )


def _are_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) of corners differ by more than rounding and overlap by less than half."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        common = (high - low).clip(min=0).prod(1)
        areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (first, second)]
        overlap = common / (areas[0] + areas[1] - common)
        return (overlap < LEAST_OVERLAP) & (np.abs(first - second).max(1) > 2 * TOLERANCE)


def _suspicious_areas(describe: _Describe, sizes: np.ndarray) -> Iterator[Finding]:
    areas = np.array([as_float(a.get("area", math.nan)) for a in describe.annotations])
    wrong = (areas <= 0) | (areas > (sizes + 2 * TOLERANCE).prod(1))
    what = "has the area {area}, which no object in its image can have"
    for finding in describe(np.flatnonzero(wrong), what, "it is computed instead", "warn"):
        yield replace(finding, of_area=True)
