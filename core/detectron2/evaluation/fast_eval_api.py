"""COCO's evaluation with hotcoco, a compiled library, in the form of pycocotools' ``COCOeval``."""

import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectron2.evaluation._coco_files import load_detections

_CURVES = ("precision", "recall", "scores")
_LIMITS = ("iouThrs", "recThrs", "maxDets", "areaRng", "areaRngLbl", "useCats")
_SHAPES = {"bbox": "bbox", "segm": "segmentation"}

# The process whose threads hotcoco has started. A fork of it has none of them, and would wait for
# them for ever.
_threads_of: int | None = None


class COCOeval_opt(COCOeval):  # the name that Detectron2's clients import
    """``COCOeval`` for boxes and masks: the same numbers in a small part of the time and memory.

    Precision, recall and scores equal those of pycocotools to the last bit. One difference: a
    ground truth with id 0 counts as a match like any other. ``evalImgs`` and ``ious`` stay empty.
    In a process that was forked after an evaluation, pycocotools computes.

    Args:
        cocoGt: the ground truth.
        cocoDt: the detections; also as a list in COCO's results format, which saves ``loadRes``.
        iouType: "bbox" or "segm".
    """

    # What pycocotools leaves without a type.
    cocoDt: Any
    eval: dict[str, Any]

    def __init__(
        self,
        cocoGt: COCO | None = None,
        cocoDt: COCO | Sequence[dict[str, Any]] | None = None,
        iouType: str = "segm",
    ) -> None:
        if iouType not in _SHAPES:
            raise ValueError(f"COCOeval_opt has no {iouType}: use pycocotools' COCOeval.")
        super().__init__(cocoGt, cocoDt, iouType)

    def evaluate(self) -> None:
        """Match the detections of every image, for :meth:`accumulate`."""
        global _threads_of
        _threads_of = _threads_of or os.getpid()
        if _threads_of != os.getpid():
            self._evaluate_without_threads()
            return
        params = self.params
        params.imgIds = np.unique(params.imgIds).tolist()
        params.catIds = np.unique(params.catIds).tolist()
        params.maxDets = sorted(params.maxDets)
        self._fast = _evaluator(self.cocoGt, self.cocoDt, params)
        with _quiet():
            self._fast.evaluate()
        self._paramsEval = params

    def _evaluate_without_threads(self) -> None:
        self._fast = None
        if not isinstance(self.cocoDt, COCO):
            self.cocoDt = load_detections(self.cocoGt, self.cocoDt, self.params.iouType)
        super().evaluate()

    def accumulate(self, p: Any = None) -> None:
        """Fill ``eval``: "precision" (T, R, K, A, M), "recall" (T, K, A, M) and "scores".

        T overlap thresholds, R recalls, K categories, A area ranges, M limits on the detections;
        -1 where there is no ground truth.

        Args:
            p: as in pycocotools; other parameters than those of :meth:`evaluate` are refused.
        """
        if p is not None and p is not self.params:
            raise ValueError("COCOeval_opt accumulates with its own params: set them instead.")
        if self._fast is None:
            super().accumulate()
            return
        self._fast.accumulate()
        curves: dict[str, Any] = self._fast.eval
        self.eval = {name: np.asarray(curves[name]) for name in _CURVES}
        self.eval |= {"params": self.params, "counts": list(self.eval["precision"].shape)}


def _evaluator(truth: COCO, detections: COCO | Sequence[dict[str, Any]], params: Any) -> Any:
    """hotcoco's evaluator. It takes no text and no negative numbers as ids: all are numbered."""
    images = _numbered(truth.dataset["images"])
    categories = _numbered(truth.dataset.get("categories", ()))
    found = detections.dataset["annotations"] if isinstance(detections, COCO) else detections
    shape = _SHAPES[params.iouType]
    with _quiet():
        numbered_truth = hotcoco.COCO(
            {
                "images": [
                    {key: image[key] for key in ("width", "height") if image.get(key) is not None}
                    | {"id": images[image["id"]]}
                    for image in truth.dataset["images"]
                ],
                "categories": [{"id": i, "name": str(i)} for i in categories.values()],
                "annotations": _renumber(
                    truth.dataset["annotations"], images, categories, (shape, "area", "iscrowd")
                ),
            }
        )
        # With a box in it, the box's area would be taken for that of the mask.
        numbered_found = numbered_truth.load_res(
            _renumber(found, images, categories, (shape, "score"))
        )
        evaluator = hotcoco.COCOeval(numbered_truth, numbered_found, params.iouType)
        for name in _LIMITS:
            setattr(evaluator.params, name, _plain(getattr(params, name)))
        evaluator.params.imgIds = [images[i] for i in params.imgIds if i in images]
        evaluator.params.catIds = [categories[i] for i in params.catIds if i in categories]
    return evaluator


def _numbered(entries: Iterable[dict[str, Any]]) -> dict[Any, int]:
    """id -> its place in rising order, which decides between equal scores."""
    return {identity: place for place, identity in enumerate(sorted({e["id"] for e in entries}))}


def _renumber(
    annotations: Iterable[dict[str, Any]],
    images: dict[Any, int],
    categories: dict[Any, int],
    fields: Sequence[str],
) -> list[dict[str, Any]]:
    """Annotations of known images and categories, with these fields alone."""
    return [
        {field: annotation[field] for field in fields if field in annotation}
        | {
            "id": number,
            "image_id": images[annotation["image_id"]],
            "category_id": categories[annotation["category_id"]],
        }
        for number, annotation in enumerate(annotations, start=1)
        if annotation["image_id"] in images and annotation["category_id"] in categories
    ]


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | list) else bool(value)


@contextlib.contextmanager
def _quiet() -> Any:
    """hotcoco remarks on settings that differ from COCO's own; here they are asked for."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
