"""Loading, joining, filtering and counting the dictionaries of registered data sets."""

from __future__ import annotations

import itertools
import logging
import math
import pickle
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate
from termcolor import colored
from torch.utils import data as torchdata

from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from .catalog import DatasetCatalog, MetadataCatalog
from .detection_utils import check_metadata_consistency

__all__ = [
    "filter_images_with_only_crowd_annotations",
    "get_detection_dataset_dicts",
    "load_proposals_into_dataset",
    "print_instances_class_histogram",
]

logger = logging.getLogger(__name__)


def filter_images_with_only_crowd_annotations(
    dataset_dicts: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Leave out images that have no annotation, or only crowd regions."""
    usable = [
        record
        for record in dataset_dicts
        if not all(obj.get("iscrowd", 0) for obj in record["annotations"])
    ]
    removed = len(dataset_dicts) - len(usable)
    logger.info("Removed %d images with no usable annotations; %d left.", removed, len(usable))
    return usable


def load_proposals_into_dataset(
    dataset_dicts: list[dict[str, Any]], proposal_file: str
) -> list[dict[str, Any]]:
    """Add precomputed object proposals to data set dictionaries, in place.

    Args:
        dataset_dicts: with ``image_id``.
        proposal_file: a pickle file (so from a source you trust) with the lists ``ids``,
            ``boxes`` (an N x 4 array an image), ``objectness_logits`` and possibly ``bbox_mode``
            (XYXY by default). The older names ``indexes`` and ``scores`` are read, too.

    Returns:
        ``dataset_dicts``, with ``proposal_boxes``, ``proposal_objectness_logits`` (both sorted by
        falling score) and ``proposal_bbox_mode``.
    """
    logger.info("Loading proposals from: %s", proposal_file)
    with PathManager.open(proposal_file, "rb") as file:
        proposals = pickle.load(file, encoding="latin1")
    for old, new in (("indexes", "ids"), ("scores", "objectness_logits")):
        if old in proposals:
            proposals[new] = proposals.pop(old)
    missing = {"ids", "boxes", "objectness_logits"} - set(proposals)
    if missing:
        raise KeyError(f"The proposal file {proposal_file} has no {sorted(missing)}.")
    row_of = {str(image_id): row for row, image_id in enumerate(proposals["ids"])}
    mode = BoxMode(proposals.get("bbox_mode", BoxMode.XYXY_ABS))
    for record in dataset_dicts:
        row = row_of.get(str(record["image_id"]))
        if row is None:
            raise KeyError(f"{proposal_file} has no proposals for image {record['image_id']}.")
        scores = proposals["objectness_logits"][row]
        order = scores.argsort()[::-1]
        record["proposal_boxes"] = proposals["boxes"][row][order]
        record["proposal_objectness_logits"] = scores[order]
        record["proposal_bbox_mode"] = mode
    return dataset_dicts


def print_instances_class_histogram(
    dataset_dicts: list[dict[str, Any]], class_names: Sequence[str]
) -> None:
    """Log a table of the number of instances of each class; crowd regions do not count.

    Args:
        dataset_dicts: standard dictionaries with ``annotations``.
        class_names: names by contiguous category id.
    """
    counts = np.zeros(len(class_names), dtype=np.int64)
    for record in dataset_dicts:
        categories = [a["category_id"] for a in record["annotations"] if not a.get("iscrowd", 0)]
        wrong = [c for c in categories if not 0 <= c < len(class_names)]
        assert not wrong, (
            f"Got an invalid category_id={wrong[0]} for a dataset of {len(class_names)} classes, "
            f"in image {record.get('file_name', record.get('image_id'))}."
        )
        np.add.at(counts, np.asarray(categories, dtype=np.int64), 1)
    table = _histogram_table([*map(str, class_names)], counts.tolist())
    message = f"Distribution of instances among all {len(class_names)} categories:\n"
    log_first_n(logging.INFO, message + colored(table, "cyan"), key="message")


def _histogram_table(class_names: list[str], counts: list[int]) -> str:
    """Names and counts side by side, in as many columns as the terminal is wide enough for."""
    names = [name if len(name) <= 16 else name[:14] + ".." for name in class_names]
    rows = list(zip(names, map(str, counts), strict=True))
    if len(rows) > 1:
        rows.append(("total", str(sum(counts))))
    name_width = max([len("category"), *(len(name) for name, _ in rows)])
    count_width = max([len("#instances"), *(len(count) for _, count in rows)])
    # Each cell has a border and two blanks; the last border closes the row.
    fitting = (shutil.get_terminal_size().columns - 1) // (name_width + count_width + 6)
    groups = max(1, min(3, fitting, len(rows)))
    height = max(1, math.ceil(len(rows) / groups))
    lines: list[list[str]] = []
    for start in range(0, height * groups, groups):
        cells = rows[start : start + groups]
        cells += [("", "")] * (groups - len(cells))
        lines.append([value for cell in cells for value in cell])
    return tabulate(
        lines,
        headers=["category", "#instances"] * groups,
        tablefmt="pipe",
        colalign=("left", "right") * groups,
        disable_numparse=True,
    )


def get_detection_dataset_dicts(
    names: str | Sequence[str],
    filter_empty: bool = True,
    min_keypoints: int = 0,
    proposal_files: Sequence[str] | None = None,
    check_consistency: bool = True,
) -> Any:
    """Load registered data sets and join them.

    Args:
        names: a name or several.
        filter_empty: whether to leave out images without (non-crowd) annotations.
        min_keypoints: not supported; keypoints are left out of this package.
        proposal_files: files of precomputed proposals, one for each name.
        check_consistency: whether the data sets have to agree in their class names.

    Returns:
        The list of all dictionaries; or a data set object, if that is what was registered.
    """
    if min_keypoints:
        raise NotImplementedError(
            "detectron2-core does not cover keypoints: leave min_keypoints at 0."
        )
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise ValueError(
            "No dataset names were given; set DATASETS.TRAIN and DATASETS.TEST, or `names`, to "
            "names registered in DatasetCatalog."
        )
    per_name = [DatasetCatalog.get(name) for name in names]
    if any(isinstance(loaded, torchdata.Dataset) for loaded in per_name):
        return _join_dataset_objects(names, per_name)
    for name, dicts in zip(names, per_name, strict=True):
        assert len(dicts), f"Dataset '{name}' is empty!"
    if proposal_files:
        if len(proposal_files) != len(names):
            raise ValueError(
                f"{len(names)} data sets need as many proposal files: {proposal_files}."
            )
        pairs = zip(per_name, proposal_files, strict=True)
        per_name = [load_proposals_into_dataset(dicts, path) for dicts, path in pairs]

    joined = list(itertools.chain.from_iterable(per_name))
    if "annotations" in joined[0]:
        if filter_empty:
            joined = filter_images_with_only_crowd_annotations(joined)
        if check_consistency:
            _check_and_show_classes(names, joined)
    assert len(joined), (
        f"No valid data found in {', '.join(names)}: no image has an annotation that is not a "
        "crowd region. Use filter_empty=False to keep images without."
    )
    return joined


def _join_dataset_objects(names: list[str], loaded: list[Any]) -> Any:
    if len(loaded) == 1:
        return loaded[0]
    if any(not hasattr(part, "__getitem__") for part in loaded):
        raise ValueError(
            f"Iterable data sets cannot be joined; use one of {', '.join(names)} alone."
        )
    return torchdata.ConcatDataset(loaded)


def _check_and_show_classes(names: list[str], dicts: list[dict[str, Any]]) -> None:
    if any(MetadataCatalog.get(name).get("thing_classes") is None for name in names):
        return  # class names are optional
    check_metadata_consistency("thing_classes", names)
    print_instances_class_histogram(dicts, MetadataCatalog.get(names[0]).thing_classes)


def filter_images_with_few_keypoints(
    dataset_dicts: list[dict[str, Any]], min_keypoints_per_image: int
) -> list[dict[str, Any]]:
    """The images with at least so many visible keypoints (visibility above 0), all objects' joined.

    Args:
        dataset_dicts: with ``annotations``, of which some may lack ``keypoints``.
        min_keypoints_per_image: how many are enough.
    """

    def visible(image: dict[str, Any]) -> int:
        annotations = image["annotations"]
        return sum(v > 0 for each in annotations for v in each.get("keypoints", ())[2::3])

    kept = [image for image in dataset_dicts if visible(image) >= min_keypoints_per_image]
    logger.info(
        "Removed %d images with fewer than %d keypoints.",
        len(dataset_dicts) - len(kept),
        min_keypoints_per_image,
    )
    return kept
