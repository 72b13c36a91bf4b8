"""What is wrong with the annotations of a COCO-format file, each kind counted."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .boxes import find_in_boxes
from .findings import NO_MASK_REMEDY, Action, Context, Describe, Finding, name_of
from .reading import LARGEST_ID, Record, is_whole
from .shapes import Fault, Mask, as_float, is_no_mask, measure


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
    describe = Describe(annotations, context)
    yield from _mask_faults(describe, masks)
    yield from find_in_boxes(describe, masks, np.array(sizes, dtype=float).reshape(-1, 2))


def _wrong_values(annotations: Sequence[Record], context: Context) -> Iterator[Finding]:
    """Values of the wrong type, and ids that refer to nothing."""
    describe = Describe(annotations, context)

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


def _wrong_ids(annotations: Sequence[Record], describe: Describe) -> Iterator[Finding]:
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
        "leave out",
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


def _mask_faults(describe: Describe, masks: Sequence[Mask | Fault | None]) -> Iterator[Finding]:
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
