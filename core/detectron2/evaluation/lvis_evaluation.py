"""Average precision on federated annotations as LVIS defines it, computed with the lvis package."""

import importlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation._coco_files import load_ground_truth
from detectron2.evaluation._instance_evaluator import InstanceEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json  # noqa: F401
from detectron2.evaluation.evaluator import DatasetEvaluator  # noqa: F401
from detectron2.structures.boxes import Boxes, BoxMode, pairwise_iou  # noqa: F401
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table
from detectron2.utils.unavailable import INTERNALS, unavailable

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
MAX_DETECTIONS = 300  # LVIS's own limit of detections per image


def _lvis() -> Any:
    """The lvis package.

    Raises:
        ImportError: it is not installed.
    """
    try:
        lvis = importlib.import_module("lvis")
        evaluation = importlib.import_module("lvis.eval")
    except ImportError as error:
        raise ImportError(
            f"LVIS's metrics need the package lvis ({error}): run `pip install lvis`."
        ) from error
    if not hasattr(np, "float"):
        # lvis up to 0.5.3 uses np.float, which NumPy 1.24 removed.
        vars(evaluation)["np"] = SimpleNamespace(**vars(np), float=float)
    return lvis


class LVISEvaluator(InstanceEvaluator):
    """AP over overlap 0.5 to 0.95, AP50, AP75, by object size and by class frequency, in per cent.

    Takes the outputs that ``COCOEvaluator`` takes. ``APr``, ``APc`` and ``APf`` are of rare,
    common and frequent classes. Metrics without ground truth are ``nan``.

    Args:
        dataset_name: registered, with ``json_file`` in its metadata.
        tasks: out of "bbox" and "segm". By default what the predictions contain.
        distributed: gather the predictions of all processes, and evaluate on the main one.
        output_dir: where to write the predictions to.
        max_dets_per_image: limit on the detections per image, best first; by default 300.

    Raises:
        ImportError: the lvis package is not installed.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | CfgNode | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
    ) -> None:
        self._logger = logging.getLogger(__name__)
        self._distributed, self._output_dir = distributed, output_dir
        self._max_detections = max_dets_per_image or MAX_DETECTIONS
        self._tasks = self._check_tasks(tasks)
        self._cpu_device = torch.device("cpu")
        self._metadata = MetadataCatalog.get(dataset_name)
        self._json_file = PathManager.get_local_path(self._metadata.json_file)
        self._lvis_api = _lvis().LVIS(self._json_file)
        # A test set whose annotations are not public has none: the results are then only written.
        self._do_evaluation = bool(self._lvis_api.get_ann_ids())
        self.reset()

    def evaluate(self, img_ids: Sequence[int] | None = None) -> OrderedDict[str, Any]:
        """Compute the metrics of all predictions; empty on processes other than the main one.

        Args:
            img_ids: not supported; None.

        Returns:
            ``{"bbox": {"AP": ..., "AP50": ..., ...}, "segm": {...}}``
        """
        if img_ids is not None:
            raise ValueError("LVISEvaluator evaluates all images: leave img_ids out.")
        return super().evaluate()

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: Sequence[int] | None = None
    ) -> None:
        """Write the predictions in LVIS's results format and compute the AP of every task."""
        if not predictions:  # no image was seen: there is nothing to say
            return
        results = self._write_results(predictions, "lvis_instances_results.json")
        if not self._do_evaluation:
            return
        for task in sorted(self._tasks or self._tasks_from_predictions(results)):
            self._results[task] = _evaluate_predictions_on_lvis(
                self._lvis_api, results, task, self._max_detections
            )

    def _with_dataset_ids(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results with the file's category ids, by default counted from 1."""
        if self._metadata.get("thing_dataset_id_to_contiguous_id") is not None:
            return super()._with_dataset_ids(results)
        return [{**x, "category_id": x["category_id"] + 1} for x in results]

    def _eval_box_proposals(self, predictions: list[dict[str, Any]]) -> None:
        self._coco_api = load_ground_truth(self._json_file)
        super()._eval_box_proposals(predictions)


def _evaluate_predictions_on_lvis(
    lvis_gt: Any,
    lvis_results: list[dict[str, Any]],
    iou_type: str,
    max_dets_per_image: int | None = None,
    class_names: Sequence[str] | None = None,
) -> dict[str, float]:
    """Evaluate one task and log its figures.

    Args:
        lvis_gt: the ground truth, a ``lvis.LVIS``.
        lvis_results: predictions in the results format; they are not changed.
        iou_type: "bbox" or "segm".
        max_dets_per_image: by default 300.
        class_names: not used.

    Raises:
        ValueError: the task is "segm" and there are predictions without masks.
    """
    logger = logging.getLogger(__name__)
    if not lvis_results:
        logger.warning("No predictions from the model!")
        return dict.fromkeys(METRICS, float("nan"))
    lvis = _lvis()
    masks = iou_type == "segm"
    if masks and not all("segmentation" in result for result in lvis_results):
        raise ValueError(
            'The task segm needs masks, which some predictions lack: leave "segm" out of the tasks '
            "or use a model with pred_masks."
        )
    # With a box in it, the package would take the box's area for that of the mask.
    left_out = {"bbox"} if masks else set()
    copies = [{k: v for k, v in x.items() if k not in left_out} for x in lvis_results]
    limit = max_dets_per_image or MAX_DETECTIONS
    logger.info(f"Evaluating with max detections per image = {limit}")
    evaluation = lvis.LVISEval(lvis_gt, lvis.LVISResults(lvis_gt, copies, max_dets=limit), iou_type)
    evaluation.run()
    figures = evaluation.get_results()
    # -1 stands for no ground truth.
    results = {
        name: float("nan") if figures[name] < 0 else float(100 * figures[name]) for name in METRICS
    }
    logger.info(f"Evaluation results for {iou_type}: \n" + create_small_table(results))
    return results


_evaluate_box_proposals = unavailable(__name__, INTERNALS, "_evaluate_box_proposals")
