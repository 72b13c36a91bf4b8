"""What looks odd among the objects of a data set; each may be right, and is worth a look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .objects import ObjectStatistics
from .overlaps import near_duplicates


@dataclass(frozen=True)
class Limits:
    """From where on something is odd.

    Attributes:
        tiny: a box with an edge shorter than this, in pixels.
        aspect: a box this many times as long as wide.
        iou: boxes that overlap at least so much are the same.
        whole: a box that covers at least this share of its image.
        few: classes with fewer objects.
        many: images with more objects.
        imbalance: the most frequent class has so many times as many objects as the rarest.
        outside: a box that reaches further out of its image, in pixels.
    """

    tiny: float = 4
    aspect: float = 10
    iou: float = 0.9
    whole: float = 0.95
    few: int = 10
    many: int = 100
    imbalance: float = 100
    outside: float = 1


@dataclass(frozen=True)
class Oddity:
    """One kind of thing that looks odd.

    Attributes:
        kind: a short name for it.
        count: how many there are.
        title: what they are, after the number.
        advice: why it matters, and what to do.
        images: indices of images, the most telling first, each once.
        objects: indices of the objects concerned, the most telling first.
        classes: indices of the classes concerned.
    """

    kind: str
    count: int
    title: str
    advice: str
    images: tuple[int, ...] = ()
    objects: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()


def find_oddities(data: ObjectStatistics, limits: Limits | None = None) -> list[Oddity]:
    """Look for all kinds.

    Args:
        data: the objects.
        limits: from where on; by default those of :class:`Limits`.

    Returns:
        those that occur: of classes, of boxes, of images.
    """
    limits = limits or Limits()
    return [
        *_of_classes(data, limits),
        *_of_boxes(data, limits),
        *_of_pairs(data, limits),
        *_of_images(data, limits),
    ]


def _of_classes(data: ObjectStatistics, limits: Limits) -> Iterator[Oddity]:
    counts = data.per_class
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        yield Oddity(
            "absent",
            len(absent),
            f"{_word('class', len(absent))} without any object",
            "cannot be learnt: take it out of the list of classes, or label some",
            classes=_tuple(absent),
        )
    rare = np.flatnonzero((counts > 0) & (counts < limits.few))
    if len(rare):
        yield Oddity(
            "rare",
            len(rare),
            f"{_word('class', len(rare))} with fewer than {limits.few} objects",
            "label more of them, or repeat their images (repeat-factor sampling)",
            classes=_tuple(rare[np.argsort(counts[rare], kind="stable")]),
        )
    present = counts[counts > 0]
    if len(present) and present.max() >= limits.imbalance * present.min():
        most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
        times = counts[most] / counts[least]
        yield Oddity(
            "imbalance",
            1,
            f"imbalance: {data.classes[most]} has {times:,.0f} times as many objects as "
            f"{data.classes[least]}",
            "look at AP by class; repeat-factor sampling shows rare classes more often",
            classes=(most, least),
        )


def _of_boxes(data: ObjectStatistics, limits: Limits) -> Iterator[Oddity]:
    short, long = data.edges.min(axis=1), data.edges.max(axis=1)
    yield from _boxes(
        data,
        "tiny",
        short < limits.tiny,
        short,
        f"with an edge shorter than {limits.tiny:g} pixels",
        "hardly visible to a network with strides of 4 and more, often slips of the mouse: remove "
        "them, or train at a higher resolution or on tiles",
    )
    aspects = long / np.maximum(short, 1e-9)
    extreme = (aspects > limits.aspect) & (short >= limits.tiny)
    yield from _boxes(
        data,
        "aspect",
        extreme,
        -aspects,
        f"more than {limits.aspect:g} times as long as wide",
        "anchors of ratios 1:2 to 2:1 hardly match them: add ratios "
        "(model.proposal_generator.anchor_generator.aspect_ratios)",
    )
    height, width = data.sizes[data.images].T
    # Comparisons with NaN, of images of unknown size, are false.
    covered = data.areas / (height * width)
    yield from _boxes(
        data,
        "whole",
        covered >= limits.whole,
        -covered,
        f"that {{cover}} {limits.whole:.0%} of the image or more",
        "right for close-ups; otherwise a label of the image, not of an object",
    )
    beyond = np.maximum(
        -data.boxes[:, :2].min(axis=1),
        np.maximum(data.boxes[:, 2] - width, data.boxes[:, 3] - height),
    )
    yield from _boxes(
        data,
        "outside",
        beyond > limits.outside,
        -beyond,
        "that {reach} out of the image",
        "they are clipped in training and count as they are in evaluation: clip them, or look "
        "whether image and annotations belong together",
    )


def _boxes(
    data: ObjectStatistics, kind: str, chosen: np.ndarray, order: np.ndarray, title: str, why: str
) -> Iterator[Oddity]:
    """The oddity of the chosen boxes, those with the least ``order`` first."""
    found = np.flatnonzero(chosen)
    if len(found):
        one = len(found) == 1
        verbs = {"cover": "covers" if one else "cover", "reach": "reaches" if one else "reach"}
        found = found[np.argsort(order[found], kind="stable")]
        yield Oddity(
            kind,
            len(found),
            f"{_word('box', len(found))} {title.format(**verbs)}",
            why,
            _unique(data.images[found]),
            _tuple(found),
        )


def _of_pairs(data: ObjectStatistics, limits: Limits) -> Iterator[Oddity]:
    pairs = near_duplicates(data.boxes, data.images, limits.iou)
    same = data.labels[pairs[:, 0]] == data.labels[pairs[:, 1]]
    percent = f"{limits.iou:.0%}"
    for kind, chosen, what, advice in (
        (
            "duplicates",
            pairs[same],
            "of the same class",
            "probably labelled twice; a detector is punished for finding the second: remove one",
        ),
        (
            "conflicts",
            pairs[~same],
            "of different classes",
            "one of the two classes is probably wrong; where both are meant, evaluation counts "
            "them separately",
        ),
    ):
        if len(chosen):
            yield Oddity(
                kind,
                len(chosen),
                f"{_word('pair', len(chosen))} of boxes {what} that overlap by {percent} or more",
                advice,
                _unique(data.images[chosen[:, 0]]),
                _tuple(chosen.ravel()),
            )


def _of_images(data: ObjectStatistics, limits: Limits) -> Iterator[Oddity]:
    objects = data.per_image
    empty = np.flatnonzero(objects == 0)
    if len(empty):
        yield Oddity(
            "empty",
            len(empty),
            f"{_word('image', len(empty))} without objects",
            "training leaves them out unless dataloader.train.dataset.filter_empty=False (YAML: "
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS False); look whether labels are missing",
            _tuple(empty),
        )
    crowded = np.flatnonzero(objects > limits.many)
    if len(crowded):
        yield Oddity(
            "crowded",
            len(crowded),
            f"{_word('image', len(crowded))} with more than {limits.many} objects",
            "models keep 100 detections per image by default: raise it "
            "(model.roi_heads.box_predictor.test_topk_per_image; YAML: TEST.DETECTIONS_PER_IMAGE)",
            _tuple(crowded[np.argsort(-objects[crowded], kind="stable")]),
        )


def _word(word: str, count: int) -> str:
    plurals = {"class": "classes", "box": "boxes"}
    return word if count == 1 else plurals.get(word, f"{word}s")


def _tuple(indices: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in indices)


def _unique(indices: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """Each index once, in the order of its first occurrence."""
    return tuple(dict.fromkeys(int(index) for index in indices))
