"""Bilinear resizing of class scores, in one piece or a strip of rows at a time.

Shape legend: K classes; scores of H x W pixels become scores of h x w pixels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

STRIP_VALUES = 2**22
"""How many values a strip has at most, unless one row has more: 16 MiB of them."""


def resize(scores: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Resize (K, H, W) to (K, h, w); scores that have that size already are returned as they are.

    Args:
        scores: anything by channel, an image as well.
        size: (h, w) in pixels.
        align_corners: whether the centres of the corner pixels stay in place, or else the corners.
    """
    if scores.shape[-2:] == tuple(size):
        return scores
    resized = F.interpolate(
        scores[None], size=tuple(size), mode="bilinear", align_corners=align_corners
    )
    return resized[0]


def resized_strips(
    scores: Tensor,
    size: tuple[int, int],
    *,
    align_corners: bool = False,
    device: torch.device | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """What :func:`resize` gives, from top to bottom, without ever being there as a whole.

    Args:
        scores: (K, H, W).
        size: (h, w) in pixels.
        align_corners: see :func:`resize`.
        device: where to compute, if not where the scores are; they are moved a strip at a time.

    Yields:
        the rows of a strip, and the strip (K, rows, w), which may be a view of ``scores``.
    """
    channels, height, width = scores.shape
    upper, lower, share = _source_rows(height, size[0], align_corners)
    step = max(1, STRIP_VALUES // (channels * max(width, size[1])))
    for start in range(0, size[0], step):
        rows = slice(start, min(start + step, size[0]))
        first, last = int(upper[rows.start]), int(lower[rows.stop - 1])
        strip = scores[:, first : last + 1].to(device or scores.device)
        if height != size[0]:
            above, below = ((index[rows] - first).to(strip.device) for index in (upper, lower))
            strip = strip[:, above].lerp(strip[:, below], share[rows, None].to(strip))
        yield rows, resize(strip, (strip.shape[1], size[1]), align_corners=align_corners)


def _source_rows(source: int, target: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``target`` rows: the ``source`` rows above and below it, the latter's share."""
    places = torch.arange(target, dtype=torch.float64)
    if align_corners:
        places = places * ((source - 1) / max(target - 1, 1))
    else:
        places = ((places + 0.5) * (source / target) - 0.5).clamp(min=0)
    upper = places.long()
    if source == target:
        return upper, upper, torch.zeros(target)
    return upper, (upper + 1).clamp(max=source - 1), places - upper
