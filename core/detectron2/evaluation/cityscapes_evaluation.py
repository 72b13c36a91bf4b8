"""Cityscapes' own metrics, computed by the official ``cityscapesscripts`` on files."""

import glob
import importlib
import logging
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.evaluation.evaluator import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager


class CityscapesEvaluator(DatasetEvaluator):
    """Common part of both: predictions become files in a temporary folder that all processes share.

    Args:
        dataset_name: a registered Cityscapes data set, with ``gt_dir`` in its metadata.

    Raises:
        ImportError: if ``cityscapesscripts`` is not installed.
    """

    def __init__(self, dataset_name: str) -> None:
        _cityscapes("helpers.labels")
        self._metadata = MetadataCatalog.get(dataset_name)
        self._cpu_device = torch.device("cpu")
        self._logger = logging.getLogger(__name__)

    def reset(self) -> None:
        """Begin with an empty folder, made by the main process."""
        assert comm.get_local_size() == comm.get_world_size(), (
            "The Cityscapes evaluators need one folder for all processes and do not work on "
            "several machines: evaluate on one."
        )
        own = comm.get_rank() == 0
        self._working_dir = tempfile.TemporaryDirectory(prefix="cityscapes_eval_") if own else None
        name = self._working_dir.name if self._working_dir else None
        self._temp_dir: str = comm.all_gather(name)[0]
        self._logger.info(f"Writing cityscapes results to temporary directory {self._temp_dir} ...")

    def _path(self, image: str, ending: str) -> str:
        """The file of a prediction: the image's name without extension, and an ending."""
        stem = os.path.splitext(os.path.basename(image))[0]
        return os.path.join(self._temp_dir, stem + ending)

    def _finish(self, task: str, pattern: str) -> dict[str, Any] | None:
        """Score all files on the main process, and remove them.

        Args:
            task: the module of ``cityscapesscripts.evaluation``.
            pattern: of the ground truth files' names.

        Returns:
            What the official script answers; None on other processes.
        """
        comm.synchronize()
        if comm.get_rank() > 0:
            return None
        assert self._working_dir is not None
        script = _cityscapes(f"evaluation.{task}")
        self._logger.info(f"Evaluating results under {self._temp_dir} ...")
        args = script.args
        args.predictionPath = os.path.abspath(self._temp_dir)
        args.predictionWalk = None  # the script's cache of file names, from an earlier call
        args.JSONOutput = args.colorized = args.quiet = False
        # Ground truth folders may be read-only: the script's cache goes to the temporary one.
        args.gtInstancesFile = os.path.join(self._temp_dir, "gtInstances.json")
        folder = PathManager.get_local_path(self._metadata.gt_dir)
        truths = glob.glob(os.path.join(folder, "*", pattern))
        assert truths, f"There are no ground truth files {folder}/*/{pattern}: check gt_dir."
        predictions = [script.getPrediction(args=args, groundTruthFile=truth) for truth in truths]
        with _adapted(script):
            results = script.evaluateImgLists(predictions, truths, args)
        self._working_dir.cleanup()
        return results


class CityscapesInstanceEvaluator(CityscapesEvaluator):
    """AP and AP50 of instance masks, in per cent, as the Cityscapes benchmark defines them."""

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Write a text file for each image, and a picture for each mask.

        Args:
            inputs: data set dicts with ``file_name``.
            outputs: dicts with ``"instances"``: ``scores``, ``pred_classes``, ``pred_masks``.
        """
        name_to_label = _cityscapes("helpers.labels").name2label
        for given, answer in zip(inputs, outputs, strict=False):
            lines = []
            if "instances" in answer:
                found = answer["instances"].to(self._cpu_device)
                columns = zip(found.pred_classes.tolist(), found.scores.tolist(), strict=True)
                for index, (category, score) in enumerate(columns):
                    name = self._metadata.thing_classes[category]
                    picture = self._path(given["file_name"], f"_{index}_{name}.png")
                    mask = found.pred_masks[index].numpy().astype(np.uint8)
                    Image.fromarray(mask * 255).save(picture)
                    lines.append(f"{os.path.basename(picture)} {name_to_label[name].id} {score}\n")
            # The script wants a file for every image, also for those without a prediction.
            with open(self._path(given["file_name"], "_pred.txt"), "w") as file:
                file.writelines(lines)

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """``{"segm": {"AP": ..., "AP50": ...}}``; None on processes other than the main one."""
        results = self._finish("evalInstanceLevelSemanticLabeling", "*_gtFine_instanceIds.png")
        if results is None:
            return None
        averages = results["averages"]
        metrics = {"AP": averages["allAp"] * 100, "AP50": averages["allAp50%"] * 100}
        return OrderedDict({"segm": metrics})


class CityscapesSemSegEvaluator(CityscapesEvaluator):
    """IoU and instance-weighted IoU of classes and of categories, in per cent."""

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        """Write each prediction as a picture of Cityscapes' label ids.

        Args:
            inputs: data set dicts with ``file_name``.
            outputs: dicts with ``"sem_seg"``: (19, H, W) logits of the training classes.
        """
        labels = _cityscapes("helpers.labels").trainId2label
        ids = np.full(256, 255, dtype=np.uint8)
        for train_id, label in labels.items():
            if not label.ignoreInEval:
                ids[train_id] = label.id
        for given, answer in zip(inputs, outputs, strict=False):
            prediction = answer["sem_seg"].argmax(dim=0).to(self._cpu_device).numpy()
            Image.fromarray(ids[prediction]).save(self._path(given["file_name"], "_pred.png"))

    def evaluate(self) -> OrderedDict[str, Any] | None:
        """``{"sem_seg": {"IoU", "iIoU", "IoU_sup", "iIoU_sup"}}``; None beside the main process."""
        results = self._finish("evalPixelLevelSemanticLabeling", "*_gtFine_labelIds.png")
        if results is None:
            return None
        sources = {
            "IoU": "averageScoreClasses",
            "iIoU": "averageScoreInstClasses",
            "IoU_sup": "averageScoreCategories",
            "iIoU_sup": "averageScoreInstCategories",
        }
        metrics = {name: 100.0 * results[source] for name, source in sources.items()}
        return OrderedDict({"sem_seg": metrics})


@contextmanager
def _adapted(script: ModuleType) -> Iterator[None]:
    """For a ``with`` block: what cityscapesscripts (2.3) needs to run on the newest numpy.

    It calls ``np.in1d``, which is gone. Its json dumps, one of them always into the current folder,
    fail on numpy's integers; nothing reads them.
    """
    old_numpy = SimpleNamespace(**{"in1d": np.isin, **vars(np)})
    names = {"np": old_numpy, "writeDict2JSON": lambda *_: None}
    saved = {name: getattr(script, name) for name in names}
    try:
        for name, value in names.items():
            setattr(script, name, value)
        yield
    finally:
        for name, value in saved.items():
            setattr(script, name, value)


def _cityscapes(module: str) -> ModuleType:
    """A module of cityscapesscripts, which is needed nowhere else and therefore optional."""
    try:
        return importlib.import_module(f"cityscapesscripts.{module}")
    except ImportError as error:
        raise ImportError(
            "The Cityscapes evaluators need the package cityscapesscripts, which cannot be "
            f"imported ({error}): run `pip install cityscapesscripts`."
        ) from error
