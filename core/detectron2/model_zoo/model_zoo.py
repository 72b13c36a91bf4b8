"""Configs and trained weights of Detectron2's published models, by the names of its model zoo.

The configs are files of this package that say the same as the published ones of their names.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model
from detectron2.utils.file_io import Detectron2Handler

_HERE = Path(__file__).parent


def _checkpoints() -> dict[str, str]:
    """ "folder/name" of a config -> "run/file name" of its weights."""
    lines = (_HERE / "checkpoints.txt").read_text("utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


class _ModelZooUrls:
    """Addresses of trained weights."""

    S3_PREFIX = Detectron2Handler.ADDRESS
    CONFIG_PATH_TO_URL_SUFFIX = _checkpoints()

    @classmethod
    def query(cls, config_path: str) -> str | None:
        """The address of a config's weights, or None if there are none."""
        name = config_path.removesuffix(".yaml").removesuffix(".py")
        suffix = cls.CONFIG_PATH_TO_URL_SUFFIX.get(name)
        return None if suffix is None else f"{cls.S3_PREFIX}{name}/{suffix}"


def get_checkpoint_url(config_path: str) -> str:
    """The address of the weights that were trained with a config.

    Args:
        config_path: such as ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml``.

    Raises:
        RuntimeError: none were published.
    """
    url = _ModelZooUrls.query(config_path)
    if url is None:
        raise RuntimeError(f"There are no published weights for the config '{config_path}'.")
    return url


def get_config_file(config_path: str) -> str:
    """The path of a config file of this package.

    Args:
        config_path: see :func:`get_checkpoint_url`.

    Raises:
        RuntimeError: there is no such config.
    """
    path = _HERE / "configs" / config_path
    if path.is_file():
        return str(path)
    hint = "the names are those of Detectron2's model zoo, such as COCO-Detection/..._FPN_1x.yaml"
    if config_path.endswith(".py"):
        hint = (
            "detectron2-core has all YAML configs but, of the Python ones, those of Mask R-CNN, "
            "RetinaNet and FCOS: use one of those, or a LazyConfig file of your own"
        )
    raise RuntimeError(f"The model zoo has no config '{config_path}': {hint}.")


def get_config(config_path: str, trained: bool = False) -> Any:
    """A config of the zoo.

    Args:
        config_path: see :func:`get_checkpoint_url`.
        trained: set ``MODEL.WEIGHTS`` to the trained weights; otherwise it names what training
            begins with, mostly a backbone.

    Raises:
        RuntimeError: there is no such config, or there are no trained weights.
    """
    path = get_config_file(config_path)
    if path.endswith(".py"):
        lazy = LazyConfig.load(path)
        if trained:
            lazy.train.init_checkpoint = get_checkpoint_url(config_path)
        return lazy
    cfg = get_cfg()
    cfg.merge_from_file(path)
    if trained:
        cfg.MODEL.WEIGHTS = get_checkpoint_url(config_path)
    return cfg


def get(config_path: str, trained: bool = False, device: str | None = None) -> nn.Module:
    """A model of the zoo, in training mode, with weights that are downloaded where necessary.

    Args:
        config_path: see :func:`get_checkpoint_url`.
        trained: see :func:`get_config`.
        device: where to put it; by default the GPU, if there is one.

    Raises:
        RuntimeError: there is no such config, or there are no trained weights.
    """
    cfg = get_config(config_path, trained)
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    if isinstance(cfg, CfgNode):
        cfg.MODEL.DEVICE = device or cfg.MODEL.DEVICE
        model = build_model(cfg)
        DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
        return model
    model = instantiate(cfg.model).to(device or "cuda")
    if "train" in cfg:
        DetectionCheckpointer(model).load(cfg.train.get("init_checkpoint", ""))
    return model
