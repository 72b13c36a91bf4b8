"""Which names the keys of a config can hold, where Detectron2 knows a fixed set of them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from PIL import Image

from projects_ext.errors import UserError

# Detectron2's own, then Pillow's modes, which it hands on.
IMAGE_FORMATS = tuple(dict.fromkeys(("RGB", "BGR", "L", "YUV-BT.601", "I;16", *Image.MODES)))
MASK_FORMATS = ("polygon", "bitmask")
BOX_LOSSES = ("smooth_l1", "giou", "diou", "ciou")

# Keys of YAML configs and of `train`; the first pattern that matches a key decides.
CHOICES: dict[str, Sequence[str]] = {
    "INPUT.FORMAT": IMAGE_FORMATS,
    "INPUT.MASK_FORMAT": MASK_FORMATS,
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.CROP.TYPE": ("relative_range", "relative", "absolute", "absolute_range"),
    "MODEL.*.BBOX_REG_LOSS_TYPE": BOX_LOSSES,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
    "FLOAT32_PRECISION": ("", "highest", "high", "medium"),
    "train.float32_precision": ("", "highest", "high", "medium"),
}

# Arguments of Detectron2's classes, by name: what a LazyConfig describes.
ARGUMENTS: dict[str, Sequence[str]] = {
    "image_format": IMAGE_FORMATS,
    "instance_mask_format": MASK_FORMATS,
    "box_reg_loss_type": BOX_LOSSES,
}


def check_choice(key: str, value: Any) -> None:
    """Refuse a value that is not among those that the key can hold, if these are known.

    Raises:
        UserError: with the key and what it can be.
    """
    known = next((CHOICES[pattern] for pattern in CHOICES if fnmatchcase(key, pattern)), None)
    if known is not None and value not in known:
        _refuse(key, value, known)


def check_argument(key: str, value: Any, target: Any) -> None:
    """:func:`check_choice` for an argument of something that is described in a LazyConfig.

    Args:
        key: in full; its last part is the argument's name.
        value: a null one, where the signature allows it, stands for the default.
        target: what is called. Others than Detectron2's own may take other values.
    """
    known = ARGUMENTS.get(key.rpartition(".")[2])
    module = getattr(target, "__module__", None) or ""
    if known is None or value is None or module.partition(".")[0] != "detectron2":
        return
    if value not in known:
        _refuse(key, value, known)


def _refuse(key: str, value: Any, known: Sequence[str]) -> None:
    names = [one or "''" for one in known]
    raise UserError(f"{key} is {value!r}: it can be {', '.join(names)}")
