"""The official Cityscapes metrics, by class too, on any number of processes and machines."""

import copy
import importlib
import logging
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from detectron2.evaluation import CityscapesSemSegEvaluator
from detectron2.utils import comm
from projects_ext.data.labels import read_label_map
from projects_ext.errors import MissingFileError, UserError

from .class_table import class_table, summary_line
from .label_maps import confusion, label_map
from .segmentation_records import SegmentationRecords
from .semantic import (
    class_colours,
    class_names,
    ground_truth_files,
    require_outputs,
    require_same_size,
)

logger = logging.getLogger("detectron2.projects_ext")

SCRIPT = "evaluation.evalPixelLevelSemanticLabeling"
COLUMNS = {"IoU": "IoU", "iIoU": "iIoU", "accuracy": "ACC"}
Counts = dict[str, dict[str, dict[str, Any]]]


class CityscapesSemanticEvaluator(CityscapesSemSegEvaluator):
    """As Detectron2's, with figures by class; ``cityscapesscripts`` counts and scores.

    Every process has its own images counted as it predicts them, and the counts are added up: no
    shared folder is needed, and nobody waits for the main process. Files below ``gtFine`` are
    found through the records' ``*_labelTrainIds.png``.

    Args:
        dataset_name: such as ``cityscapes_fine_sem_seg_val``.
        output_dir: where what a report needs (:mod:`.segmentation_records`) is written; None for
            nowhere.

    Raises:
        UserError: ``cityscapesscripts`` is not installed.
    """

    def __init__(self, dataset_name: str, output_dir: str | None = None) -> None:
        self.output_dir = output_dir
        self._script = cityscapes_module(SCRIPT)
        super().__init__(dataset_name)
        self.dataset_name = dataset_name
        self.classes = class_names(dataset_name)
        self.ground_truth = ground_truth_files(dataset_name)
        # The predictions are training ids: what an image of label ids holds for each.
        labels = cityscapes_module("helpers.labels").labels
        ids = {label.trainId: label.id for label in labels if not label.ignoreInEval}
        self._label_ids = np.array([ids[index] for index in range(len(ids))], dtype=np.uint8)

    def reset(self) -> None:
        """Forget what was counted."""
        script = self._script
        self._records = SegmentationRecords(self.classes, class_colours(self.dataset_name))
        # A copy: the script's own arguments are a global object.
        self._args = copy.copy(script.args)
        self._args.evalInstLevelScore, self._args.evalPixelAccuracy = True, False
        self._confusion: np.ndarray = script.generateMatrix(self._args)
        self._instances: Counts = script.generateInstanceStats(self._args)

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Count a batch.

        Args:
            inputs: with ``file_name``.
            outputs: with ``sem_seg``: (19, H, W) logits or probabilities at the image's size, or
                (H, W) training ids.

        Raises:
            UserError: the model has another number of classes; a ground truth file is missing or
                of another size.
        """
        for given, output in zip(inputs, outputs, strict=True):
            scores = output["sem_seg"]
            if scores.ndim == 3:
                require_outputs(scores.shape[0], len(self._label_ids), self.dataset_name)
            labels = label_map(scores)
            if labels.size and labels.max() >= len(self._label_ids):
                require_outputs(int(labels.max()) + 1, len(self._label_ids), self.dataset_name)
            file = given["file_name"]
            self._count(self._label_ids[labels], self._label_file(file))
            if self.output_dir:
                self._record(file, labels)

    def _record(self, image: str, labels: np.ndarray) -> None:
        """Keep what a report needs of an image with predicted training ids (H, W)."""
        label_file, classes = self.ground_truth[image], len(self.classes)
        truth = read_label_map(label_file)
        require_same_size(labels, truth, label_file)
        # Training ids that are not evaluated are 255.
        matrix = confusion(labels, np.minimum(truth, classes), classes + 1)
        self._records.add(image, label_file, labels, matrix)

    def _label_file(self, image: str) -> Path:
        train_ids = self.ground_truth[image]
        path = Path(train_ids.replace("_labelTrainIds", "_labelIds"))
        for needed in (path, _instance_file(path)):
            if not needed.is_file():
                raise MissingFileError(
                    f"the ground truth {needed} of {image} does not exist: it is in the official "
                    "download gtFine_trainvaltest.zip (see datasets/README.md)"
                )
        return path

    def _count(self, prediction: np.ndarray, label_file: Path) -> None:
        with Image.open(label_file) as image:
            width, height = image.size
        if prediction.shape != (height, width):
            raise UserError(
                f"the ground truth {label_file} is {width} x {height} (width x height), but the "
                f"prediction {prediction.shape[1]} x {prediction.shape[0]}: predict at the size of "
                "the image"
            )
        script = self._script
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Image.fromarray(prediction).save(file, "PNG", compress_level=1)
            file.flush()
            with _on_new_numpy(script), _without_exit(label_file):
                pair, by_image = (file.name, str(label_file)), dict[str, Any]()
                script.evaluatePair(*pair, self._confusion, self._instances, by_image, self._args)

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """The metrics of all processes, logged as a table; None beside the main process.

        Returns:
            ``{"sem_seg": …}`` in per cent: ``IoU`` (the mIoU of the benchmark), ``iIoU`` (weighted
            by instance), ``IoU_sup`` and ``iIoU_sup`` (of the seven categories) as Detectron2's,
            ``mACC`` and ``pACC``, and ``IoU-<class>``, ``iIoU-<class>`` and ``ACC-<class>``.
        """
        if self.output_dir:
            self._records.write(self.output_dir, self.dataset_name)
        gathered = comm.gather((self._confusion, self._instances))
        if not comm.is_main_process():
            return None
        confusion = sum(matrix for matrix, _ in gathered)
        instances = _add_up([counts for _, counts in gathered])
        metrics = self._scores(confusion, instances)
        table = class_table(metrics, self.classes, COLUMNS)
        logger.info(f"By class, in per cent:\n{table}\n{summary_line(metrics)}")
        return OrderedDict({"sem_seg": metrics})

    def _scores(self, confusion: Any, instances: Counts) -> dict[str, float]:
        script, args = self._script, self._args
        labels = cityscapes_module("helpers.labels")
        names = {id_: labels.id2label[id_].name for id_ in args.evalLabels}

        def scores(of: Callable[..., float], keys: Any, *counts: Any) -> dict[Any, float]:
            return {key: of(key, *counts, args) for key in keys}

        categories = list(labels.category2labels)
        both = confusion, instances
        found = {
            "IoU": scores(script.getIouScoreForLabel, names, confusion),
            "iIoU": scores(script.getInstanceIouScoreForLabel, names, *both),
            "IoU_sup": scores(script.getIouScoreForCategory, categories, confusion),
            "iIoU_sup": scores(script.getInstanceIouScoreForCategory, categories, *both),
        }
        metrics = {
            name: 100.0 * script.getScoreAverage(values, args) for name, values in found.items()
        }
        evaluated = [int(id_) for id_ in self._label_ids]
        correct = confusion[evaluated, evaluated].astype(float)
        present = confusion[evaluated].sum(axis=1).astype(float)
        with np.errstate(invalid="ignore"):  # 0 / 0 is nan, which is meant
            accuracy = 100 * correct / present
            metrics["pACC"] = float(100 * correct.sum() / present.sum())
        metrics["mACC"] = float(np.nanmean(accuracy)) if (present > 0).any() else float("nan")
        for index, id_ in enumerate(evaluated):
            metrics[f"IoU-{names[id_]}"] = 100.0 * found["IoU"][id_]
            metrics[f"iIoU-{names[id_]}"] = 100.0 * found["iIoU"][id_]
            metrics[f"ACC-{names[id_]}"] = float(accuracy[index])
        return metrics


def _instance_file(label_file: Path) -> Path:
    return label_file.with_name(label_file.name.replace("_labelIds", "_instanceIds"))


def _add_up(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of nested counts; what is no number (lists of ids) is the same in all."""
    total: dict[str, Any] = {}
    for key, first in parts[0].items():
        if isinstance(first, Mapping):
            total[key] = _add_up([part[key] for part in parts])
        else:
            total[key] = sum(p[key] for p in parts) if isinstance(first, int | float) else first
    return total


@contextmanager
def _on_new_numpy(script: ModuleType) -> Iterator[None]:
    """Within, the script finds ``np.in1d``, which numpy 2.4 no longer has."""
    if hasattr(np, "in1d"):
        yield
        return
    saved = script.np
    script.np = SimpleNamespace(**{**vars(np), "in1d": np.isin})  # type: ignore[attr-defined]
    try:
        yield
    finally:
        script.np = saved  # type: ignore[attr-defined]


@contextmanager
def _without_exit(label_file: Path) -> Iterator[None]:
    """Where the script ends the program, say what file it was looking at."""
    try:
        yield
    except SystemExit as error:
        raise UserError(
            f"cityscapesscripts cannot use the ground truth {label_file} or its instanceIds (its "
            "message stands above): copy both again from gtFine_trainvaltest.zip"
        ) from error


def cityscapes_module(name: str) -> ModuleType:
    """A module of ``cityscapesscripts``, an optional dependency.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(f"cityscapesscripts.{name}")
    except ImportError as error:
        raise UserError(
            "Cityscapes needs the package cityscapesscripts, which cannot be imported "
            f"({error}): run `pip install cityscapesscripts`"
        ) from error
