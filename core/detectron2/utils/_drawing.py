"""Antialiased shapes and text on a picture, with Pillow: what :mod:`.visualizer` draws with.

Coordinates are those of the original image, in pixels, (0, 0) being its upper left corner; a
:class:`VisImage` maps them to its own, scaled picture.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageFont

Color = str | Sequence[float] | np.ndarray
Rect = tuple[float, float, float, float]

SUPERSAMPLING = 3
LETTERS = {"r": "red", "g": "#009900", "b": "blue", "c": "#00bfbf", "m": "#bf00bf", "y": "#bfbf00"}
LETTERS |= {"k": "black", "w": "white"}
# Lengths of strokes and gaps in line widths.
DASHES = {"-": (), "--": (4, 2.5), ":": (1, 1.5), "-.": (4, 1.5, 1, 1.5)}
DASHES |= {"solid": (), "dashed": DASHES["--"], "dotted": DASHES[":"], "dashdot": DASHES["-."]}


def to_rgb(color: Color) -> tuple[int, int, int]:
    """A colour as three integers up to 255.

    Args:
        color: a name ("g", "red"), "#rrggbb", or three (four: alpha is dropped) numbers in [0, 1].

    Raises:
        ValueError: for anything else.
    """
    if isinstance(color, str):
        red, green, blue = ImageColor.getrgb(LETTERS.get(color, color))[:3]
        return red, green, blue
    values = np.asarray(color, dtype=np.float64)
    if values.shape not in ((3,), (4,)) or values.min() < 0 or values.max() > 1:
        raise ValueError(f"A colour is a name, '#rrggbb' or 3 numbers from 0 to 1, not {color!r}.")
    red, green, blue = np.rint(values[:3] * 255).astype(int).tolist()
    return red, green, blue


def legible_on_black(color: Color) -> tuple[int, int, int]:
    """The colour, mixed with as much white as it takes to be read on a black ground."""
    rgb = np.array(to_rgb(color), dtype=np.float64)
    luminance = rgb @ (0.299, 0.587, 0.114)
    white = max(0.0, float((170 - luminance) / (255 - luminance + 1e-6)))
    red, green, blue = np.rint(rgb + white * (255 - rgb)).astype(int).tolist()
    return red, green, blue


@functools.lru_cache(maxsize=32)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _drawn(canvas: Any) -> np.ndarray:
    """(H, W, 4) uint8 of what a matplotlib canvas shows."""
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


class VisImage:
    """A picture to draw on, ``scale`` times the size of the image it shows.

    Args:
        img: (H, W, 3) RGB, values in [0, 255].
        scale: of the picture. Shapes and letters are finer on a larger one.
    """

    def __init__(self, img: np.ndarray, scale: float = 1.0) -> None:
        self.scale = scale
        self.reset_image(img)

    def reset_image(self, img: np.ndarray) -> None:
        """Begin anew with the given (H, W, 3) image, as in the constructor."""
        pixels = np.ascontiguousarray(np.clip(img, 0, 255).astype(np.uint8))
        self.img = pixels
        self.height, self.width = pixels.shape[:2]
        self.canvas = self._to_canvas(Image.fromarray(pixels))
        self._figure: Any = None

    @property
    def dpi(self) -> float:
        """Pixels of the picture per inch of ``fig``."""
        return 100.0

    @property
    def fig(self) -> Any:
        """A matplotlib figure above the picture, transparent where nobody draws on it.

        Raises:
            ImportError: matplotlib is not installed; nothing but this needs it.
        """
        if self._figure is None:
            from matplotlib.figure import Figure

            inches = [(side + 1e-2) / self.dpi for side in self.canvas.size]
            self._figure = Figure(figsize=(inches[0], inches[1]), dpi=self.dpi, frameon=False)
            axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))
            axes.axis("off")
            axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        return self._figure

    @property
    def ax(self) -> Any:
        """The axes of ``fig``, in pixels of the original image."""
        return self.fig.axes[0]

    def _finished(self) -> Image.Image:
        """The picture with what was drawn on ``fig``."""
        if self._figure is None:
            return self.canvas
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        layer = Image.fromarray(np.array(_drawn(FigureCanvasAgg(self._figure))))
        layer = layer.crop((0, 0, *self.canvas.size))
        return Image.alpha_composite(self.canvas.convert("RGBA"), layer).convert("RGB")

    def get_image(self) -> np.ndarray:
        """The picture so far: (scale * H, scale * W, 3) uint8 RGB."""
        return np.array(self._finished())

    def save(self, filepath: str) -> None:
        """Write the picture; the name's extension says in which format."""
        self._finished().save(filepath, quality=95)

    def _to_canvas(self, image: Image.Image) -> Image.Image:
        width, height = (max(1, int(side * self.scale + 1e-2)) for side in image.size)
        size = width, height
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

    def blend(
        self, coverage: Image.Image, corner: tuple[int, int], color: Color, alpha: float
    ) -> None:
        """Paint a colour through a mask.

        Args:
            coverage: "L" image, 255 where the shape covers a pixel of the picture.
            corner: (x, y) in the picture of the mask's upper left corner.
            color: see :func:`to_rgb`.
            alpha: opacity in [0, 1].
        """
        if alpha < 1:
            coverage = coverage.point([round(level * alpha) for level in range(256)])
        box = (*corner, corner[0] + coverage.width, corner[1] + coverage.height)
        self.canvas.paste(to_rgb(color), box, coverage)

    def _shape(
        self,
        points: np.ndarray,
        margin: float,
        color: Color,
        alpha: float,
        draw: Callable[..., None],
    ) -> None:
        """Blend what ``draw(pen, to_pen)`` draws; ``points`` (N, 2), with a margin, bound it."""
        if not len(points):
            return
        scaled = np.asarray(points, dtype=np.float64) * self.scale
        low = np.maximum(np.floor(scaled.min(axis=0) - margin), 0).astype(int)
        high = np.minimum(np.ceil(scaled.max(axis=0) + margin) + 1, self.canvas.size).astype(int)
        if (high <= low).any():
            return
        size = ((high - low) * SUPERSAMPLING).tolist()
        fine = Image.new("L", (size[0], size[1]))

        def to_pen(part: np.ndarray) -> list[tuple[float, float]]:
            moved = (np.asarray(part, dtype=np.float64) * self.scale - low) * SUPERSAMPLING
            return [(x, y) for x, y in moved.tolist()]

        draw(ImageDraw.Draw(fine), to_pen)
        self.blend(fine.reduce(SUPERSAMPLING), (int(low[0]), int(low[1])), color, alpha)

    def fill(self, parts: Sequence[np.ndarray], color: Color, alpha: float) -> None:
        """Fill polygons, each (N, 2), as one area: overlaps are painted once."""

        def draw(pen: ImageDraw.ImageDraw, to_pen: Callable[..., Any]) -> None:
            for part in parts:
                pen.polygon(to_pen(part), fill=255)

        if parts:
            self._shape(np.concatenate(parts), 1, color, alpha, draw)

    def stroke(
        self, points: np.ndarray, color: Color, width: float, alpha: float = 1.0, style: str = "-"
    ) -> None:
        """Draw a line through points (N, 2), ``width`` pixels of the picture wide.

        Args:
            points: repeat the first one at the end for a closed line.
            color: see :func:`to_rgb`.
            width: in pixels of the picture.
            alpha: opacity in [0, 1].
            style: "-", "--", ":" or "-.".
        """
        if style not in DASHES:
            raise ValueError(f"Line style {style!r} is unknown: use one of {', '.join(DASHES)}.")
        points = np.asarray(points, dtype=np.float64)
        lengths = [length * width / self.scale for length in DASHES[style]]
        pieces = list(_dashes(points, lengths)) if lengths else [points]
        if len(points) > 2 and (points[0] == points[-1]).all() and not lengths:
            pieces = [
                np.concatenate([points, points[1:2]])
            ]  # so that the last corner is joined too

        def draw(pen: ImageDraw.ImageDraw, to_pen: Callable[..., Any]) -> None:
            for piece in pieces:
                pen.line(to_pen(piece), 255, max(1, round(width * SUPERSAMPLING)), joint="curve")

        self._shape(points, width, color, alpha, draw)

    def disc(self, center: Sequence[float], radius: float, color: Color) -> None:
        """Fill a circle; the radius is in pixels of the original image."""
        middle = np.asarray(center, dtype=np.float64)
        corners = np.stack([middle - radius, middle + radius])

        def draw(pen: ImageDraw.ImageDraw, to_pen: Callable[..., Any]) -> None:
            pen.ellipse(to_pen(corners), fill=255)

        self._shape(corners, 1, color, 1.0, draw)

    def mask(
        self, mask: np.ndarray, color: Color, alpha: float, edge: Color | None, edge_width: float
    ) -> None:
        """Blend a mask, (H, W) in [0, 1], and draw its outline just inside of it."""
        levels = Image.fromarray(np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8))
        coverage = self._to_canvas(levels)
        box = coverage.getbbox()
        if box is None:
            return
        pad = round(edge_width) + 1
        wide, high = coverage.size
        box = (
            max(box[0] - pad, 0),
            max(box[1] - pad, 0),
            min(box[2] + pad, wide),
            min(box[3] + pad, high),
        )
        coverage = coverage.crop(box)
        self.blend(coverage, box[:2], color, alpha)
        if edge is not None:
            inner = coverage.filter(ImageFilter.MinFilter(2 * max(1, round(edge_width)) + 1))
            self.blend(ImageChops.subtract(coverage, inner), box[:2], edge, 1.0)

    def text_size(self, text: str, size: float) -> tuple[float, float]:
        """(width, height) of a label with its ground, in pixels of the original image."""
        patch = self._text_patch(text, size)
        return patch.width / self.scale, patch.height / self.scale

    def _text_patch(self, text: str, size: float) -> Image.Image:
        """The letters, white on black, with a margin around them."""
        font = _font(max(6, round(size * self.scale)))
        ascent, descent = font.getmetrics()
        pad = max(1, round(font.size / 7))
        length = round(font.getlength(text))
        patch = Image.new("L", (length + 2 * pad, ascent + descent + pad))
        ImageDraw.Draw(patch).text((pad, pad // 2), text, fill=255, font=font)
        return patch

    def text(
        self,
        text: str,
        position: Sequence[float],
        size: float,
        color: Color,
        align: str,
        rotation: float,
    ) -> None:
        """Write on a dark ground that lets the image shine through, moved to lie in the picture.

        Args:
            text: one line.
            position: (x, y) of the upper edge.
            size: of the letters, in pixels of the original image.
            color: brightened where it would be too dark.
            align: which part of the upper edge is at x: "left", "center" or "right".
            rotation: counter-clockwise, in degrees.
        """
        letters = self._text_patch(text, size)
        ground = Image.new("L", letters.size, 255)
        if rotation:
            letters, ground = (
                layer.rotate(rotation, Image.Resampling.BICUBIC, expand=True)
                for layer in (letters, ground)
            )
        shift = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
        x = round(position[0] * self.scale - shift * letters.width)
        y = round(position[1] * self.scale)
        corner = (
            max(0, min(x, self.canvas.width - letters.width)),
            max(0, min(y, self.canvas.height - letters.height)),
        )
        bright = np.array(legible_on_black(color)) / 255
        self.blend(ground, corner, "black", 0.7)
        self.blend(letters, corner, bright, 1.0)


def _dashes(points: np.ndarray, lengths: Sequence[float]) -> Iterable[np.ndarray]:
    """Cut a line (N, 2) into its strokes; ``lengths`` are those of strokes and gaps in turn."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    start, turn = 0.0, 0
    while start < along[-1]:
        stop = min(start + lengths[turn % len(lengths)], along[-1])
        if turn % 2 == 0:
            corners = along[(along > start) & (along < stop)]
            at = np.concatenate([[start], corners, [stop]])
            yield np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)
        start, turn = stop, turn + 1
