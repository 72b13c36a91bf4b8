"""Inference of semantic segmentation, literally: every view in full, all of them kept."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Encode = Callable[[Tensor], Tensor]
Size = tuple[int, int]


def enlarge(x: Tensor, size: Size, align_corners: bool) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def literal_slide(encode: Encode, images: Tensor, crop: Size, stride: Size) -> Tensor:
    """Window after window until one touches the end; each is padded to the image and added."""
    height, width = images.shape[2:]
    total, count = torch.zeros(()), torch.zeros(())
    top = 0
    while True:
        low, high = max(min(top, height - crop[0]), 0), min(top + crop[0], height)
        left = 0
        while True:
            first, last = max(min(left, width - crop[1]), 0), min(left + crop[1], width)
            logits = encode(images[:, :, low:high, first:last])
            around = (first, width - last, low, height - high)
            total = total + F.pad(logits, around)
            count = count + F.pad(torch.ones_like(logits), around)
            if last == width:
                break
            left += stride[1]
        if high == height:
            break
        top += stride[0]
    return total / count


def literal_view(
    encode: Encode, images: Tensor, size: Size, windows: tuple[Size, Size] | None, align: bool
) -> Tensor:
    """Logits (1, K, h, w) of one view; ``windows`` are crop and stride, None for the whole."""
    logits = literal_slide(encode, images, *windows) if windows else encode(images)
    return enlarge(logits, size, align)


@torch.no_grad()
def literal_inference(
    encode: Encode,
    image: Tensor,
    size: Size,
    *,
    windows: tuple[Size, Size] | None = None,
    scales: tuple[float, ...] = (),
    flip: bool = False,
    align_corners: bool = False,
) -> Tensor:
    """Logits (K, h, w), or with scales the mean probabilities of all views."""
    images = image[None]
    if not scales:
        return literal_view(encode, images, size, windows, align_corners)[0]
    views = []
    for scale in scales:
        small = [int(edge * scale + 0.5) for edge in image.shape[1:]]
        scaled = enlarge(images, (small[0], small[1]), False)
        found = literal_view(encode, scaled, size, windows, align_corners)
        views.append(found.softmax(dim=1))
        if flip:
            mirrored = literal_view(encode, scaled.flip(3), size, windows, align_corners)
            views.append(mirrored.flip(3).softmax(dim=1))
    return torch.stack(views).mean(dim=0)[0]
