"""From an image to the scores of its pixels: in one piece, by windows, at several scales, flipped.

Shape legend: K classes; an image of H x W pixels as the network takes it; an output of h x w.

Every way is called as ``inference(encode, image, size)`` and knows nothing else of the model, so
that every model with a class for each pixel can use it. Logits are resized twice, as OpenMMLab does
it: by ``encode`` to the size of its input, here to the size of the output.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .strips import resize, resized_strips

Encode = Callable[[Tensor], Tensor]
"""The network: normalised images (N, 3, H, W) -> logits (N, K, H, W)."""

Inference = Callable[[Encode, Tensor, tuple[int, int]], Tensor]
"""The network, an image (3, H, W), the output's (h, w) -> scores (K, h, w)."""

PUBLISHED_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


class SingleScale(ABC):
    """An image as it is, through the network once or in parts."""

    def __init__(self, *, align_corners: bool = False, accumulate_on: str | None = None) -> None:
        """
        Args:
            align_corners: of the resize to the output's size; as in the model's heads.
            accumulate_on: the device that holds whatever has a value for each class and pixel, such
                as "cpu" where a GPU's memory is short; None for the image's own. The network and
                the interpolation stay on the image's device.
        """
        self.align_corners = align_corners
        self.accumulate_on = torch.device(accumulate_on) if accumulate_on else None

    @abstractmethod
    def logits(self, encode: Encode, image: Tensor) -> Tensor:
        """Logits (K, H, W), float32, of an image (3, H, W), where they are accumulated."""

    @torch.no_grad()
    def __call__(self, encode: Encode, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (K, h, w), float32, where they are accumulated.

        Args:
            encode: the network.
            image: (3, H, W), normalised.
            size: (h, w) of the output, in pixels.

        Raises:
            ValueError: ``encode`` does not give logits of its input's size.
        """
        logits = self.logits(encode, image)
        if logits.device == image.device or logits.shape[1:] == tuple(size):
            return resize(logits, size, align_corners=self.align_corners)
        output = logits.new_empty((len(logits), *size))
        for rows, strip in self.strips(logits, size, image.device):
            output[:, rows] = strip.to(output.device)
        return output

    def strips(
        self, logits: Tensor, size: tuple[int, int], device: torch.device
    ) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the output and their logits, a strip at a time, on ``device``."""
        return resized_strips(logits, size, align_corners=self.align_corners, device=device)

    def storage(self, image: Tensor) -> torch.device:
        """Where the scores of this image are accumulated."""
        return self.accumulate_on or image.device


class WholeInference(SingleScale):
    """The whole image at once."""

    def logits(self, encode: Encode, image: Tensor) -> Tensor:
        """See :class:`SingleScale`."""
        return _encode(encode, image[None])[0].float().to(self.storage(image))


class SlideInference(SingleScale):
    """Overlapping windows of one size; a pixel gets the mean logits of the windows around it.

    Windows start every ``stride`` pixels; the last one of a row or column is shifted back to end
    where the image ends. An image smaller than the crop is its own window, without padding.
    """

    def __init__(
        self,
        *,
        crop: tuple[int, int],
        stride: tuple[int, int],
        windows_at_once: int = 1,
        align_corners: bool = False,
        accumulate_on: str | None = None,
    ) -> None:
        """
        Args:
            crop: (height, width) of a window in pixels.
            stride: rows and columns from one window to the next, at most the crop's.
            windows_at_once: how many the network gets as a batch: more may be faster on a GPU, and
                need more memory.
            align_corners, accumulate_on: see :class:`SingleScale`.

        Raises:
            ValueError: a stride that leaves gaps, or a number that is not positive.
        """
        super().__init__(align_corners=align_corners, accumulate_on=accumulate_on)
        if any(not 0 < step <= length for step, length in zip(stride, crop, strict=True)):
            raise ValueError(
                f"Slide inference needs strides between 1 and the crop's size, or pixels are left "
                f"out: stride is {tuple(stride)}, crop is {tuple(crop)}."
            )
        if windows_at_once < 1:
            raise ValueError(f"windows_at_once is {windows_at_once}; it has to be 1 or more.")
        self.crop, self.stride = (crop[0], crop[1]), (stride[0], stride[1])
        self.windows_at_once = windows_at_once

    def logits(self, encode: Encode, image: Tensor) -> Tensor:
        """See :class:`SingleScale`."""
        height, width = image.shape[1:]
        rows = windows(height, self.crop[0], self.stride[0])
        columns = windows(width, self.crop[1], self.stride[1])
        places = [(row, column) for row in rows for column in columns]
        total = None
        for start in range(0, len(places), self.windows_at_once):
            batch = places[start : start + self.windows_at_once]
            found = _encode(encode, torch.stack([image[:, row, column] for row, column in batch]))
            if total is None:
                total = torch.zeros((found.shape[1], height, width), device=self.storage(image))
            for (row, column), logits in zip(batch, found, strict=True):
                total[:, row, column] += logits.float().to(total.device)
        assert total is not None  # there is always a window
        counts = _coverage(rows, height)[:, None] * _coverage(columns, width)
        return total.div_(counts.to(total.device))


class MultiScaleFlip:
    """The mean of the class probabilities at several scales, each as it is and mirrored.

    Scales count from the image as the network takes it, that is, after the resize of the test
    pipeline: as when the published figures were made (mmsegmentation below 1.0). Since 1.0 the
    reference scales the file's own pixels instead, which is the same for Cityscapes and not for
    data sets whose images are resized. In both, every view has its softmax before the mean.

    One sum is held, not a map for each view: a view's logits are resized, turned into probabilities
    and added some rows at a time.
    """

    def __init__(
        self, *, inner: SingleScale, scales: Sequence[float] = PUBLISHED_SCALES, flip: bool = True
    ) -> None:
        """
        Args:
            inner: how each view goes through the network; it says as well how logits are resized
                and where they are accumulated.
            scales: factors of both sides of the image.
            flip: whether each scale has a mirrored view (left and right) beside the plain one.

        Raises:
            ValueError: no scale, or one that is not positive.
        """
        if not scales or min(scales) <= 0:
            raise ValueError(f"Multi-scale inference needs positive scales, not {list(scales)}.")
        self.inner, self.scales, self.flip = inner, tuple(scales), flip

    @torch.no_grad()
    def __call__(self, encode: Encode, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Probabilities (K, h, w) that add up to 1 over the classes; for the rest as ``inner``."""
        mirrored = (False, True) if self.flip else (False,)
        weight = 1 / (len(self.scales) * len(mirrored))
        total = None
        for scale in self.scales:
            scaled = resize(image, scaled_size(image.shape[-2:], scale))
            for flipped in mirrored:
                view = scaled.flip(-1) if flipped else scaled
                logits = self.inner.logits(encode, view)
                if total is None:
                    total = logits.new_zeros((len(logits), *size))
                for rows, strip in self.inner.strips(logits, size, image.device):
                    shares = strip.softmax(dim=0)
                    shares = shares.flip(-1) if flipped else shares
                    total[:, rows].add_(shares.to(total.device), alpha=weight)
                del logits  # before the next view's are there
        assert total is not None  # there is always a scale
        return total


def build_inference(
    *,
    crop: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    align_corners: bool = False,
    accumulate_on: str | None = None,
    windows_at_once: int = 1,
) -> Inference:
    """A way of inference from plain values, such as the keys of a config.

    Args:
        crop, stride: of :class:`SlideInference`; both None for :class:`WholeInference`.
        scales, flip: of :class:`MultiScaleFlip`; scale 1 alone, not flipped, gives plain logits.
        align_corners, accumulate_on: see :class:`SingleScale`.
        windows_at_once: of :class:`SlideInference`.

    Raises:
        ValueError: crop without stride or stride without crop, or what the classes refuse.
    """
    if bool(crop) != bool(stride):
        raise ValueError(
            f"Slide inference needs both crop and stride (neither for the whole image at once): "
            f"crop is {crop}, stride is {stride}."
        )
    inner: SingleScale = WholeInference(align_corners=align_corners, accumulate_on=accumulate_on)
    if crop and stride:
        inner = SlideInference(
            crop=crop,
            stride=stride,
            windows_at_once=windows_at_once,
            align_corners=align_corners,
            accumulate_on=accumulate_on,
        )
    if tuple(scales) == (1.0,) and not flip:
        return inner
    return MultiScaleFlip(inner=inner, scales=scales, flip=flip)


def windows(length: int, crop: int, stride: int) -> list[slice]:
    """Where windows of ``crop`` pixels lie along an edge of ``length`` pixels."""
    count = -(-max(length - crop, 0) // stride) + 1
    starts = [max(min(index * stride, length - crop), 0) for index in range(count)]
    return [slice(start, min(start + crop, length)) for start in starts]


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """A (height, width) times ``scale``, to the nearest pixel, half a pixel upwards; at least 1."""
    height, width = (max(int(edge * scale + 0.5), 1) for edge in size)
    return height, width


def _coverage(places: Sequence[slice], length: int) -> Tensor:
    """How many of the windows cover each pixel of an edge, float32."""
    counts = torch.zeros(length)
    for place in places:
        counts[place] += 1
    return counts


def _encode(encode: Encode, images: Tensor) -> Tensor:
    """``encode(images)``, if it has the shape that it has to have."""
    logits = encode(images)
    count, _, height, width = images.shape
    if logits.ndim != 4 or (len(logits), *logits.shape[2:]) != (count, height, width):
        raise ValueError(
            f"The network has to give logits (N, K, H, W) of its input's size: of images "
            f"{tuple(images.shape)} it gave {tuple(logits.shape)}."
        )
    return logits
