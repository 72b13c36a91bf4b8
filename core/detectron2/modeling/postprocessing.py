"""From the network's input size back to the size the user asked for."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from detectron2.structures import Boxes, Instances, ROIMasks


def detector_postprocess(
    results: Instances, output_height: int, output_width: int, mask_threshold: float = 0.5
) -> Instances:
    """Scale detections from the network's input to the output image.

    Args:
        results: detections of one image; ``image_size`` is the size the network saw. Boxes are
            in ``pred_boxes`` or, of proposals, ``proposal_boxes``; masks, if any, are
            probabilities on the box grid, ``pred_masks`` (R, 1, S, S) or ``ROIMasks``.
        output_height, output_width: size in pixels of the image the user gave.
        mask_threshold: probability from which a pixel belongs to the mask.

    Returns:
        new ``Instances`` of the output size: boxes scaled and clipped, empty ones dropped;
        ``pred_masks`` (R', output_height, output_width) of booleans.

    Raises:
        ValueError: results without boxes.
    """
    height, width = results.image_size
    name = next((name for name in ("pred_boxes", "proposal_boxes") if results.has(name)), None)
    if name is None:
        raise ValueError("Results to post-process have neither pred_boxes nor proposal_boxes.")
    # In a trace sides are tensors; numbers would be those of the recorded image for all others.
    tracing = torch.jit.is_tracing()
    size: Any = (output_height, output_width)
    output = Instances(size if tracing else (int(size[0]), int(size[1])), **results.get_fields())
    # A copy: `results` keeps its boxes in the network's coordinates.
    boxes: Boxes = results.get(name).clone()
    boxes.scale(output_width / width, output_height / height)
    boxes.clip(output.image_size)
    output.set(name, boxes)
    output = output[boxes.nonempty()]
    if output.has("pred_masks"):
        masks = output.pred_masks
        if not isinstance(masks, ROIMasks):
            masks = ROIMasks(masks[:, 0])
        pasted = masks.to_bitmasks(output.get(name), *output.image_size, mask_threshold)
        output.pred_masks = pasted.tensor
    return output


def sem_seg_postprocess(
    result: Tensor, img_size: tuple[int, int], output_height: int, output_width: int
) -> Tensor:
    """Cut the padding off semantic logits and resize them to the output image.

    Args:
        result: (C, H, W) logits of one image, padded at the right and the bottom.
        img_size: height and width of the image without its padding.
        output_height, output_width: the size to resize to, bilinearly.

    Returns:
        (C, output_height, output_width).
    """
    height, width = img_size
    size = (output_height, output_width)
    unpadded = result[None, :, :height, :width]
    return F.interpolate(unpadded, size=size, mode="bilinear", align_corners=False).squeeze(0)
