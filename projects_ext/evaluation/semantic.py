"""Detectron2's evaluator of semantic segmentation, with a table by class."""

import logging
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from projects_ext.data.labels import (
    IGNORE_LABEL,
    count_labels,
    read_label_map,
    require_known_labels,
)
from projects_ext.data.palette import distinct_colours
from projects_ext.errors import UserError

from .class_table import class_table, summary_line
from .label_maps import confusion, encode_classes, label_map
from .segmentation_records import SegmentationRecords

logger = logging.getLogger("detectron2.projects_ext")

COLUMNS = {"IoU": "IoU", "accuracy": "ACC", "boundary IoU": "BoundaryIoU"}


class SemanticEvaluator(SemSegEvaluator):
    """As Detectron2's: the same metrics, in per cent, shown as a table instead of a dictionary.

    Ground truth that is missing, or has labels that are neither a class nor 255, is named.

    Args:
        dataset_name: registered, with ``sem_seg_file_name`` in its records and ``stuff_classes`` in
            its metadata.
        output_dir: where ``sem_seg_predictions.json``, ``sem_seg_evaluation.pth`` and what a report
            needs (:mod:`.segmentation_records`) are written; None for nowhere.
        distributed: sum over all processes; the main one reports.

    Raises:
        UserError: the metadata names no classes.
    """

    def __init__(
        self, dataset_name: str, output_dir: str | None = None, *, distributed: bool = True
    ) -> None:
        self.classes = class_names(dataset_name)
        metadata = MetadataCatalog.get(dataset_name)
        if metadata.get("ignore_label") is None:
            metadata.set(ignore_label=IGNORE_LABEL)
        self._colours = class_colours(dataset_name)
        super().__init__(
            dataset_name, distributed, output_dir, sem_seg_loading_fn=self._read_ground_truth
        )
        # Detectron2 logs all metrics as one line of Python; the table says the same.
        self._logger = logging.getLogger(__name__)

    def _read_ground_truth(self, path: str, dtype: Any = int) -> np.ndarray:
        labels = read_label_map(path)
        known = (labels < len(self.classes)) | (labels == IGNORE_LABEL)
        if not known.all():
            require_known_labels(path, count_labels(labels), len(self.classes))
        return labels.astype(dtype, copy=False)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._records = SegmentationRecords(self.classes, self._colours)

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Compare a batch with its ground truth; of scores nothing is kept.

        Args:
            inputs: with ``file_name``.
            outputs: with ``sem_seg``: (classes, H, W) logits or probabilities at the size of the
                ground truth, or (H, W) labels.

        Raises:
            UserError: the model has another number of classes than the data set; the image is not
                one of the data set's, or its label map has another size or other labels.
        """
        for given, output in zip(inputs, outputs, strict=True):
            scores = output["sem_seg"]
            if scores.ndim == 3:
                require_outputs(scores.shape[0], len(self.classes), self._dataset_name)
            self._add(given["file_name"], label_map(scores))

    def _add(self, image: str, prediction: np.ndarray) -> None:
        if image not in self.input_file_to_gt_file:
            raise UserError(
                f"{image} is not an image of the data set {self._dataset_name}: evaluate the data "
                "set that the loader reads"
            )
        label_file = self.input_file_to_gt_file[image]
        truth = self._truth(label_file)
        require_same_size(prediction, truth, label_file)
        side = self._num_classes + 1
        if prediction.size and prediction.max() >= side - 1:
            require_outputs(int(prediction.max()) + 1, len(self.classes), self._dataset_name)
        matrix = confusion(prediction, truth, side)
        self._conf_matrix += matrix
        if self._compute_boundary_iou:
            predicted_edges = self._mask_to_boundary(prediction.astype(np.uint8))
            edges = self._mask_to_boundary(truth.astype(np.uint8))
            self._b_conf_matrix += confusion(predicted_edges, edges, side)
        if self._output_dir:
            self._predictions.extend(self.encode_json_sem_seg(prediction, image))
            self._records.add(image, label_file, prediction, matrix)

    def _truth(self, label_file: str) -> np.ndarray:
        """Ground truth (H, W), with the number of classes for what is ignored."""
        truth = self._read_ground_truth(label_file, dtype=np.int32)
        ignored = (truth == self._ignore_label) | (truth == IGNORE_LABEL)
        return np.where(ignored, self._num_classes, truth)

    def encode_json_sem_seg(
        self, sem_seg: np.ndarray, input_file_name: str
    ) -> list[dict[str, Any]]:
        """As Detectron2's, in one pass over the pixels.

        Args:
            sem_seg: (H, W) labels.
            input_file_name: of the image.
        """
        ids = self._contiguous_id_to_dataset_id or range(len(self.classes))
        return [
            {"file_name": input_file_name, "category_id": ids[label], "segmentation": runs}
            for label, runs in encode_classes(sem_seg)
        ]

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """The metrics, logged as a table; None on processes other than the main one.

        Returns:
            ``{"sem_seg": {"mIoU", "fwIoU", "mACC", "pACC", "IoU-<class>", "ACC-<class>", …}}``.
        """
        results = super().evaluate()
        if self._output_dir:
            self._records.write(self._output_dir, self._dataset_name)
        if results is not None:
            metrics = results["sem_seg"]
            table = class_table(metrics, self.classes, COLUMNS)
            logger.info(f"By class, in per cent:\n{table}\n{summary_line(metrics)}")
            self._name_absent_classes(metrics)
        return results

    def _name_absent_classes(self, metrics: Mapping[str, float]) -> None:
        """Say which classes the means leave out, since the ground truth has no pixel of them."""
        absent = [name for name in self.classes if math.isnan(metrics.get(f"ACC-{name}", 0.0))]
        if absent:
            named = ", ".join(absent[:8]) + (", …" if len(absent) > 8 else "")
            logger.warning(
                f"{self._dataset_name}: {len(absent)} of the {len(self.classes)} classes have no "
                f"pixel in the ground truth, and do not count in mACC nor raise mIoU: {named}"
            )


def class_names(dataset_name: str) -> list[str]:
    """The classes of a data set with label maps.

    Raises:
        UserError: its metadata names none.
    """
    classes = MetadataCatalog.get(dataset_name).get("stuff_classes")
    if not classes:
        raise UserError(
            f"the data set {dataset_name} has no stuff_classes in its metadata: add the names of "
            "its classes where it is registered"
        )
    return list(classes)


def class_colours(dataset_name: str) -> np.ndarray:
    """The colours of a data set's classes: (K, 3) uint8, those of its metadata if it has some."""
    colours = MetadataCatalog.get(dataset_name).get("stuff_colors")
    classes = class_names(dataset_name)
    return np.array(colours or distinct_colours(classes), dtype=np.uint8)[: len(classes)]


def require_same_size(prediction: np.ndarray, truth: np.ndarray, label_file: str) -> None:
    """Refuse a prediction (H, W) of another size than its ground truth."""
    if prediction.shape != truth.shape:
        (rows, columns), (height, width) = prediction.shape, truth.shape
        raise UserError(
            f"the ground truth {label_file} is {width} x {height} (width x height), but the "
            f"prediction {columns} x {rows}: predict at the size of the image"
        )


def ground_truth_files(dataset_name: str) -> dict[str, str]:
    """The label map that belongs to each image file.

    Raises:
        UserError: the records of the data set have no label maps.
    """
    records = DatasetCatalog.get(dataset_name)
    if not all("sem_seg_file_name" in record for record in records):
        raise UserError(
            f"the data set {dataset_name} has no label maps (sem_seg_file_name): evaluate a data "
            "set for semantic segmentation"
        )
    return {record["file_name"]: record["sem_seg_file_name"] for record in records}


def require_outputs(outputs: int, classes: int, dataset_name: str) -> None:
    """Refuse to compare predictions of one number of classes with ground truth of another."""
    if outputs != classes:
        raise UserError(
            f"the model predicts {outputs} classes, but {dataset_name} has {classes}: set "
            f"model.sem_seg_head.num_classes={classes} (YAML: MODEL.SEM_SEG_HEAD.NUM_CLASSES), or "
            "give the data set that the model is for"
        )
