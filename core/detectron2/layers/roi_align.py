"""RoIAlign (Mask R-CNN, arXiv:1703.06870, section 3) as a module."""

import torch
from torch import nn
from torchvision.ops import roi_align

__all__ = ["ROIAlign", "roi_align"]


class ROIAlign(nn.Module):
    """Samples a grid of features inside each region by bilinear interpolation."""

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = True,
    ) -> None:
        """Sets the grid.

        Args:
            output_size: (height, width) of the grid, or one number for both.
            spatial_scale: feature cells a pixel of the region's coordinates (1 / stride).
            sampling_ratio: samples a grid cell and direction; 0 takes as many as the region has
                feature cells there.
            aligned: True: pixel centres are at half-integers, as everywhere else in Detectron2.
                False: the first Detectron's convention, off by half a feature cell.
        """
        super().__init__()
        self.output_size, self.aligned = output_size, aligned
        self.spatial_scale, self.sampling_ratio = spatial_scale, sampling_ratio

    def forward(self, input: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """Pools features.

        Args:
            input: (N, C, H, W).
            rois: (R, 5): index in the batch, then left, top, right, bottom in image pixels.

        Returns:
            (R, C, height, width) in the precision of ``input``.

        Raises:
            ValueError: ``rois`` has another shape.
        """
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise ValueError(
                "ROIAlign expects regions of shape (R, 5): index in the batch and a box, but got "
                f"{rois.shape}"
            )
        # Half precision cannot hold box coordinates (float16 has steps of 0.5 at 1000 pixels).
        low = input.dtype == torch.float16 or input.dtype == torch.bfloat16
        dtype = torch.float32 if low else input.dtype
        pooled = roi_align(
            input.to(dtype),
            rois.to(dtype),
            output_size=self.output_size,
            spatial_scale=self.spatial_scale,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
        )
        return pooled.to(input.dtype)

    def extra_repr(self) -> str:
        """The four settings."""
        names = ("output_size", "spatial_scale", "sampling_ratio", "aligned")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
