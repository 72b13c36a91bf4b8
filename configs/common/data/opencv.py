"""Images resized as OpenMMLab resizes them."""

from typing import Any

import detectron2.data.transforms as T
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge


def resize_as_opencv(dataloader: Any) -> None:
    """Exchange Detectron2's `ResizeShortestEdge`, which resizes as Pillow does.

    Args:
        dataloader: a LazyConfig; changed, training and test.
    """
    for part in ("train", "test"):
        for augmentation in dataloader[part].mapper.augmentations:
            if augmentation["_target_"] is T.ResizeShortestEdge:
                augmentation["_target_"] = OpenCVResizeShortestEdge
