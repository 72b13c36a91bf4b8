"""Average precision of boxes as the development kit of PASCAL VOC defines it.

See Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, section 4.2; 2007's
definition takes the mean of 11 points of the curve, 2012's the area below it. Boxes include their
last pixel, so that a box from 1 to 10 is 10 pixels wide.
"""

import functools
import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.pascal_voc import corners_of, read_annotation, read_image_set, text_of
from detectron2.evaluation.evaluator import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

THRESHOLDS = tuple(range(50, 100, 5))  # overlaps in per cent


class PascalVOCDetectionEvaluator(DatasetEvaluator):
    """AP over overlap 0.5 to 0.95, AP50 and AP75, each the mean over the classes, in per cent.

    The figures resemble those of the development kit, which is the one to use for publications.
    Scores count to three decimals and corners to one, as in the kit's result files.

    Args:
        dataset_name: registered by ``register_pascal_voc``, or with the same metadata: ``dirname``,
            ``split``, ``year``, ``thing_classes``.

    Raises:
        AssertionError: the year is neither 2007 nor 2012.
    """

    def __init__(self, dataset_name: str) -> None:
        self._dataset_name = dataset_name
        meta = MetadataCatalog.get(dataset_name)
        assert meta.year in (2007, 2012), (
            f"PASCAL VOC's metrics are those of 2007 or 2012; data set {dataset_name} has the year "
            f"{meta.year!r}."
        )
        folder = PathManager.get_local_path(os.path.join(meta.dirname, "Annotations/"))
        self._anno_file_template = os.path.join(folder, "{}.xml")
        self._image_set_path = os.path.join(meta.dirname, "ImageSets", "Main", f"{meta.split}.txt")
        self._class_names = meta.thing_classes
        self._is_2007 = meta.year == 2007
        self._cpu_device = torch.device("cpu")
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._predictions: dict[int, list[str]] = defaultdict(list)

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Keep the boxes of a batch as lines of the kit's result files, by class.

        Args:
            inputs: data set dicts with ``image_id``, the image's name.
            outputs: dicts with ``"instances"`` in the original image's pixels.
        """
        for given, answer in zip(inputs, outputs, strict=False):
            found = answer["instances"].to(self._cpu_device)
            counted_from_one = found.pred_boxes.tensor + torch.tensor([1.0, 1.0, 0.0, 0.0])
            columns = (found.pred_classes.tolist(), found.scores.tolist())
            for category, score, box in zip(*columns, counted_from_one.tolist(), strict=True):
                corners = " ".join(f"{value:.1f}" for value in box)
                line = f"{given['image_id']} {score:.3f} {corners}"
                self._predictions[category].append(line)

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Compute the metrics of all predictions; None on processes other than the main one.

        Returns:
            ``{"bbox": {"AP": ..., "AP50": ..., "AP75": ...}}``
        """
        gathered = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return None
        year = 2007 if self._is_2007 else 2012
        self._logger.info(
            f"Evaluating {self._dataset_name} using {year} metric. Note that results do not use "
            "the official Matlab API."
        )
        records = _read_records(self._anno_file_template, self._image_set_path)
        table = []
        for index, name in enumerate(self._class_names):
            lines = [line for part in gathered for line in part.get(index, ())]
            curve = _curves(lines, _truths_of(records, name))
            table.append([voc_ap(*curve(percent / 100), self._is_2007) for percent in THRESHOLDS])
        by_threshold = dict(zip(THRESHOLDS, 100 * np.mean(table, axis=0), strict=True))
        means = {"AP": np.mean(list(by_threshold.values()))}
        means |= {f"AP{percent}": by_threshold[percent] for percent in (50, 75)}
        return OrderedDict(bbox={name: float(value) for name, value in means.items()})


class _Truth(NamedTuple):
    """The objects of one class: of all images in a row, with where each image's ones begin."""

    boxes: np.ndarray  # (G, 4)
    difficult: np.ndarray  # (G,) bool
    rows: dict[str, slice]


@functools.cache
def parse_rec(filename: str) -> list[dict[str, Any]]:
    """The objects of an annotation file.

    Returns:
        dicts with ``name``, ``pose``, ``truncated``, ``difficult`` and ``bbox`` (xmin, ymin, xmax,
        ymax, counted from 1).
    """
    return [
        {
            "name": text_of(element, "name", filename),
            "pose": element.findtext("pose"),
            "truncated": int(element.findtext("truncated") or 0),
            "difficult": int(element.findtext("difficult") or 0),
            "bbox": corners_of(element, filename),
        }
        for element in read_annotation(filename).iterfind("object")
    ]


def _read_records(template: str, image_set_path: str) -> dict[str, list[dict[str, Any]]]:
    return {name: parse_rec(template.format(name)) for name in read_image_set(image_set_path)}


def _truths_of(records: Mapping[str, Sequence[dict[str, Any]]], class_name: str) -> _Truth:
    boxes: list[list[float]] = []
    difficult: list[bool] = []
    rows = {}
    for image, objects in records.items():
        own = [x for x in objects if x["name"] == class_name]
        rows[image] = slice(len(boxes), len(boxes) + len(own))
        boxes += [x["bbox"] for x in own]
        difficult += [bool(x["difficult"]) for x in own]
    return _Truth(np.array(boxes, float).reshape(-1, 4), np.array(difficult, bool), rows)


def _area(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Pixels in boxes between two corners (..., 2), the last row and column included."""
    sides = np.maximum(high - low + 1.0, 0.0)
    return sides[..., 0] * sides[..., 1]


def _best_overlap(box: np.ndarray, boxes: np.ndarray) -> tuple[float, int]:
    """The largest IoU of a box with several, and which of them has it; -inf without any."""
    if not len(boxes):
        return -np.inf, -1
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = _area(low, high)
    union = _area(box[:2], box[2:]) + _area(boxes[:, :2], boxes[:, 2:]) - common
    overlaps = common / union
    best = int(overlaps.argmax())
    return float(overlaps[best]), best


def _curves(
    lines: Iterable[str], truth: _Truth
) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
    """A function from the needed overlap to recall and precision after each detection, best first.

    Args:
        lines: "image score xmin ymin xmax ymax", of one class.
        truth: that class's objects.
    """
    parts = [line.rsplit(" ", 5) for line in lines]
    numbers = np.array([x[1:] for x in parts], float).reshape(-1, 5)
    order = np.argsort(-numbers[:, 0])
    overlaps = np.empty(len(order))
    matches = np.empty(len(order), dtype=np.int64)
    for rank, row in enumerate(order):
        image = parts[row][0]
        if image not in truth.rows:
            raise KeyError(f"There are detections of '{image}', which is not in the image set.")
        own = truth.rows[image]
        overlaps[rank], best = _best_overlap(numbers[row, 1:], truth.boxes[own])
        matches[rank] = own.start + best
    positives = int((~truth.difficult).sum())

    def at(threshold: float) -> tuple[np.ndarray, np.ndarray]:
        hits = np.flatnonzero(overlaps > threshold)
        # A difficult object is neither to be found nor an error.
        hits_difficult = truth.difficult[matches[hits]]
        right, wrong = np.zeros(len(order)), np.ones(len(order))
        wrong[hits[hits_difficult]] = 0
        easy = hits[~hits_difficult]
        # The first detection of an object counts; the others are errors.
        first = easy[np.unique(matches[easy], return_index=True)[1]]
        right[first], wrong[first] = 1, 0
        found, false = right.cumsum(), wrong.cumsum()
        with np.errstate(invalid="ignore"):  # a class without objects has no recall
            recall = found / np.float64(positives)
        return recall, found / np.maximum(found + false, np.finfo(np.float64).eps)

    return at


def voc_ap(rec: np.ndarray, prec: np.ndarray, use_07_metric: bool = False) -> float:
    """The average precision of a curve.

    Args:
        rec: recall after each detection, best first; it never falls.
        prec: precision after each detection.
        use_07_metric: take the mean over the recalls 0, 0.1, ... 1 instead of the area.
    """
    if use_07_metric:
        points = np.arange(0.0, 1.1, 0.1)
        return float(sum(prec[rec >= point].max(initial=0.0) for point in points) / len(points))
    # The precision at a recall is the best one at that recall or a higher one.
    envelope = np.maximum.accumulate(np.append(prec, 0.0)[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], rec, [1.0]]))
    return float((steps * envelope).sum())


def voc_eval(
    detpath: str,
    annopath: str,
    imagesetfile: str,
    classname: str,
    ovthresh: float = 0.5,
    use_07_metric: bool = False,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Evaluate the result file of one class.

    Args:
        detpath: path of result files, with ``{}`` for the class; lines of "image score xmin ymin
            xmax ymax".
        annopath: path of annotation files, with ``{}`` for the image.
        imagesetfile: names of the images, one a line.
        classname: the class.
        ovthresh: overlaps have to be larger.
        use_07_metric: see :func:`voc_ap`.

    Returns:
        recall and precision after each detection, best first, and the average precision.
    """
    with open(detpath.format(classname)) as file:
        lines = [line.strip() for line in file if line.strip()]
    records = _read_records(annopath, imagesetfile)
    recall, precision = _curves(lines, _truths_of(records, classname))(ovthresh)
    return recall, precision, voc_ap(recall, precision, use_07_metric)
