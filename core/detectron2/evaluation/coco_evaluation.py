"""Average precision of boxes and masks as COCO defines it."""

import itertools
import json
import logging
import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from pycocotools.cocoeval import COCOeval

from detectron2.data import MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_json
from detectron2.evaluation._box_proposals import PROPOSAL_LIMITS, average_recall
from detectron2.evaluation._coco_files import load_ground_truth
from detectron2.evaluation._coco_results import (
    MAX_DETECTIONS,
    _columns,
    _evaluate_predictions_on_coco,
    _mean_precision,
    instances_to_coco_json,
)
from detectron2.evaluation.evaluator import DatasetEvaluator
from detectron2.evaluation.fast_eval_api import COCOeval_opt
from detectron2.structures import BoxMode
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table

TASKS = ("bbox", "segm")


class COCOEvaluator(DatasetEvaluator):
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

    def _check_tasks(self, tasks: Sequence[str] | CfgNode | None) -> tuple[str, ...] | None:
        if isinstance(tasks, CfgNode):
            self._logger.warning(
                "COCOEvaluator takes no config any more; the tasks follow from the predictions."
            )
            return None
        if tasks is None:
            return None
        wrong = set(tasks) - set(TASKS)
        if wrong:
            raise ValueError(
                f"COCOEvaluator evaluates the tasks {', '.join(TASKS)}; not supported: "
                f"{', '.join(sorted(wrong))}."
            )
        return tuple(tasks)

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

    def reset(self) -> None:
        """Forget all predictions."""
        self._predictions: list[dict[str, Any]] = []
        self._has_masks = False

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Keep the predictions of a batch, masks as run lengths.

        Args:
            inputs: data set dicts with ``image_id``.
            outputs: dicts with ``"instances"`` or ``"proposals"``, in the original image's pixels.
        """
        for given, answer in zip(inputs, outputs, strict=False):
            kept: dict[str, Any] = {}
            if "instances" in answer:
                instances = answer["instances"].to(self._cpu_device)
                self._has_masks |= instances.has("pred_masks")
                kept["instances"] = instances_to_coco_json(instances, given["image_id"])
            if "proposals" in answer:
                kept["proposals"] = answer["proposals"].to(self._cpu_device)
            if kept:
                self._predictions.append({"image_id": given["image_id"], **kept})

    def evaluate(self, img_ids: Sequence[int] | None = None) -> OrderedDict[str, Any]:
        """Compute the metrics of all predictions; empty on processes other than the main one.

        Args:
            img_ids: count these images only; by default all of the data set.

        Returns:
            ``{"bbox": {"AP": ..., "AP50": ..., ..., "AP-<class>": ...}, "segm": {...}}``
        """
        predictions = self._gather()
        self._results: OrderedDict[str, Any] = OrderedDict()
        if predictions is None:
            return self._results
        if not predictions:
            self._logger.warning("[COCOEvaluator] Did not receive valid predictions: all AP are 0.")
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            with PathManager.open(self._output_path("instances_predictions.pth"), "wb") as file:
                torch.save(predictions, file)
        if any("proposals" in prediction for prediction in predictions):
            self._eval_box_proposals(predictions)
        if not predictions or any("instances" in prediction for prediction in predictions):
            self._eval_predictions(predictions, img_ids=img_ids)
        return OrderedDict(self._results)

    def _gather(self) -> list[dict[str, Any]] | None:
        """The predictions of all processes; None on processes other than the main one."""
        if not self._distributed:
            return self._predictions
        comm.synchronize()
        gathered = comm.gather((self._predictions, self._has_masks), dst=0)
        if not comm.is_main_process():
            return None
        self._has_masks = any(has_masks for _, has_masks in gathered)
        return list(itertools.chain.from_iterable(part for part, _ in gathered))

    def _output_path(self, name: str) -> str:
        assert self._output_dir is not None
        return os.path.join(self._output_dir, name)

    def _tasks_from_predictions(self, predictions: list[dict[str, Any]]) -> tuple[str, ...]:
        has_masks = self._has_masks or any("segmentation" in p for p in predictions)
        return TASKS if has_masks else TASKS[:1]

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: Sequence[int] | None = None
    ) -> None:
        """Write the predictions in COCO's results format and compute the AP of every task."""
        found = itertools.chain.from_iterable(p.get("instances", ()) for p in predictions)
        coco_results = self._with_dataset_ids(list(found))
        if self._output_dir:
            path = self._output_path("coco_instances_results.json")
            self._logger.info(f"Saving results to {path}")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(coco_results))
        if not self._do_evaluation:
            self._logger.info("Annotations are not available for evaluation.")
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

    def _with_dataset_ids(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results with the data set's category ids in the place of contiguous classes."""
        to_contiguous = self._metadata.get("thing_dataset_id_to_contiguous_id")
        if to_contiguous is None:
            return results
        to_dataset = {contiguous: original for original, contiguous in to_contiguous.items()}
        converted = []  # copies, so that the predictions can be evaluated once more
        for result in results:
            category = result["category_id"]
            assert category in to_dataset, (
                f"A prediction has class={category}, but the data set {self._metadata.name} has "
                f"only {len(to_dataset)} classes: predicted classes have to be in "
                f"[0, {len(to_dataset) - 1}]."
            )
            converted.append({**result, "category_id": to_dataset[category]})
        return converted

    def _eval_box_proposals(self, predictions: list[dict[str, Any]]) -> None:
        """Average recall of the proposals; their boxes are written for later use."""
        with_proposals = [p for p in predictions if "proposals" in p]
        if self._output_dir:
            boxes = [p["proposals"].proposal_boxes.tensor.numpy() for p in with_proposals]
            logits = [p["proposals"].objectness_logits.numpy() for p in with_proposals]
            content = {
                "boxes": boxes,
                "objectness_logits": logits,
                "ids": [p["image_id"] for p in with_proposals],
                "bbox_mode": BoxMode.XYXY_ABS.value,
            }
            # The format that load_proposals_into_dataset reads.
            with PathManager.open(self._output_path("box_proposals.pkl"), "wb") as file:
                pickle.dump(content, file)
        if not self._do_evaluation:
            self._logger.info("Annotations are not available for evaluation.")
            return
        results = {
            f"AR{suffix}@{limit}": 100 * average_recall(with_proposals, self._coco_api, size, limit)
            for limit in PROPOSAL_LIMITS
            for size, suffix in (("all", ""), ("small", "s"), ("medium", "m"), ("large", "l"))
        }
        self._logger.info("Proposal metrics: \n" + create_small_table(results))
        self._results["box_proposals"] = results

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
