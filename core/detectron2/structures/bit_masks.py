"""Masks as pixels: of whole images (BitMasks) and of regions (ROIMasks)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from detectron2.layers.mask_ops import paste_masks_in_image
from detectron2.layers.roi_align import ROIAlign
from detectron2.utils.memory import retry_if_cuda_oom

from .boxes import Boxes
from .polygon_masks import PolygonMasks, polygons_to_bitmask


class BitMasks:
    """N masks, each of the whole image's size.

    Attributes:
        tensor: bool, shape (N, H, W).
        image_size: (H, W).
    """

    def __init__(self, tensor: torch.Tensor | np.ndarray) -> None:
        """Wraps masks of shape (N, H, W); whatever is not 0 is True.

        Raises:
            ValueError: the shape is not like that.
        """
        masks = torch.as_tensor(tensor).to(dtype=torch.bool)
        if masks.dim() != 3:
            raise ValueError(f"BitMasks expects shape (N, H, W), got {tuple(masks.shape)}")
        self.tensor = masks
        self.image_size = masks.shape[1:]

    def to(self, *args: Any, **kwargs: Any) -> "BitMasks":
        """The masks after ``tensor.to(...)`` with the same arguments."""
        return BitMasks(self.tensor.to(*args, **kwargs))

    @property
    def device(self) -> torch.device:
        """Where the masks live."""
        return self.tensor.device

    @staticmethod
    def from_polygon_masks(
        polygon_masks: PolygonMasks | Sequence[Sequence[np.ndarray]], height: int, width: int
    ) -> "BitMasks":
        """Rasterises polygons into an image of ``height`` x ``width`` pixels."""
        instances = getattr(polygon_masks, "polygons", polygon_masks)
        masks = np.zeros((len(instances), height, width), dtype=bool)
        for mask, parts in zip(masks, instances, strict=True):
            mask[:] = polygons_to_bitmask(parts, height, width)
        return BitMasks(torch.from_numpy(masks))

    @staticmethod
    def from_roi_masks(
        roi_masks: "ROIMasks", height: int, width: int, boxes: "Boxes | torch.Tensor | None" = None
    ) -> "BitMasks":
        """Pastes region masks into an image of ``height`` x ``width`` pixels.

        Args:
            roi_masks: N region masks.
            height: of the image.
            width: of the image.
            boxes: where the regions lie, shape (N, 4). It has to be given.

        Raises:
            ValueError: without ``boxes``.
        """
        if boxes is None:
            raise ValueError("region masks alone have no place in the image: give their boxes")
        return roi_masks.to_bitmasks(boxes, height, width)

    def nonempty(self) -> torch.Tensor:
        """Which masks have at least one pixel: bool, shape (N,)."""
        return self.tensor.flatten(1).any(dim=1)

    def get_bounding_boxes(self) -> Boxes:
        """The tightest box around each mask's pixels.

        A box ends behind the last pixel: the single pixel (x, y) has the box (x, y, x+1, y+1). A
        mask without pixels has the box (0, 0, 0, 0).
        """
        left, right = _extent(self.tensor.any(dim=1))
        top, bottom = _extent(self.tensor.any(dim=2))
        return Boxes(torch.stack([left, top, right, bottom], dim=1))

    def crop_and_resize(self, boxes: torch.Tensor, mask_size: int) -> torch.Tensor:
        """Each mask inside its box, resampled by RoIAlign: a mask head's targets.

        Args:
            boxes: shape (N, 4), in image pixels.
            mask_size: side of the result.

        Returns:
            bool tensor of shape (N, mask_size, mask_size) on the device of the masks.

        Raises:
            ValueError: not as many boxes as masks.
        """
        if len(boxes) != len(self):
            raise ValueError(f"{len(self)} masks cannot be cropped with {len(boxes)} boxes")
        if len(self) == 0:
            return self.tensor.new_zeros((0, mask_size, mask_size))
        corners = boxes.detach().to(device=self.device, dtype=torch.float32)
        index = torch.arange(len(self), device=self.device, dtype=torch.float32)
        pooler = ROIAlign((mask_size, mask_size), 1.0, 0, aligned=True)
        coverage = pooler(
            self.tensor.unsqueeze(1).float(), torch.cat([index.unsqueeze(1), corners], dim=1)
        )
        return coverage.squeeze(1) >= 0.5

    @staticmethod
    def cat(bitmasks_list: Sequence["BitMasks"]) -> "BitMasks":
        """The masks of several objects (of one image size) one after the other.

        Raises:
            ValueError: the list is empty.
            TypeError: an element is not a BitMasks object.
        """
        if len(bitmasks_list) == 0:
            raise ValueError("BitMasks.cat needs at least one BitMasks object")
        for masks in bitmasks_list:
            if not isinstance(masks, BitMasks):
                raise TypeError(f"BitMasks.cat expects BitMasks, got a {type(masks).__name__}")
        return BitMasks(torch.cat([masks.tensor for masks in bitmasks_list]))

    def __getitem__(self, item: Any) -> "BitMasks":
        """Selects masks by an int (one mask, still (1, H, W)), slice, mask or index tensor."""
        return BitMasks(_select_masks(self.tensor, item, "BitMasks"))

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yields each mask as a tensor of shape (H, W)."""
        return iter(self.tensor)

    def __len__(self) -> int:
        return len(self.tensor)

    def __repr__(self) -> str:
        return f"BitMasks(num_instances={len(self)})"


class ROIMasks:
    """N soft masks, each defined on a region of the image that is kept elsewhere (its box).

    Attributes:
        tensor: shape (N, M, M), the probability of foreground.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        """Wraps masks of shape (N, M, M).

        Raises:
            ValueError: the tensor has not three dimensions.
        """
        if tensor.dim() != 3:
            raise ValueError(f"ROIMasks expects shape (N, M, M), got {tuple(tensor.shape)}")
        self.tensor = tensor

    def to(self, device: torch.device | str) -> "ROIMasks":
        """The masks on another device."""
        return ROIMasks(self.tensor.to(device))

    @property
    def device(self) -> torch.device:
        """Where the masks live."""
        return self.tensor.device

    def to_bitmasks(
        self, boxes: Boxes | torch.Tensor, height: int, width: int, threshold: float = 0.5
    ) -> BitMasks:
        """Pastes the masks into the image.

        Args:
            boxes: the regions, N boxes in pixels of the image.
            height: of the image.
            width: of the image.
            threshold: a pixel belongs to the mask from this probability on.
        """
        paste = retry_if_cuda_oom(paste_masks_in_image)
        corners = boxes.tensor if isinstance(boxes, Boxes) else boxes
        return BitMasks(paste(self.tensor, corners, (height, width), threshold=threshold))

    def __getitem__(self, item: Any) -> "ROIMasks":
        """Selects masks by an int (one mask, still (1, M, M)), slice, mask or index tensor."""
        return ROIMasks(_select_masks(self.tensor, item, "ROIMasks"))

    def __len__(self) -> int:
        return len(self.tensor)

    def __repr__(self) -> str:
        return f"ROIMasks(num_instances={len(self)})"


def _select_masks(masks: torch.Tensor, item: Any, owner: str) -> torch.Tensor:
    """Masks chosen by ``item``, always with three dimensions."""
    if isinstance(item, int):
        return masks[item].unsqueeze(0)
    chosen = masks[item]
    if chosen.dim() != 3:
        raise IndexError(f"indexing {owner} with {item} does not give a list of masks")
    return chosen


def _extent(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First True and the position behind the last True of each row of (N, L); zeros if none."""
    length = occupied.shape[1]
    if occupied.numel() == 0:
        nothing = torch.zeros(len(occupied), device=occupied.device)
        return nothing, nothing
    # argmax of a 0/1 tensor is the place of its first one.
    filled = occupied.any(dim=1)
    first = occupied.int().argmax(dim=1)
    behind_last = length - occupied.flip(1).int().argmax(dim=1)
    return first * filled, behind_last * filled
