"""A config in the form in which trackers take it."""

from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf

from detectron2.config import CfgNode

from ..config_files import Config


def plain_config(cfg: Config) -> dict[str, Any]:
    """A config of either kind as mappings, lists and plain values; objects as their text."""
    if isinstance(cfg, CfgNode):
        content: Any = yaml.safe_load(cfg.dump())
        return dict(content)
    return dict(_plain(OmegaConf.to_container(cfg, resolve=False)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
