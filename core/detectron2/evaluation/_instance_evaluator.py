"""What evaluators of instances share: they keep predictions, gather them and write them."""

import itertools
import json
import logging
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode

from detectron2.evaluation._box_proposals import PROPOSAL_LIMITS, average_recall
from detectron2.evaluation._coco_results import instances_to_coco_json
from detectron2.evaluation.evaluator import DatasetEvaluator
from detectron2.structures import BoxMode
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table

TASKS = ("bbox", "segm")


class InstanceEvaluator(DatasetEvaluator):
    """Keeps instances and proposals of all images; subclasses compute the metrics."""

    _logger: logging.Logger
    _cpu_device: torch.device
    _coco_api: Any  # the ground truth, for average recall
    _metadata: Any
    _output_dir: str | None
    _tasks: tuple[str, ...] | None
    _distributed: bool
    _do_evaluation: bool

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: Sequence[int] | None = None
    ) -> None:
        """Put the metrics of all tasks into ``_results``."""
        raise NotImplementedError

    def _check_tasks(self, tasks: Sequence[str] | CfgNode | None) -> tuple[str, ...] | None:
        if isinstance(tasks, CfgNode):
            self._logger.warning(
                f"{type(self).__name__} takes no config any more; the tasks follow from the "
                "predictions."
            )
            return None
        if tasks is None:
            return None
        wrong = set(tasks) - set(TASKS)
        if wrong:
            raise ValueError(
                f"{type(self).__name__} evaluates the tasks {', '.join(TASKS)}; not supported: "
                f"{', '.join(sorted(wrong))}."
            )
        return tuple(tasks)

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
            self._logger.warning(f"[{type(self).__name__}] Did not receive valid predictions.")
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

    def _write_results(
        self, predictions: list[dict[str, Any]], file_name: str
    ) -> list[dict[str, Any]]:
        """The instances as entries of a results file; written where there is an output folder."""
        found = itertools.chain.from_iterable(p.get("instances", ()) for p in predictions)
        results = self._with_dataset_ids(list(found))
        if self._output_dir:
            path = self._output_path(file_name)
            self._logger.info(f"Saving results to {path}")
            with PathManager.open(path, "w") as file:
                file.write(json.dumps(results))
        if not self._do_evaluation:
            self._logger.info("Annotations are not available for evaluation.")
        return results

    def _tasks_from_predictions(self, predictions: list[dict[str, Any]]) -> tuple[str, ...]:
        has_masks = self._has_masks or any("segmentation" in p for p in predictions)
        return TASKS if has_masks else TASKS[:1]

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
