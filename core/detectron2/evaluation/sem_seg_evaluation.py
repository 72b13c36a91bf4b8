"""Semantic segmentation: IoU, boundary IoU and pixel accuracy from confusion matrices."""

import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_util

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation.evaluator import DatasetEvaluator
from detectron2.utils.comm import all_gather, is_main_process, synchronize
from detectron2.utils.file_io import PathManager

BOUNDARY_RATIO = 0.02  # width of a boundary, as a share of the image's diagonal
MAX_CLASSES_WITH_BOUNDARY = 254  # labels and "ignore" have to fit into 8 bits


def load_image_into_numpy_array(
    filename: str, copy: bool = False, dtype: Any | None = None
) -> np.ndarray:
    """Read an image file, such as a label map, as it is.

    Args:
        filename: any path the PathManager can open.
        copy: always give an array of its own.
        dtype: of the array; by default that of the file.

    Returns:
        (H, W) or (H, W, channels).
    """
    with PathManager.open(filename, "rb") as file, Image.open(file) as image:
        return np.array(image, dtype=dtype) if copy else np.asarray(image, dtype=dtype)


class SemSegEvaluator(DatasetEvaluator):
    """IoU, accuracy and boundary IoU of label maps, in per cent.

    Boundary IoU follows Cheng et al., "Boundary IoU", CVPR 2021, on whole label maps; it is left
    out where a data set has more than 254 classes. What has no ground truth is ``nan`` and is not
    part of a mean.

    Args:
        dataset_name: registered, with ``sem_seg_file_name`` in its dicts and ``stuff_classes`` (and
            ``ignore_label``, otherwise 255) in its metadata.
        distributed: sum over all processes, evaluate on the main one.
        output_dir: where ``sem_seg_predictions.json`` and ``sem_seg_evaluation.pth`` are written;
            None to write nothing.
        sem_seg_loading_fn: ``f(file_name, dtype=int)``, reads a ground truth label map (H, W).
        num_classes: the metadata knows it; where given, it has to agree.
        ignore_label: in the place of the metadata's.
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        sem_seg_loading_fn: Callable[..., np.ndarray] = load_image_into_numpy_array,
        num_classes: int | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self._logger = logging.getLogger(__name__)
        self._dataset_name = dataset_name
        self._distributed, self._output_dir = distributed, output_dir
        self.sem_seg_loading_fn = sem_seg_loading_fn
        self._cpu_device = torch.device("cpu")
        self.input_file_to_gt_file = {
            record["file_name"]: record["sem_seg_file_name"]
            for record in DatasetCatalog.get(dataset_name)
        }
        meta = MetadataCatalog.get(dataset_name)
        to_contiguous = meta.get("stuff_dataset_id_to_contiguous_id") or {}
        self._contiguous_id_to_dataset_id = {new: old for old, new in to_contiguous.items()}
        self._class_names = meta.stuff_classes
        self._num_classes = len(meta.stuff_classes)
        if num_classes not in (None, self._num_classes):
            raise AssertionError(
                f"Data set {dataset_name} has {self._num_classes} stuff_classes in its metadata, "
                f"but SemSegEvaluator was given num_classes={num_classes}: leave num_classes out."
            )
        self._ignore_label = meta.get("ignore_label", 255) if ignore_label is None else ignore_label
        self._compute_boundary_iou = self._num_classes <= MAX_CLASSES_WITH_BOUNDARY
        if not self._compute_boundary_iou:
            self._logger.warning(
                f"Boundary IoU is left out: {dataset_name} has {self._num_classes} classes, it "
                f"works for up to {MAX_CLASSES_WITH_BOUNDARY}."
            )
        self.reset()

    def reset(self) -> None:
        """Empty the confusion matrices and forget the predictions."""
        # Row: prediction; column: ground truth; the last of both: ignored.
        side = self._num_classes + 1
        self._conf_matrix = np.zeros((side, side), dtype=np.int64)
        self._b_conf_matrix = np.zeros((side, side), dtype=np.int64)
        self._predictions: list[dict[str, Any]] = []

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Compare a batch with its ground truth files.

        Args:
            inputs: data set dicts with ``file_name``.
            outputs: dicts with ``"sem_seg"``: (classes, H, W) logits or probabilities at the label
                map's size.

        Raises:
            ValueError: where sizes differ, or a label is neither a class nor ignored.
        """
        for given, answer in zip(inputs, outputs, strict=False):
            file_name = given["file_name"]
            prediction = (
                answer["sem_seg"].argmax(dim=0).to(self._cpu_device).numpy().astype(np.int64)
            )
            truth = self._read_truth(file_name, prediction.shape)
            self._conf_matrix += self._confusion(prediction, truth)
            if self._compute_boundary_iou:
                self._b_conf_matrix += self._confusion(
                    self._mask_to_boundary(prediction.astype(np.uint8)),
                    self._mask_to_boundary(truth.astype(np.uint8)),
                )
            self._predictions.extend(self.encode_json_sem_seg(prediction, file_name))

    def _read_truth(self, file_name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The label map of an image, with ``num_classes`` for what is ignored."""
        if file_name not in self.input_file_to_gt_file:
            raise ValueError(
                f"{file_name} is not an image of data set {self._dataset_name}: evaluate the data "
                "set that the loader reads."
            )
        path = self.input_file_to_gt_file[file_name]
        truth = np.array(self.sem_seg_loading_fn(path, dtype=int), dtype=np.int64)
        if truth.shape != shape:
            raise ValueError(
                f"{path} has shape {truth.shape}, but the prediction for it {shape}: a model has "
                "to answer at the size of the label map."
            )
        truth[truth == self._ignore_label] = self._num_classes
        if truth.size and not 0 <= truth.min() <= truth.max() <= self._num_classes:
            odd = np.setdiff1d(truth, np.arange(self._num_classes + 1)).tolist()
            raise ValueError(
                f"{path} has the labels {odd[:5]}, which are neither one of the "
                f"{self._num_classes} classes nor ignore_label={self._ignore_label}: "
                "correct the file or the metadata."
            )
        return truth

    def _confusion(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """How often each pair (prediction, truth) occurs: (classes + 1, classes + 1)."""
        side = self._num_classes + 1
        if prediction.size and prediction.max() >= side:
            raise ValueError(
                f"A prediction has class {prediction.max()}, but data set {self._dataset_name} has "
                f"only {self._num_classes} classes: the model needs {self._num_classes} outputs."
            )
        pairs = side * prediction.ravel().astype(np.int64) + truth.ravel()
        return np.bincount(pairs, minlength=side * side).reshape(side, side)

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """The metrics of all predictions; None on processes other than the main one.

        Returns:
            ``{"sem_seg": ...}`` with ``mIoU``, ``fwIoU`` (weighted by the classes' pixels),
            ``mACC``, ``pACC`` (of all pixels) and, by class, ``IoU-<class>``,
            ``BoundaryIoU-<class>``, ``min(IoU, B-Iou)-<class>`` and ``ACC-<class>``.
        """
        if self._distributed and not self._merge_processes():
            return None
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            path = os.path.join(self._output_dir, "sem_seg_predictions.json")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(self._predictions))
        metrics = self._metrics()
        if self._output_dir:
            path = os.path.join(self._output_dir, "sem_seg_evaluation.pth")
            with PathManager.open(path, "wb") as file:
                torch.save(metrics, file)
        results = OrderedDict({"sem_seg": metrics})
        self._logger.info(results)
        return results

    def _merge_processes(self) -> bool:
        """Sum the counts of all processes; whether this one is to go on and evaluate."""
        synchronize()
        gathered = all_gather((self._conf_matrix, self._b_conf_matrix, self._predictions))
        if not is_main_process():
            return False
        matrices, boundary_matrices, predictions = zip(*gathered, strict=True)
        self._conf_matrix, self._b_conf_matrix = sum(matrices), sum(boundary_matrices)
        self._predictions = list(itertools.chain.from_iterable(predictions))
        return True

    def _metrics(self) -> dict[str, float]:
        tp, in_truth, union = _counts(self._conf_matrix)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is nan, which is meant
            accuracy = 100 * tp / in_truth
            # A class that is predicted but never present has no IoU either.
            iou = np.where(in_truth > 0, 100 * tp / union, np.nan)
            boundary_tp, _, boundary_union = _counts(self._b_conf_matrix)
            boundary_iou = 100 * boundary_tp / boundary_union
            overall = float(100 * tp.sum() / in_truth.sum())
            weights = in_truth / in_truth.sum()

        present = in_truth > 0
        metrics = {"mIoU": _mean(iou[present]), "fwIoU": float((iou * weights)[present].sum())}
        if not present.any():
            metrics["fwIoU"] = float("nan")
        for index, name in enumerate(self._class_names):
            metrics[f"IoU-{name}"] = float(iou[index])
            if self._compute_boundary_iou:
                both = (iou[index], boundary_iou[index])
                metrics[f"BoundaryIoU-{name}"] = float(boundary_iou[index])
                metrics[f"min(IoU, B-Iou)-{name}"] = float(min(both))
        metrics |= {"mACC": _mean(accuracy[present]), "pACC": overall}
        metrics |= {f"ACC-{name}": float(accuracy[i]) for i, name in enumerate(self._class_names)}
        return metrics

    def encode_json_sem_seg(
        self, sem_seg: np.ndarray, input_file_name: str
    ) -> list[dict[str, Any]]:
        """A label map in the format of COCO's stuff results.

        Args:
            sem_seg: (H, W) of contiguous classes.
            input_file_name: the image it is of.

        Returns:
            One dict for each class that occurs: ``file_name``, ``category_id`` (the data set's),
            ``segmentation`` (compressed run lengths as text).
        """
        encoded = []
        for label in np.unique(sem_seg).tolist():
            category = label
            if self._contiguous_id_to_dataset_id:
                assert label in self._contiguous_id_to_dataset_id, (
                    f"Label {label} has no id in the metadata of {self._dataset_name}: see its "
                    "stuff_dataset_id_to_contiguous_id."
                )
                category = self._contiguous_id_to_dataset_id[label]
            rle = mask_util.encode(np.asfortranarray(sem_seg == label, dtype=np.uint8))
            rle["counts"] = rle["counts"].decode()
            encoded.append(
                {"file_name": input_file_name, "category_id": category, "segmentation": rle}
            )
        return encoded

    def _mask_to_boundary(
        self, mask: np.ndarray, dilation_ratio: float = BOUNDARY_RATIO
    ) -> np.ndarray:
        """A label map minus its erosion; what lies outside the image counts as 0.

        Args:
            mask: (H, W) uint8.
            dilation_ratio: the boundary's width, as a share of the diagonal.

        Returns:
            (H, W) uint8: inside areas 0, within the width of a change the difference of labels.
        """
        width = max(1, round(dilation_ratio * float(np.hypot(*mask.shape))))
        return mask - _minimum_filter(_minimum_filter(mask, width, axis=0), width, axis=1)


def _minimum_filter(image: np.ndarray, radius: int, axis: int) -> np.ndarray:
    """Minimum over the 2 ``radius`` + 1 neighbours along an axis, with 0 outside.

    ``radius`` erosions by a 3x3 square are one by a square of this side, which separates into rows
    and columns. Each step joins two overlapping windows, so the number of steps is logarithmic.
    """
    padding = [(0, 0)] * image.ndim
    padding[axis] = (radius, radius)
    windows = np.moveaxis(np.pad(image, padding), axis, 0)
    side, have = 2 * radius + 1, 1
    while have < side:
        shift = min(have, side - have)
        windows = np.minimum(windows[:-shift], windows[shift:])
        have += shift
    return np.moveaxis(windows, 0, axis)


def _counts(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class: pixels that agree, pixels in the ground truth, pixels in either."""
    counted = confusion[:-1, :-1].astype(np.float64)
    agreeing, in_truth = counted.diagonal(), counted.sum(axis=0)
    return agreeing, in_truth, in_truth + counted.sum(axis=1) - agreeing


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


_CV2_IMPORTED = True  # upstream: whether its boundary metric can be computed
