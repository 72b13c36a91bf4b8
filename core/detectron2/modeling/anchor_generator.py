"""Anchors: boxes of given sizes and aspect ratios around every location of a feature map."""

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.registry import Registry
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.layers.wrappers import move_device_like  # noqa: F401
from detectron2.structures import Boxes
from detectron2.structures.rotated_boxes import RotatedBoxes  # noqa: F401
from detectron2.utils.unavailable import INTERNALS, unavailable

ANCHOR_GENERATOR_REGISTRY = Registry("ANCHOR_GENERATOR")
ANCHOR_GENERATOR_REGISTRY.__doc__ = """
Anchor generators: modules made by ``generator(cfg, input_shape)`` that map feature maps to a list
of ``Boxes``, one an entry a level.
"""

PerLevel = Sequence[float] | Sequence[Sequence[float]]


class BufferList(nn.Module):
    """A list of tensors that move with the module and stay out of its state dict."""

    def __init__(self, buffers: Sequence[Tensor]) -> None:
        super().__init__()
        for index, tensor in enumerate(buffers):
            self.register_buffer(str(index), tensor, persistent=False)

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self) -> Any:
        return iter(self._buffers.values())

    def __getitem__(self, index: int) -> Tensor:
        return list(self)[index]


def _one_per_level(values: PerLevel, num_levels: int, name: str) -> list[Sequence[float]]:
    """Spread ``values`` over the levels: a flat list or a list of one list is for all of them."""
    if not isinstance(values, Sequence) or len(values) == 0:
        raise ValueError(f"{name} of the anchor generator must be a list that is not empty.")
    nested: list[Any] = list(values) if isinstance(values[0], Sequence) else [values]
    if len(nested) == 1:
        nested *= num_levels
    if len(nested) != num_levels:
        raise ValueError(
            f"{name} of the anchor generator has {len(nested)} entries for {num_levels} levels"
            " of features; give one list for all, or one for each."
        )
    return nested


class DefaultAnchorGenerator(nn.Module):
    """Axis-aligned anchors of every size times every aspect ratio (Ren et al. 2015, Sec. 3.1.1).

    Args:
        sizes: per level, the square roots of the anchors' areas in pixels. One flat list, or a
            list of one list, serves all levels.
        aspect_ratios: per level, height over width. Spread over the levels as ``sizes``.
        strides: of the feature maps, one a level.
        offset: where in its stride a location is, in [0, 1): 0 for the top left corner, 0.5 for
            the centre.

    Raises:
        ValueError: lists that do not fit the number of strides, or an offset out of range.
    """

    box_dim: int = 4

    @configurable
    def __init__(
        self,
        *,
        sizes: PerLevel,
        aspect_ratios: PerLevel,
        strides: Sequence[int],
        offset: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0.0 <= offset < 1.0:
            raise ValueError(f"offset of the anchor generator is {offset}, not in [0, 1).")
        self.offset = offset
        self.strides = strides
        self.num_features = len(strides)
        self.cell_anchors = BufferList(
            [
                self.generate_cell_anchors(*level).float()
                for level in zip(
                    _one_per_level(sizes, self.num_features, "sizes"),
                    _one_per_level(aspect_ratios, self.num_features, "aspect_ratios"),
                    strict=True,
                )
            ]
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: list[ShapeSpec]) -> dict[str, Any]:
        """Arguments from ``MODEL.ANCHOR_GENERATOR`` and the strides of ``input_shape``."""
        config = cfg.MODEL.ANCHOR_GENERATOR
        return {
            "strides": [shape.stride for shape in input_shape],
            "offset": config.OFFSET,
            "sizes": config.SIZES,
            "aspect_ratios": config.ASPECT_RATIOS,
        }

    @property
    @torch.jit.unused
    def num_cell_anchors(self) -> list[int]:
        """Anchors at each location, one number a level."""
        return [len(anchors) for anchors in self.cell_anchors]

    @property
    @torch.jit.unused
    def num_anchors(self) -> list[int]:
        """The same as :attr:`num_cell_anchors`."""
        return self.num_cell_anchors

    def generate_cell_anchors(
        self, sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1, 2),
    ) -> Tensor:  # fmt: skip
        """Make the anchors of one location, centred at (0, 0).

        Returns:
            (len(sizes) * len(aspect_ratios), 4) boxes x0, y0, x1, y1; sizes vary slowest.
        """
        side = torch.tensor(list(sizes), dtype=torch.float64)[:, None]
        ratio = torch.tensor(list(aspect_ratios), dtype=torch.float64)[None, :]
        width = torch.sqrt(side**2 / ratio)
        half = torch.stack([width, ratio * width], dim=2).flatten(0, 1) / 2
        return torch.cat([-half, half], dim=1).float()

    def _grid_anchors(self, grid_sizes: list[list[int]]) -> list[Tensor]:
        """All anchors of feature maps of the given (height, width), one (A, 4) tensor a level."""
        anchors: list[Tensor] = []
        # Of all ways to the buffers TorchScript knows this one.
        cells: list[Tensor] = [named[1] for named in self.cell_anchors.named_buffers()]
        for size, stride, cell in zip(grid_sizes, self.strides, cells):  # noqa: B905
            height, width = size
            start = self.offset * stride
            x = torch.arange(width, dtype=torch.float32, device=cell.device) * stride + start
            y = torch.arange(height, dtype=torch.float32, device=cell.device) * stride + start
            grid_y, grid_x = torch.meshgrid([y, x], indexing="ij")
            corners = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=2)
            anchors.append((corners[:, :, None] + cell).reshape(-1, 4))
        return anchors

    def forward(self, features: list[Tensor]) -> list[Boxes]:
        """Make the anchors of every level.

        Args:
            features: one (N, C, Hi, Wi) map a level; only the sizes matter.

        Returns:
            one ``Boxes`` of Hi * Wi * A anchors a level, by row, column and cell anchor, in
            pixels of the network's input. They may lie outside of it.
        """
        if len(features) != self.num_features:
            raise ValueError(
                f"The anchor generator has {self.num_features} strides but got"
                f" {len(features)} feature maps."
            )
        sizes: list[list[int]] = [feature.shape[-2:] for feature in features]  # type: ignore[misc]
        return [Boxes(anchors) for anchors in self._grid_anchors(sizes)]


ANCHOR_GENERATOR_REGISTRY.register(DefaultAnchorGenerator)


def build_anchor_generator(cfg: CfgNode, input_shape: list[ShapeSpec]) -> nn.Module:
    """Build the anchor generator that ``cfg.MODEL.ANCHOR_GENERATOR.NAME`` names.

    Args:
        cfg: the whole config.
        input_shape: the feature maps it will see, one a level.
    """
    return ANCHOR_GENERATOR_REGISTRY.get(cfg.MODEL.ANCHOR_GENERATOR.NAME)(cfg, input_shape)


RotatedAnchorGenerator = unavailable(__name__, "rotated boxes", "RotatedAnchorGenerator")
ANCHOR_GENERATOR_REGISTRY.register(RotatedAnchorGenerator)

(_broadcast_params, _create_grid_offsets) = unavailable(
    __name__, INTERNALS, "_broadcast_params _create_grid_offsets"
)
