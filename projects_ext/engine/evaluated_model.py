"""Evaluation with test-time augmentation: several versions of each image, one merged answer."""

import inspect
import logging
from typing import Any

from omegaconf import DictConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import GeneralizedRCNN, GeneralizedRCNNWithTTA
from projects_ext.errors import UserError
from projects_ext.evaluation import detection_limit, require_channels

from .config_files import Config

logger = logging.getLogger("detectron2.projects_ext")

SECTION, YAML_SECTION = "train.test_augmentation", "TEST.AUG"
KEYS = f"{SECTION}.enabled (YAML: {YAML_SECTION}.ENABLED)"
_UNSUPPORTED = ("KEYPOINT_ON", "LOAD_PROPOSALS")


class _WatchedTTA(GeneralizedRCNNWithTTA):
    """Looks at the channels of images itself: the model's hooks do not see augmented ones."""

    def __call__(self, batched_inputs: list[dict[str, Any]]) -> Any:
        require_channels(self.model, batched_inputs)
        return super().__call__(batched_inputs)


def is_augmented(cfg: Config) -> bool:
    """Whether evaluations of this config use test-time augmentation."""
    if isinstance(cfg, CfgNode):
        return bool(cfg.TEST.AUG.ENABLED)
    return bool((cfg.train.get("test_augmentation") or {}).get("enabled", False))


def say_not_augmented(cfg: Config) -> None:
    """Warn that predictions outside of an evaluation use each image as it is."""
    if is_augmented(cfg):
        logger.warning(f"{KEYS} has no effect here: it is for evaluations, not for predictions")


def for_evaluation(cfg: Config, model: nn.Module) -> nn.Module:
    """What is evaluated in place of a model: itself, or the model with test-time augmentation.

    Args:
        cfg: of either kind.
        model: it may be in a ``DistributedDataParallel``. Its parameters and its mode stay its own.

    Raises:
        UserError: the config asks for augmentation, and the model does not allow it.
    """
    if not is_augmented(cfg):
        return model
    inner: Any = model.module if isinstance(model, DistributedDataParallel) else model
    _require_two_stages(inner)
    if isinstance(cfg, CfgNode):
        _require_supported(cfg)
        node = cfg
    else:
        node = _yaml_of(cfg, inner)
    _require_sizes(node)
    augmented = _WatchedTTA(node, inner)
    # An evaluation restores the mode that it finds.
    augmented.training = inner.training
    return augmented


def _require_two_stages(model: Any) -> None:
    known = isinstance(model, GeneralizedRCNN)
    # Masks are predicted for the boxes of all versions.
    if not known or "detected_instances" not in inspect.signature(model.inference).parameters:
        raise UserError(
            f"{KEYS} is True, but only two-stage detectors (GeneralizedRCNN) have test-time "
            f"augmentation, and the model is a {type(model).__name__}: set it to False"
        )


def _require_supported(cfg: CfgNode) -> None:
    for key in _UNSUPPORTED:
        if cfg.MODEL[key]:
            raise UserError(
                f"MODEL.{key} is True, which test-time augmentation does not support: set "
                f"{YAML_SECTION}.ENABLED False"
            )


def _require_sizes(cfg: CfgNode) -> None:
    if not cfg.TEST.AUG.MIN_SIZES:
        raise UserError(
            f"{SECTION}.min_sizes (YAML: {YAML_SECTION}.MIN_SIZES) is empty, which leaves no "
            "version of an image: name at least one length of its shorter edge, e.g. 800"
        )


def _yaml_of(cfg: DictConfig, model: GeneralizedRCNN) -> CfgNode:
    """What Detectron2's class reads of a YAML config, from a LazyConfig and its model."""
    heads: Any = model.roi_heads
    limit, threshold = detection_limit(model), _nms_threshold(heads)
    if threshold is None or not hasattr(heads, "num_classes"):
        raise UserError(
            f"{SECTION}.enabled is True, but {type(heads).__name__} has no num_classes or no part "
            "with test_nms_thresh, which StandardROIHeads has: set it to False"
        )
    aug, node = cfg.train.test_augmentation, get_cfg()
    node.MODEL.MASK_ON = bool(getattr(heads, "mask_on", False))
    node.MODEL.ROI_HEADS.NUM_CLASSES = heads.num_classes
    node.MODEL.ROI_HEADS.NMS_THRESH_TEST = threshold
    node.TEST.DETECTIONS_PER_IMAGE = limit.count if limit else -1
    node.TEST.AUG.MIN_SIZES = tuple(aug.min_sizes)
    node.TEST.AUG.MAX_SIZE, node.TEST.AUG.FLIP = aug.max_size, aug.flip
    return node


def _nms_threshold(heads: nn.Module) -> float | None:
    """The one of the box predictor, in a cascade of the last."""
    found = [getattr(part, "test_nms_thresh", None) for part in heads.modules()]
    return next((value for value in reversed(found) if value is not None), None)
