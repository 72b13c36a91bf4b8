"""Average precision of boxes and masks as COCO defines it."""

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from pycocotools.cocoeval import COCOeval

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_json
from detectron2.evaluation._coco_files import load_ground_truth
from detectron2.evaluation._coco_results import (
    MAX_DETECTIONS,
    _columns,
    _evaluate_predictions_on_coco,
    _mean_precision,
)
from detectron2.evaluation._coco_results import instances_to_coco_json as instances_to_coco_json
from detectron2.evaluation._instance_evaluator import InstanceEvaluator
from detectron2.evaluation.evaluator import DatasetEvaluator  # noqa: F401
from detectron2.evaluation.fast_eval_api import COCOeval_opt
from detectron2.structures.boxes import Boxes, BoxMode, pairwise_iou  # noqa: F401
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table
from detectron2.utils.unavailable import INTERNALS, unavailable


class COCOEvaluator(InstanceEvaluator):
    """AP over overlap 0.5 to 0.95, AP50, AP75, by object size and by class, in per cent.

    Takes outputs with ``"instances"`` (``pred_boxes``, ``scores``, ``pred_classes`` and, for masks,
    ``pred_masks``) or, for models that only propose, ``"proposals"`` (average recall). A data set
    without a COCO json file is written as one first. No prediction at all is a result of 0; a class
    (or size) without ground truth has ``nan``.

    Args:
        dataset_name: registered; its metadata has ``json_file``, or it can be written as COCO json.
        tasks: out of "bbox" and "segm". By default what the predictions contain.
        distributed: gather the predictions of all processes, and evaluate on the main one.
        output_dir: where ``instances_predictions.pth`` and ``coco_instances_results.json`` are
            written; None to write nothing.
        max_dets_per_image: how many of an image's detections of a class count, best first; 100 by
            default.
        use_fast_impl: compute with hotcoco, which gives the same numbers as pycocotools.
        kpt_oks_sigmas: keypoints are left out here; only an empty value is accepted.
        allow_cached_coco: use a COCO json written by an earlier run.

    Raises:
        ValueError: for a task that is not supported, or if the data set has no json and there is no
            ``output_dir`` to write one to.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | CfgNode | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
        use_fast_impl: bool = True,
        kpt_oks_sigmas: Sequence[float] = (),
        allow_cached_coco: bool = True,
    ) -> None:
        self._logger = logging.getLogger(__name__)
        self._distributed, self._output_dir = distributed, output_dir
        self._use_fast_impl = use_fast_impl
        limit = max_dets_per_image or MAX_DETECTIONS
        # pycocotools sorts these and takes the largest for AP.
        self._max_dets_per_image = [1, min(10, limit), limit]
        self._tasks = self._check_tasks(tasks)
        if len(kpt_oks_sigmas):
            raise ValueError(
                "COCOEvaluator has no keypoint evaluation: leave kpt_oks_sigmas empty, or use "
                "upstream Detectron2."
            )
        self._cpu_device = torch.device("cpu")
        self._metadata = MetadataCatalog.get(dataset_name)
        self._ensure_json(dataset_name, allow_cached_coco)
        self._coco_api = load_ground_truth(PathManager.get_local_path(self._metadata.json_file))
        # A test set whose annotations are not public has none: the results are then only written.
        self._do_evaluation = "annotations" in self._coco_api.dataset
        self.reset()

    def _ensure_json(self, dataset_name: str, allow_cached: bool) -> None:
        """Write the data set as COCO json where it was registered without one."""
        if hasattr(self._metadata, "json_file"):
            return
        if self._output_dir is None:
            raise ValueError(
                f"Data set {dataset_name} has no COCO json file, and COCOEvaluator has to write "
                "one: give it an output_dir."
            )
        path = os.path.join(self._output_dir, f"{dataset_name}_coco_format.json")
        self._logger.info(f"Data set {dataset_name} is written in COCO format to {path}.")
        self._metadata.json_file = path
        convert_to_coco_json(dataset_name, path, allow_cached=allow_cached)

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: Sequence[int] | None = None
    ) -> None:
        """Write the predictions in COCO's results format and compute the AP of every task."""
        coco_results = self._write_results(predictions, "coco_instances_results.json")
        if not self._do_evaluation:
            return
        for task in self._tasks or self._tasks_from_predictions(coco_results):
            coco_eval = _evaluate_predictions_on_coco(
                self._coco_api,
                coco_results,
                task,
                cocoeval_fn=COCOeval_opt if self._use_fast_impl else COCOeval,
                img_ids=img_ids,
                max_dets_per_image=self._max_dets_per_image,
            )
            class_names = self._metadata.get("thing_classes")
            self._results[task] = self._derive_coco_results(coco_eval, task, class_names)

    def _derive_coco_results(
        self, coco_eval: COCOeval, iou_type: str, class_names: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Read the AP figures, in per cent, from a finished ``COCOeval``, and log them as tables.

        Args:
            coco_eval: after ``accumulate``.
            iou_type: the task's name, for the log.
            class_names: names of the data set's categories in the order of their ids; with at least
                two of them the AP of each class is added.
        """
        # precision: (thresholds, recalls, classes, area ranges, limits on detections); -1 where
        # there is no ground truth. Area ranges: all, small, medium, large.
        precision = coco_eval.eval["precision"][..., -1]
        thresholds = coco_eval.params.iouThrs
        results = {"AP": _mean_precision(precision[..., 0])}
        for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
            results[name] = _mean_precision(precision[np.isclose(thresholds, threshold)][..., 0])
        for area, name in enumerate(("APs", "APm", "APl"), start=1):
            results[name] = _mean_precision(precision[..., area])
        self._logger.info(f"Evaluation results for {iou_type}: \n" + create_small_table(results))
        if not all(map(math.isfinite, results.values())):
            self._logger.info("A metric without ground truth to compute it on is shown as nan.")
        if class_names is None or len(class_names) <= 1:
            return results

        assert len(class_names) == precision.shape[2], (
            f"Data set {self._metadata.name} has {len(class_names)} thing_classes in its metadata "
            f"but its json file has {precision.shape[2]} categories: they have to be the same."
        )
        by_class = {
            name: _mean_precision(precision[:, :, index, 0])
            for index, name in enumerate(class_names)
        }
        self._logger.info(f"Per-category {iou_type} AP: \n" + _columns(by_class))
        results.update((f"AP-{name}", value) for name, value in by_class.items())
        return results


_evaluate_box_proposals = unavailable(__name__, INTERNALS, "_evaluate_box_proposals")

COCOevalMaxDets = unavailable(__name__, INTERNALS, "COCOevalMaxDets")
