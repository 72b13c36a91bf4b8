"""Data sets that others registered: what their masks must not do."""

import json
import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.errors import UserError

from .findings import name_of
from .reading import Record, and_more
from .shapes import Fault, measure

_UNSAFE = {
    "not numbers": "has a polygon with something other than numbers in it",
    "size": "has an RLE of a size that is not its image's",
    "runs": "has an RLE whose counts do not fill its image exactly",
    "outside": "has a polygon that is not finite, or farther outside its image than that is large",
}


def require_safe_masks(names: Iterable[str], checked: Iterable[str] = ()) -> None:
    """Refuse data sets with masks that the mask library cannot be given.

    Looked at are those that are registered with a json file. Everything else about them is left to
    Detectron2.

    Args:
        names: of data sets.
        checked: names of those that need no look.

    Raises:
        UserError: with the file and the first annotation.
    """
    for name in set(names) - set(checked):
        file = MetadataCatalog.get(name).get("json_file") if name in DatasetCatalog.list() else None
        if file and Path(file).is_file():
            status = Path(file).stat()
            fault = _first_unsafe(str(file), status.st_mtime_ns, status.st_size)
            if fault:
                raise UserError(f"{file}: {fault}: correct it, or take the annotation out")


@lru_cache(maxsize=16)
def _first_unsafe(json_file: str, modified: int, size: int) -> str | None:
    content = json.loads(Path(json_file).read_bytes())
    if not isinstance(content, dict):
        return None
    images, annotations = _records(content.get("images")), _records(content.get("annotations"))
    sizes: dict[Any, tuple[float, float]] = {
        image["id"]: (image["height"], image["width"])
        for image in images
        if type(image.get("height")) is type(image.get("width")) is type(image.get("id")) is int
    }
    unknown = (math.nan, math.nan)
    masks = measure(
        [annotation.get("segmentation") for annotation in annotations],
        [
            sizes.get(a.get("image_id"), unknown) if type(a.get("image_id")) is int else unknown
            for a in annotations
        ],
    )
    for kind, what in _UNSAFE.items():
        places = [p for p, m in enumerate(masks) if isinstance(m, Fault) and m.kind == kind]
        if places:
            first = annotations[places[0]]
            subject = f"{name_of(first, places[0])} of image {first.get('image_id')}"
            return f"{subject} {what}{and_more(len(places))}"
    return None


def _records(entries: Any) -> list[Record]:
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
