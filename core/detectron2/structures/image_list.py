"""Images of several sizes in one padded batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import device  # TorchScript does not find torch.device in a property
from torch.nn import functional as F

from detectron2.layers.wrappers import move_device_like, shapes_to_tensor  # noqa: F401
from detectron2.utils.torch_version_utils import min_torch_version  # noqa: F401


class ImageList:
    """A batch whose images were padded on the right and at the bottom to one size.

    Attributes:
        tensor: shape (N, H, W) or (N, C, H, W).
        image_sizes: (height, width) of each image before padding, in pixels.
    """

    def __init__(self, tensor: torch.Tensor, image_sizes: list[tuple[int, int]]) -> None:
        """Wraps an already padded batch; see :meth:`from_tensors` to make one."""
        self.tensor = tensor
        self.image_sizes = image_sizes

    def __len__(self) -> int:
        return len(self.image_sizes)

    def __getitem__(self, idx: int) -> torch.Tensor:
        """One image without its padding: a view of shape (H, W) or (C, H, W)."""
        height, width = self.image_sizes[idx]
        return self.tensor[idx, ..., :height, :width]

    @torch.jit.unused
    def to(self, *args: Any, **kwargs: Any) -> "ImageList":
        """The batch after ``tensor.to(...)`` with the same arguments."""
        return ImageList(self.tensor.to(*args, **kwargs), self.image_sizes)

    @property
    def device(self) -> device:
        """Where the batch lives."""
        return self.tensor.device

    @staticmethod
    def from_tensors(
        tensors: list[torch.Tensor],
        size_divisibility: int = 0,
        pad_value: float = 0.0,
        padding_constraints: dict[str, int] | None = None,
    ) -> "ImageList":
        """Pads images to a common size and stacks them.

        Args:
            tensors: images of shape (Hi, Wi) or (C, Hi, Wi), all with the same C.
            size_divisibility: height and width of the batch become multiples of this number (the
                largest stride of the backbone); 0 and 1 ask for nothing.
            pad_value: what stands in the padding.
            padding_constraints: a backbone's wishes. ``square_size`` > 0 asks for a square batch of
                that side; ``size_divisibility`` takes the place of the argument.

        Raises:
            ValueError: no images, different leading shapes, or an image exceeds ``square_size``.
            TypeError: an element is not a tensor.
        """
        if not torch.jit.is_scripting():
            _check_images(tensors)
            if torch.jit.is_tracing():
                constraints = padding_constraints or {}
                return _traced_batch(tensors, size_divisibility, pad_value, constraints)
        image_sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in tensors]
        multiple, square_size = size_divisibility, 0
        if padding_constraints is not None:
            multiple = padding_constraints.get("size_divisibility", multiple)
            square_size = padding_constraints.get("square_size", 0)
        height, width = _padded_size(image_sizes, square_size, multiple)

        first = tensors[0]
        shape = [len(tensors)] + list(first.shape[:-2]) + [height, width]  # noqa: RUF005
        batch = torch.full(shape, pad_value, dtype=first.dtype, device=first.device)
        for index, image in enumerate(tensors):
            batch[index, ..., : image.shape[-2], : image.shape[-1]].copy_(image)
        return ImageList(batch.contiguous(), image_sizes)


def _traced_batch(
    tensors: Sequence[torch.Tensor], multiple: int, pad_value: float, constraints: Mapping[str, int]
) -> ImageList:
    """The same in steps that a trace repeats at any size: sides are tensors while it is recorded.

    The number of images stays that of the trace.
    """
    image_sizes: list[Any] = [(image.shape[-2], image.shape[-1]) for image in tensors]
    height, width = (
        torch.stack([torch.as_tensor(edge) for edge in edges]).amax()
        for edges in zip(*image_sizes, strict=True)
    )
    square = constraints.get("square_size", 0)
    multiple = max(constraints.get("size_divisibility", multiple), 1)
    if square > 0:
        height = width = torch.as_tensor(square)
    height, width = (
        torch.div(edge + (multiple - 1), multiple, rounding_mode="floor") * multiple
        for edge in (height, width)
    )
    padded = [
        F.pad(image, (0, width - own[1], 0, height - own[0]), value=pad_value)
        for image, own in zip(tensors, image_sizes, strict=True)
    ]
    sizes: list[Any] = [torch.stack([*map(torch.as_tensor, own)]) for own in image_sizes]
    return ImageList(torch.stack(padded), sizes)


def _check_images(tensors: Sequence[torch.Tensor]) -> None:
    """Raises unless ``tensors`` can share one batch."""
    if len(tensors) == 0:
        raise ValueError("ImageList.from_tensors needs at least one image")
    for image in tensors:
        if not isinstance(image, torch.Tensor):
            raise TypeError(f"ImageList.from_tensors expects tensors, got a {type(image).__name__}")
        if image.shape[:-2] != tensors[0].shape[:-2]:
            raise ValueError(
                "the images of a batch must agree in all dimensions but height and width, got "
                f"{tuple(tensors[0].shape)} and {tuple(image.shape)}"
            )


def _padded_size(
    image_sizes: list[tuple[int, int]], square_size: int, multiple: int
) -> tuple[int, int]:
    """(height, width) that holds all images and meets the constraints."""
    height = max([size[0] for size in image_sizes])
    width = max([size[1] for size in image_sizes])
    if square_size > 0:
        if max(height, width) > square_size:
            raise ValueError(
                f"an image of {height}x{width} does not fit into the square of side {square_size} "
                "that the backbone asks for: resize images below that, or enlarge square_size"
            )
        height, width = square_size, square_size
    if multiple > 1:
        height = (height + multiple - 1) // multiple * multiple
        width = (width + multiple - 1) // multiple * multiple
    return height, width
