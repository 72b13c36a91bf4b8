"""Single shapes on a picture: text, boxes, circles, lines, polygons and masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectron2.utils._drawing import Color, Rect, VisImage
from detectron2.utils._masks import GenericMask, interior_point
from detectron2.utils.colormap import random_color

SMALLEST_FONT = 12  # pixels of the picture: what can still be read


class ShapeDrawer:
    """Draws single shapes on a copy of an image, in coordinates of the image.

    Args:
        img_rgb: (H, W, 3) RGB, values in [0, 255]; a grey (H, W) or (H, W, 1) image works too.
        scale: size of the picture relative to the image.
        font_size_scale: factor on the size of all text.
    """

    def __init__(self, img_rgb: Any, scale: float = 1.0, font_size_scale: float = 1.0) -> None:
        image = np.clip(np.asarray(img_rgb), 0, 255).astype(np.uint8)
        if image.ndim == 2:
            image = image[..., None]
        if image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        self.img = image
        self.output = VisImage(self.img, scale=scale)
        side = float(np.sqrt(self.output.height * self.output.width))
        self._default_font_size = max(side / 65, SMALLEST_FONT / scale) * font_size_scale

    def draw_text(
        self,
        text: str,
        position: Sequence[float],
        *,
        font_size: float | None = None,
        color: Color = "g",
        horizontal_alignment: str = "center",
        rotation: float = 0,
    ) -> VisImage:
        """Write a line of text on a dark ground; it is moved where it would leave the picture.

        Args:
            text: one line.
            position: (x, y) of the text's upper edge.
            font_size: in pixels of the image; by default it follows from the image's size.
            color: of the letters, brightened where they could not be read.
            horizontal_alignment: the part of the upper edge at x: "left", "center", "right".
            rotation: counter-clockwise, in degrees.
        """
        size = self._default_font_size if font_size is None else font_size
        self.output.text(text, position, size, color, horizontal_alignment, rotation)
        return self.output

    def draw_box(
        self, box_coord: Any, alpha: float = 0.5, edge_color: Color = "g", line_style: str = "-"
    ) -> VisImage:
        """Draw the outline of a box (x0, y0, x1, y1); ``line_style``: "-", "--", ":" or "-."."""
        x0, y0, x1, y1 = (float(value) for value in box_coord)
        outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
        self.output.stroke(outline, edge_color, self._line_width(), alpha, line_style)
        return self.output

    def draw_circle(
        self, circle_coord: Sequence[float], color: Color, radius: float = 3
    ) -> VisImage:
        """Draw a filled circle around (x, y)."""
        self.output.disc(circle_coord, radius, color)
        return self.output

    def draw_line(
        self,
        x_data: Sequence[float],
        y_data: Sequence[float],
        color: Color,
        linestyle: str = "-",
        linewidth: float | None = None,
    ) -> VisImage:
        """Draw a line through points.

        Args:
            x_data: of all points.
            y_data: of all points.
            color: of the line.
            linestyle: "-", "--", ":" or "-.".
            linewidth: in pixels of the image; by default it follows from the image's size.
        """
        width = self._line_width() if linewidth is None else linewidth * self.output.scale
        points = np.stack([np.asarray(x_data, float), np.asarray(y_data, float)], axis=1)
        self.output.stroke(points, color, max(width, 1), 1.0, linestyle)
        return self.output

    def draw_polygon(
        self, segment: Any, color: Color, edge_color: Color | None = None, alpha: float = 0.5
    ) -> VisImage:
        """Fill a polygon, (N, 2) points; its outline has ``edge_color``, by default its colour."""
        points = np.asarray(segment, dtype=np.float64).reshape(-1, 2)
        self._draw_polygons([points], color, edge_color, alpha)
        return self.output

    def draw_binary_mask(
        self,
        binary_mask: Any,
        color: Color | None = None,
        *,
        edge_color: Color | None = None,
        text: str | None = None,
        alpha: float = 0.5,
        area_threshold: float | None = 10,
    ) -> VisImage:
        """Blend a mask over the picture.

        Args:
            binary_mask: (H, W) of 0 and 1, at the image's size.
            color: by default a random one.
            edge_color: of its outline; None for no outline.
            text: written in its thickest part.
            alpha: opacity in [0, 1].
            area_threshold: a mask of fewer pixels is not drawn.
        """
        mask = np.asarray(binary_mask) != 0
        if not mask.any() or mask.sum() < (area_threshold or 0):
            return self.output
        color = random_color(rgb=True, maximum=1) if color is None else color
        self.output.mask(mask, color, alpha, edge_color, self._edge_width())
        if text is not None:
            self._draw_text_in_mask(mask, text, color)
        return self.output

    def draw_soft_mask(
        self,
        soft_mask: Any,
        color: Color | None = None,
        *,
        text: str | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Blend a mask of probabilities, (H, W) in [0, 1]: opaque to ``alpha`` where it is 1."""
        mask = np.asarray(soft_mask, dtype=np.float64)
        color = random_color(rgb=True, maximum=1) if color is None else color
        self.output.mask(mask, color, alpha, None, 0)
        if text is not None and (mask > 0.5).any():
            self._draw_text_in_mask(mask > 0.5, text, color)
        return self.output

    def get_output(self) -> VisImage:
        """The picture with everything drawn so far."""
        return self.output

    def _line_width(self) -> float:
        """Of boxes and lines, in pixels of the picture."""
        return max(self._default_font_size * self.output.scale / 7, 1.0)

    def _edge_width(self) -> float:
        return self._line_width() / 2

    def _draw_polygons(
        self, parts: list[np.ndarray], color: Color, edge_color: Color | None, alpha: float
    ) -> None:
        self.output.fill(parts, color, alpha)
        for part in parts:
            closed = np.concatenate([part, part[:1]])
            edge = color if edge_color is None else edge_color
            self.output.stroke(closed, edge, max(self._edge_width(), 1))

    def _draw_text_in_mask(self, mask: np.ndarray, text: str, color: Color) -> None:
        x, y = interior_point(mask)
        height = self.output.text_size(text, self._default_font_size)[1]
        self.draw_text(text, (x, y - height / 2), color=color)

    def _draw_mask(self, shape: GenericMask, color: Color, alpha: float) -> None:
        if shape.is_polygonal:
            parts = [polygon.reshape(-1, 2) for polygon in shape.polygons if len(polygon) >= 6]
            self._draw_polygons(parts, color, None, alpha)
        else:
            self.draw_binary_mask(
                shape.mask, color, edge_color=color, alpha=alpha, area_threshold=0
            )

    def _draw_label(
        self,
        text: str,
        box: np.ndarray | None,
        shape: GenericMask | None,
        color: Color,
        placed: list[Rect],
    ) -> None:
        """Write a label at its instance, beside those in ``placed``, to which it is added."""
        if box is None:
            assert shape is not None
            if shape.area():
                self._draw_text_in_mask(shape.mask.astype(bool), text, color)
            return
        wide, high = self.output.text_size(text, self._default_font_size)
        x0, y0, x1, y1 = box.tolist()
        left = min(max(x0, 0), max(self.output.width - wide, 0))
        right = min(max(x1 - wide, 0), max(self.output.width - wide, 0))
        tops = [
            top for top in (y0 - high, y0, y1, y1 - high) if 0 <= top <= self.output.height - high
        ]
        choices = [
            (x, top, x + wide, top + high) for x in (left, right) for top in tops or [max(y0, 0)]
        ]
        free = (rect for rect in choices if not any(_overlap(rect, other) for other in placed))
        rect = next(free, choices[0])
        placed.append(rect)
        self.draw_text(text, rect[:2], color=color, horizontal_alignment="left")


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
