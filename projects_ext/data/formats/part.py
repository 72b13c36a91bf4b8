"""What every format is read into."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """The images of one part of a data set (training or validation) with what they show.

    Attributes:
        name: what messages call it: the file or folder of the annotations.
        images: COCO's records: ``id``, ``file_name`` (absolute), ``width`` and ``height``; of label
            maps ``sem_seg_file_name``, too.
        annotations: COCO's records of objects; empty for label maps.
        classes: the names: of objects in the order of their categories, of label maps by label.
        categories: COCO's records; empty for label maps.
        json_file: the file itself, if it is in COCO format.
        image_root: the folder that its names of images are relative to.
        unusable: what was left out because it has no area, one sentence each.
        remarks: what the reader noticed, for the first screen.
    """

    name: str
    images: Sequence[Record]
    annotations: Sequence[Record] = ()
    classes: tuple[str, ...] = ()
    categories: Sequence[Record] = ()
    json_file: str = ""
    image_root: str = ""
    unusable: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set as it was found.

    Attributes:
        path: as it was given.
        format: its name, for messages.
        train: what to train on, or everything where nothing says what is for validation.
        val: the validation part, if the layout names one.
        of_maps: whether it holds label maps, else objects.
    """

    path: str
    format: str
    train: Part
    val: Part | None = None
    of_maps: bool = False


@dataclass
class Reader:
    """Options that formats are read with.

    Attributes:
        images: the folder of the images, where it cannot be found.
        labels: the folder of the label maps, where there are several.
        classes: the names of the classes, where the data do not name them.
    """

    images: str = ""
    labels: str = ""
    classes: tuple[str, ...] = ()


@dataclass
class Objects:
    """Collects the images and objects of a part, and numbers them."""

    images: list[Record] = field(default_factory=list)
    annotations: list[Record] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add_image(self, file_name: str, size: tuple[int, int]) -> None:
        """Begin an image of a (height, width)."""
        height, width = size
        number = len(self.images) + 1
        record = {"id": number, "file_name": file_name, "width": width, "height": height}
        self.images.append(record)

    def add(self, name: str, bbox: Sequence[float], segmentation: Any = None) -> None:
        """An object of the last image: XYWH in pixels, polygons or run lengths."""
        record = {
            "id": len(self.annotations) + 1,
            "image_id": self.images[-1]["id"],
            "bbox": list(bbox),
            "iscrowd": 0,
        }
        if segmentation is not None:
            record["segmentation"] = segmentation
        self.annotations.append(record)
        self.names.append(name)

    def part(self, name: str, classes: Sequence[str], **more: Any) -> Part:
        """All of it, with these classes in this order."""
        ids = {one: number for number, one in enumerate(classes, start=1)}
        annotations = [
            {**record, "category_id": ids[of]}
            for record, of in zip(self.annotations, self.names, strict=True)
        ]
        categories = [{"id": number, "name": one} for one, number in ids.items()]
        return Part(name, self.images, annotations, tuple(classes), categories, **more)


def sorted_names(parts: Iterable[Objects]) -> list[str]:
    """The classes that occur, by the alphabet: for formats that list no classes."""
    return sorted({name for part in parts for name in part.names})


def box_around(polygons: Sequence[Sequence[float]]) -> list[float]:
    """XYWH of polygons of flat coordinates; zeros without any point."""
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    if not xs or not ys:
        return [0.0, 0.0, 0.0, 0.0]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
