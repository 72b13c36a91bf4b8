"""From scores to label maps and counts, the scores themselves are not kept.

Shape legend: K classes, a label map of H x W pixels.
"""

import weakref
from collections.abc import Iterator

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor

_latest: list[tuple[weakref.ref[Tensor], int, np.ndarray]] = []


def label_map(scores: Tensor) -> np.ndarray:
    """The class of each pixel.

    Several evaluators of the same prediction get the same array, which is made once.

    Args:
        scores: (K, H, W) logits or probabilities, or (H, W) integers: labels already.

    Returns:
        (H, W) uint8, or int32 for more than 256 classes; not to be written to.
    """
    for known, version, labels in _latest:
        if known() is scores and version == scores._version:
            return labels
    labels = _labels(scores)
    labels.flags.writeable = False
    _latest[:] = [(weakref.ref(scores), scores._version, labels)]
    return labels


def _labels(scores: Tensor) -> np.ndarray:
    if scores.ndim == 2:
        largest = int(scores.max()) if scores.numel() else 0
        found, count = scores, largest + 1
    else:
        # Less than half of argmax's time on a CPU, with the same answer.
        found, count = scores.max(dim=0).indices, len(scores)
    kind = torch.uint8 if count <= 256 else torch.int32
    return found.to(kind).cpu().numpy().copy()


def confusion(prediction: np.ndarray, truth: np.ndarray, side: int) -> np.ndarray:
    """How often each pair (prediction, truth) occurs: (side, side).

    Args:
        prediction, truth: (H, W) of values below ``side``.
        side: number of different values.
    """
    kind = np.uint16 if side**2 <= 2**16 else np.int64
    pairs = prediction.astype(kind) * kind(side) + truth
    return np.bincount(pairs.reshape(-1), minlength=side * side).reshape(side, side)


def encode_classes(labels: np.ndarray) -> Iterator[tuple[int, dict]]:
    """Each class of a label map (H, W) with COCO's run lengths, compressed, as text.

    The runs of all classes are found in one pass down the columns.
    """
    height, width = labels.shape
    flat = labels.T.reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    classes, first = np.unique(values[order], return_index=True)
    for value, chosen in zip(classes.tolist(), np.split(order, first[1:]), strict=True):
        # In turns: how long another class lasts, how long this one.
        borders = np.stack([starts[chosen], ends[chosen]], axis=1).reshape(-1)
        counts = np.diff(borders, prepend=0)
        if borders[-1] < flat.size:
            counts = np.append(counts, flat.size - borders[-1])
        plain = {"size": [height, width], "counts": counts.tolist()}
        found = mask_util.frPyObjects(plain, height, width)
        yield value, {"size": [height, width], "counts": found["counts"].decode()}
