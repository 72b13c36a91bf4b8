"""How many detections of an image count: as many as the model keeps, and a warning if too few.

COCO's metrics count the 100 best detections of a class in an image. A model that keeps more is
measured by all of them; one that keeps 100 or fewer by COCO's own setting, so that published
metrics stay comparable.
"""

import copy
import dataclasses
import inspect
import logging
from collections import Counter
from collections.abc import Iterator
from pydoc import locate
from typing import Any

from omegaconf import DictConfig, ListConfig
from torch import nn

from detectron2.evaluation import COCOEvaluator, DatasetEvaluator

logger = logging.getLogger("detectron2.projects_ext")

STANDARD = 100
"""COCO's own limit."""

ARGUMENT = "max_dets_per_image"
_NAMES = ("test_topk_per_image", "max_detections_per_image", "max_detections")

_PROPOSAL_KEY = (
    "the second number of model.proposal_generator.post_nms_topk (YAML: "
    "MODEL.RPN.POST_NMS_TOPK_TEST) to "
)

# Warnings that have been given: every evaluation looks at the same ground truth.
_warned: set[str] = set()


@dataclasses.dataclass(frozen=True)
class DetectionLimit:
    """How many detections of an image a model keeps.

    Attributes:
        count: the limit.
        path: where it is found in the model, e.g. "roi_heads.box_predictor.test_topk_per_image".
    """

    count: int
    path: str


def detection_limit(model: nn.Module) -> DetectionLimit | None:
    """The limit of a model; None if none of its parts tells one.

    Of the stages of a cascade the last one decides.
    """
    found = None
    for path, module in model.named_modules():
        for name, value in _attributes(module):
            if name.rpartition(".")[2] in _NAMES and type(value) is int and value > 0:
                full = ".".join(filter(None, (path.removeprefix("module."), name)))
                found = DetectionLimit(value, full)
    return found


def proposal_limit(model: nn.Module) -> int | None:
    """How many proposals of an image a region-based model keeps; None for others.

    Each of them becomes at most one detection of a class.
    """
    kept = getattr(getattr(model, "proposal_generator", None), "post_nms_topk", None)
    return kept.get(False) if isinstance(kept, dict) else None


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Its own attributes, and the fields of those that are data classes."""
    for name, value in vars(module).items():
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield f"{name}.{field.name}", getattr(value, field.name)
        else:
            yield name, value


def beyond_standard(count: int | None) -> int | None:
    """What an evaluator's ``max_dets_per_image`` is for a model's limit; None: COCO's setting."""
    return count if count is not None and count > STANDARD else None


def follow_model(cfg: DictConfig, limit: DetectionLimit | None) -> DictConfig:
    """A LazyConfig whose evaluators count what the model keeps, unless it says how many count.

    Args:
        cfg: with ``dataloader.evaluator``, one or a list. It is not changed.
        limit: of the model.
    """
    count = beyond_standard(limit.count if limit else None)
    if count is None:
        return cfg
    cfg = copy.deepcopy(cfg)
    nodes = cfg.dataloader.evaluator
    for node in nodes if isinstance(nodes, ListConfig) else [nodes]:
        if node.get(ARGUMENT) is None and _takes_limit(node.get("_target_")):
            node[ARGUMENT] = count
    return cfg


def _takes_limit(target: Any) -> bool:
    target = locate(target) if isinstance(target, str) else target
    return callable(target) and ARGUMENT in inspect.signature(target).parameters


def lazy_key(cfg: DictConfig, limit: DetectionLimit) -> str:
    """The key of a model's limit as the command line takes it: with "+" if the config lacks it."""
    node: Any = cfg.model
    key, parts = "model", limit.path.split(".")
    for index, part in enumerate(parts):
        name, child = _child(node, part)
        key += f".{name}"
        if child is None:
            return f"+{'.'.join([key, *parts[index + 1 :]])}"
        node = child
    return key


def _child(node: Any, part: str) -> tuple[str, Any]:
    """How a config calls a part of a module, and its value; None if the config does not have it."""
    if isinstance(node, ListConfig):
        return part, node[int(part)] if part.isdigit() and int(part) < len(node) else None
    if not isinstance(node, DictConfig):
        return part, None
    # Detectron2's constructors have the plural for a list of parts.
    name = f"{part}s" if f"{part}s" in node else part
    return name, node.get(name)


def warn_of_crowded_images(
    evaluator: DatasetEvaluator,
    limit: DetectionLimit | None,
    key: str,
    proposals: int | None = None,
) -> None:
    """Warn once where the ground truth has more objects in an image than can be detected.

    Args:
        evaluator: its parts that measure COCO's metrics are looked at.
        limit: of the model.
        key: raises that limit, up to its value, e.g. "model.max_detections_per_image=".
        proposals: see :func:`proposal_limit`.
    """
    for part in coco_evaluators(evaluator):
        api = getattr(part, "_coco_api", None)
        if api is None:
            continue
        objects = [a for a in api.anns.values() if not a.get("iscrowd") and not a.get("ignore")]
        name = part._metadata.name
        if limit is not None:
            by_image = Counter(a["image_id"] for a in objects)
            what = "objects", "the model keeps", key
            _warn(name, api, by_image, limit.count, *what)
        by_class = Counter((a["image_id"], a["category_id"]) for a in objects)
        largest = {image: n for (image, _), n in sorted(by_class.items(), key=lambda x: x[1])}
        counted = part._max_dets_per_image[-1]
        if limit is not None and counted < limit.count:
            what = "objects of a class", "the evaluator counts", f"its {ARGUMENT}="
            _warn(name, api, Counter(largest), counted, *what)
        if proposals is not None:
            what = "objects of a class", "the proposal generator keeps", _PROPOSAL_KEY
            _warn(name, api, Counter(largest), proposals, *what, "proposals")


def _warn(
    name: str,
    api: Any,
    objects: Counter[Any],
    limit: int,
    what: str,
    who: str,
    key: str,
    found: str = "detections",
) -> None:
    crowded = {image: count for image, count in objects.items() if count > limit}
    if not crowded:
        return
    image = max(crowded, key=lambda identity: crowded[identity])
    file = api.imgs.get(image, {}).get("file_name", "?")
    text = (
        f"{name}: the image {file} (image id {image}) has {crowded[image]} {what}, but {who} at "
        f"most {limit} {found}, and the other objects count as missed ({len(crowded)} of "
        f"{len(api.imgs)} images have more than that): set {key}{crowded[image]}"
    )
    if text not in _warned:
        _warned.add(text)
        logger.warning(text)


def coco_evaluators(evaluator: Any) -> Iterator[Any]:
    """The parts of an evaluator that measure COCO's metrics."""
    if isinstance(evaluator, COCOEvaluator):
        yield evaluator
    parts = getattr(evaluator, "_evaluators", ())
    for part in (*parts, getattr(evaluator, "evaluator", None)):
        if isinstance(part, DatasetEvaluator):
            yield from coco_evaluators(part)
