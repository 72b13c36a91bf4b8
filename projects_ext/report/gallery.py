"""Images with layers that are switched on and off; ``gallery`` in ``macros.html.j2`` draws them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

EMBEDDED = 240
"""Pages with more thumbnails than this have them as files in a folder beside the page."""

MAX_SIDE = 480
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True)
class Layer:
    """A switch above the images.

    Attributes:
        name: of its shapes and pictures.
        label: on the button.
        on: whether it is shown at first.
    """

    name: str
    label: str
    on: bool = True


@dataclass(frozen=True)
class Shape:
    """An object drawn over an image, in pixels of the card's ``width`` and ``height``.

    Attributes:
        layer: the switch that it obeys.
        tone: its colour: "truth", "right", "wrong" or "missed"; with " focus" it stands out.
        label: at its upper left corner; "" for none.
        box: x, y, width, height; None for none.
        path: the outline of its mask in the syntax of SVG; "" for none.
    """

    layer: str
    tone: str
    label: str = ""
    box: tuple[float, float, float, float] | None = None
    path: str = ""


@dataclass(frozen=True)
class Picture:
    """A whole image laid over another, such as a map of errors.

    Attributes:
        layer: the switch that it obeys.
        src: its address, from :class:`Thumbnails`.
    """

    layer: str
    src: str


@dataclass(frozen=True)
class Card:
    """One image with what lies over it and what is said about it.

    Attributes:
        src: the image's address, from :class:`Thumbnails`.
        width, height: of the image, in the units of the shapes.
        title: e.g. the file name.
        note: one line below the title.
        tags: classes that a reader may filter by.
        shapes, pictures: what lies over it.
    """

    src: str
    width: int
    height: int
    title: str
    note: str = ""
    tags: Sequence[str] = ()
    shapes: Sequence[Shape] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Gallery:
    """Cards in order.

    Attributes:
        identifier: unique on the page.
        cards: the images.
        layers: the switches.
        tags: what the cards can be filtered by; empty for no filter.
        empty: said where there is no card.
    """

    identifier: str
    cards: Sequence[Card]
    layers: Sequence[Layer] = ()
    tags: Sequence[str] = ()
    empty: str = "None."


@dataclass
class Thumbnails:
    """Where the thumbnails of a page go: into it, or into a folder beside it.

    Attributes:
        page: the page's file; the folder is named after it, with ``_images``.
        expected: how many thumbnails there will be; decides between the two.
    """

    page: Path
    expected: int
    _count: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        """The folder beside the page; it exists once a thumbnail is in it."""
        return self.page.with_name(f"{self.page.stem}_images")

    def add(self, image: Image.Image, max_side: int = MAX_SIDE, lossless: bool = False) -> str:
        """Shrink an image if it is larger, keep it, and return its address for the page.

        Args:
            image: of any mode.
            max_side: pixels of the longer side.
            lossless: PNG, which keeps colours exact and transparent pixels, in place of JPEG.
        """
        image = image.copy() if lossless else image.convert("RGB")
        image.thumbnail((max_side, max_side), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        kind = "png" if lossless else "jpeg"
        options = {"optimize": True} if lossless else {"quality": 82, "optimize": True}
        image.save(buffer, kind, **options)
        if self.expected <= EMBEDDED:
            return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count += 1
        name = f"{self._count:05d}.{'png' if lossless else 'jpg'}"
        (self.folder / name).write_bytes(buffer.getvalue())
        return quote(f"{self.folder.name}/{name}")
