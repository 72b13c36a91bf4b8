"""What a module needs to know of a feature map before it has seen one."""

from dataclasses import dataclass


@dataclass
class ShapeSpec:
    """Channels and size of a feature map; what is unknown or does not matter is None.

    Attributes:
        channels: number of channels.
        height: in cells.
        width: in cells.
        stride: image pixels from one cell to the next.
    """

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None
