"""How what is wrong with annotations is told: each kind once, with the first case and the count."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .reading import Record, and_more, shown
from .shapes import Size

Action = Literal["refuse", "leave out", "warn"]

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


def name_of(annotation: Record, place: int) -> str:
    """What to call an annotation: by its id, or by its place in the file."""
    if annotation.get("id") is None:
        return f"annotation number {place + 1} in the file"
    return f"annotation {shown(annotation['id'])}"


class Describe:
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
