"""Configs of older versions: keys that were renamed since, in both directions."""

import logging
from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode

from detectron2.utils.unavailable import INTERNALS, unavailable

from . import defaults

__all__ = ["downgrade_config", "upgrade_config"]

CONFIG_VERSION = 2
"""The version of the keys' names that this library understands."""

_COMBINE, _RETINANET = "MODEL.PANOPTIC_FPN.COMBINE", "MODEL.RETINANET"
# Version: {key of the version before: key of this version}.
RENAMED = {
    1: {"MODEL.RPN_HEAD.NAME": "MODEL.RPN.HEAD_NAME"},
    2: {
        "MODEL.WEIGHT": "MODEL.WEIGHTS",
        "MODEL.PANOPTIC_FPN.SEMANTIC_LOSS_SCALE": "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT",
        "MODEL.PANOPTIC_FPN.RPN_LOSS_SCALE": "MODEL.RPN.LOSS_WEIGHT",
        "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_SCALE": "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT",
        f"{_COMBINE}_ON": f"{_COMBINE}.ENABLED",
        f"{_COMBINE}_OVERLAP_THRESHOLD": f"{_COMBINE}.OVERLAP_THRESH",
        f"{_COMBINE}_STUFF_AREA_LIMIT": f"{_COMBINE}.STUFF_AREA_LIMIT",
        f"{_COMBINE}_INSTANCES_CONFIDENCE_THRESHOLD": f"{_COMBINE}.INSTANCES_CONFIDENCE_THRESH",
        "MODEL.ROI_HEADS.SCORE_THRESH": "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
        "MODEL.ROI_HEADS.NMS": "MODEL.ROI_HEADS.NMS_THRESH_TEST",
        f"{_RETINANET}.INFERENCE_SCORE_THRESHOLD": f"{_RETINANET}.SCORE_THRESH_TEST",
        f"{_RETINANET}.INFERENCE_TOPK_CANDIDATES": f"{_RETINANET}.TOPK_CANDIDATES_TEST",
        f"{_RETINANET}.INFERENCE_NMS_THRESHOLD": f"{_RETINANET}.NMS_THRESH_TEST",
        "TEST.DETECTIONS_PER_IMG": "TEST.DETECTIONS_PER_IMAGE",
        "TEST.AUG_ON": "TEST.AUG.ENABLED",
        "TEST.AUG_MIN_SIZES": "TEST.AUG.MIN_SIZES",
        "TEST.AUG_MAX_SIZE": "TEST.AUG.MAX_SIZE",
        "TEST.AUG_FLIP": "TEST.AUG.FLIP",
    },
}
_MISSING = object()


def _node(tree: Any, name: str) -> Any:
    """A section of nested dicts; empty if it is missing or not a dict."""
    return tree[name] if isinstance(tree.get(name), dict) else {}


def _pop(tree: Any, key: str, default: Any = _MISSING) -> Any:
    """Remove a value from nested dicts, along with nodes that become empty."""
    head, _, rest = key.partition(".")
    if head not in tree:
        return default
    if not rest:
        return dict.pop(tree, head)
    value = _pop(tree[head], rest, default) if isinstance(tree[head], dict) else default
    if tree[head] == {}:
        dict.pop(tree, head)
    return value


def _put(tree: Any, key: str, value: Any) -> None:
    *nodes, last = key.split(".")
    for node in nodes:
        tree = tree.setdefault(node, type(tree)())
    tree[last] = value


def _rename(tree: Any, names: Mapping[str, str]) -> None:
    for old, new in names.items():
        value = _pop(tree, old)
        if value is not _MISSING:
            _put(tree, new, value)


def upgrade_values(tree: Any, version: int, to_version: int, meta_architecture: str) -> None:
    """Rename the keys of nested dicts, complete or not, in place.

    Args:
        tree: a config, or the content of a config file.
        version, to_version: of the keys' names, before and after.
        meta_architecture: whose anchors count where ``tree`` does not say it.
    """
    for step in range(version + 1, to_version + 1):
        _rename(tree, RENAMED[step])
    if version < 2 <= to_version:
        architecture = _node(tree, "MODEL").get("META_ARCHITECTURE", meta_architecture)
        # Each head had its own anchor keys; the anchor generator now has the only ones.
        for name in ("ASPECT_RATIOS", "SIZES"):
            of_retinanet = _pop(tree, f"{_RETINANET}.ANCHOR_{name}")
            of_rpn = _pop(tree, f"MODEL.RPN.ANCHOR_{name}")
            used = of_retinanet if architecture == "RetinaNet" else of_rpn
            if used is not _MISSING:
                _put(tree, f"MODEL.ANCHOR_GENERATOR.{name}", used)
        _pop(tree, f"{_RETINANET}.ANCHOR_STRIDES")


def upgrade_config(cfg: CfgNode, to_version: int | None = None) -> CfgNode:
    """A copy with the keys of a newer version, by default the newest one."""
    target = CONFIG_VERSION if to_version is None else to_version
    assert target >= cfg.VERSION, f"A config of version {cfg.VERSION} is newer than {target}."
    upgraded = cfg.clone()
    upgrade_values(upgraded, cfg.VERSION, target, "GeneralizedRCNN")
    upgraded["VERSION"] = target
    return upgraded


def downgrade_config(cfg: CfgNode, to_version: int) -> CfgNode:
    """A copy with the keys of an older version, so that files of that version can be merged."""
    assert to_version <= cfg.VERSION, (
        f"A config of version {cfg.VERSION} is older than {to_version}."
    )
    older = cfg.clone()
    for step in range(cfg.VERSION, to_version, -1):
        _rename(older, {new: old for old, new in RENAMED[step].items()})
        if step == 2:
            for name in ("ASPECT_RATIOS", "SIZES"):
                value = _pop(older, f"MODEL.ANCHOR_GENERATOR.{name}")
                for head in ("RPN", "RETINANET"):
                    _put(older, f"MODEL.{head}.ANCHOR_{name}", value)
            _put(older, f"{_RETINANET}.ANCHOR_STRIDES", [])
    older["VERSION"] = to_version
    return older


def guess_version(cfg: Any, filename: str) -> int:
    """The version of a config or of a part of one that does not say it, from the keys it has.

    Args:
        cfg: nested dicts.
        filename: for the log.
    """
    if "WEIGHT" not in _node(cfg, "MODEL") and "AUG_ON" not in _node(cfg, "TEST"):
        return CONFIG_VERSION
    logging.getLogger(__name__).warning(
        "Config '%s' has no VERSION, and its keys are those of version 1.", filename
    )
    return 1


(ConverterV1, ConverterV2, _RenameConverter) = unavailable(
    __name__, INTERNALS, "ConverterV1 ConverterV2 _RenameConverter"
)


def __getattr__(name: str) -> Any:
    """Upstream's ``_C`` and ``CN``."""
    return getattr(defaults, name)
