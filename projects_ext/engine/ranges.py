"""Which numbers the keys of a config can hold, of either kind."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from projects_ext.errors import UserError

from .choices import check_choice
from .value_types import is_number


@dataclass(frozen=True)
class Range:
    """Numbers from ``least`` to ``most``, both included, and what an end of it means."""

    least: float
    most: float = math.inf
    note: str = ""
    whole: bool = False
    # Whether `least` itself is left out.
    above: bool = False
    # Whether any negative number means "no limit".
    negative: bool = False

    def __contains__(self, value: float) -> bool:
        if self.negative and value < 0:
            return True
        enough = value > self.least if self.above else value >= self.least
        return enough and value <= self.most and not (self.whole and value != int(value))

    def __str__(self) -> str:
        least = f"{'above' if self.above else 'at least'} {self.least:.10g}"
        ends = [least] if self.least > -math.inf else []
        ends += [f"at most {self.most:.10g}"] if self.most < math.inf else []
        return f"a {'whole ' * self.whole}number of {' and '.join(ends)}{self.note}"


COUNT = Range(1, whole=True)
COUNT_OR_NONE = Range(0, whole=True)
AMOUNT = Range(0)
PERIOD_OR_NEVER = Range(0, note=" (0: never)", whole=True)
FRACTION = Range(0, 1)
POSITIVE = Range(0, above=True)
SHARE = Range(0, 1, above=True)
# Of detections; a score is never above 1.
LIMIT_OR_ALL = Range(1, note=" (negative: no limit)", whole=True, negative=True)
SCORE = Range(0, 1, note=" (negative: all)", negative=True)
# NumPy's generator takes 32 bits, and the number of the process is added.
SEED = Range(-math.inf, 4_000_000_000, note=" (negative: another one each time)")

# The first pattern that matches a key decides.
RANGES: dict[str, Range] = {
    "train.max_iter": COUNT,
    "train.log_period": COUNT,
    "train.checkpointer.period": COUNT,
    "train.checkpointer.max_to_keep": COUNT,
    "train.eval_period": PERIOD_OR_NEVER,
    "train.accumulate": COUNT,
    "train.layer_decay": SHARE,
    "train.early_stopping.patience": COUNT_OR_NONE,
    "train.early_stopping.min_delta": AMOUNT,
    "train.reference_batch_size": COUNT_OR_NONE,
    "train.clip_grad.norm_type": POSITIVE,
    "train.test_augmentation.min_sizes.*": COUNT,
    "train.test_augmentation.max_size": COUNT,
    "train.seed": SEED,
    "dataloader.train.total_batch_size": COUNT,
    "dataloader.*.num_workers": COUNT_OR_NONE,
    "optimizer.lr": AMOUNT,
    "optimizer.weight_decay": AMOUNT,
    "optimizer.momentum": AMOUNT,
    "lr_multiplier.warmup_length": FRACTION,
    "lr_multiplier.warmup_factor": FRACTION,
    "SOLVER.MAX_ITER": COUNT,
    "SOLVER.IMS_PER_BATCH": COUNT,
    "SOLVER.CHECKPOINT_PERIOD": COUNT,
    "SOLVER.WARMUP_FACTOR": FRACTION,
    "SOLVER.ACCUMULATE": COUNT,
    "SOLVER.LAYER_DECAY": SHARE,
    "SOLVER.EARLY_STOPPING.PATIENCE": COUNT_OR_NONE,
    "SOLVER.EARLY_STOPPING.MIN_DELTA": AMOUNT,
    "SOLVER.WEIGHT_DECAY_BIAS": AMOUNT,
    "TEST.EVAL_PERIOD": PERIOD_OR_NEVER,
    "TEST.AUG.MIN_SIZES.*": COUNT,
    "TEST.AUG.MAX_SIZE": COUNT,
    "SEED": SEED,
    "TEST.DETECTIONS_PER_IMAGE": LIMIT_OR_ALL,
    "model.*test_topk_per_image": LIMIT_OR_ALL,
    "model.*max_detections": COUNT,
    "model.*max_detections_per_image": COUNT,
    "model.*batch_size_per_image": COUNT,
    "model.*positive_fraction": FRACTION,
    "model.*score_thresh": SCORE,
    "model.*nms_thresh": FRACTION,
    "model.pixel_std.*": POSITIVE,
    "MODEL.*BATCH_SIZE_PER_IMAGE": COUNT,
    "MODEL.*POSITIVE_FRACTION": FRACTION,
    "MODEL.*SCORE_THRESH_TEST": SCORE,
    "MODEL.*NMS_THRESH": FRACTION,
    "MODEL.*NMS_THRESH_TEST": FRACTION,
    "MODEL.PIXEL_STD.*": POSITIVE,
    "model.*.num_classes": COUNT,
    "model.*.in_channels": COUNT,
    "model.*.out_channels": COUNT,
    "MODEL.*NUM_CLASSES": COUNT,
    "MODEL.*OUT_CHANNELS": COUNT,
    "MODEL.*CONV_DIM": COUNT,
    "MODEL.*POOLER_RESOLUTION": COUNT,
}

# Where an infinite number makes sense.
CAN_BE_INFINITE = ("train.clip_grad.norm_type", "model", "model.*", "MODEL.*")

# Of the YAML keys whose default is not negative, those that may be.
CAN_BE_NEGATIVE = (
    "*.FREEZE_AT",
    "*.IGNORE_VALUE",
    "*SCORE_THRESH_TEST",
    "*.OFFSET",
    "TEST.DETECTIONS_PER_IMAGE",  # no limit
)


# What the trainer fills in.
LATER = ("optimizer.params.model",)


def entries(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key below ``content`` in full, with its value, those in lists included.

    Raises:
        UserError: a value is missing (``???``), or refers to nothing or to itself.
    """
    names: Any = ()
    if isinstance(content, Mapping):
        names = content.keys()
    elif isinstance(content, Sequence) and not isinstance(content, str):
        names = range(len(content))
    for name in names:
        key = f"{prefix}{name}"
        if key in LATER:
            continue
        value = value_of(content, name, key)
        yield key, value
        if isinstance(value, (Mapping, ListConfig, list, tuple)):
            yield from entries(value, f"{key}.")


def value_of(content: Any, name: Any, key: str) -> Any:
    """``content[name]``.

    Args:
        content: a mapping or list.
        name: of its entry.
        key: the entry's full name.

    Raises:
        UserError: the value is missing (``???``), or refers to nothing or to itself.
    """
    try:
        return content[name]
    except MissingMandatoryValue as error:
        raise UserError(f"{key} has no value yet: give it one by {key}=…") from error
    except (OmegaConfBaseException, RecursionError) as error:
        written = OmegaConf.to_container(content, resolve=False)
        text = written[name]  # type: ignore[index]
        reason = _wrong_reference(content, text) or str(error).splitlines()[0]
        raise UserError(f"{key} is {text!r}, which leads to no value: {reason}") from error


def _wrong_reference(content: Any, text: str) -> str:
    """Which key that a text's interpolations refer to has a wrong value; empty if none is known.

    Args:
        content: where the text stands.
        text: with interpolations by absolute names, which may be part of a name in turn.
    """
    if not isinstance(content, (DictConfig, ListConfig)) or not isinstance(text, str):
        return ""
    root: Any = content._get_root()
    last, seen = "", set[str]()
    while (inner := re.search(r"\$\{(\w[\w.]*)\}", text)) is not None:
        if inner[0] in seen:
            return ""  # it refers to itself
        seen.add(inner[0])
        *above, name = parts = inner[1].split(".")
        for end in range(1, len(above) + 1):
            key = ".".join(parts[:end])
            if OmegaConf.select(root, key, throw_on_missing=False) is None:
                return f"{key} is null: leave it as it was"
        node = OmegaConf.select(root, ".".join(above)) if above else root
        if not isinstance(node, DictConfig):
            return ""
        if name not in node:
            return _not_among(last, name, node) if last else ""
        plain: Any = OmegaConf.to_container(node, resolve=False)
        written = plain[name]
        if isinstance(written, str) and "${" in written:
            text = text.replace(inner[0], written)
            continue
        last, text = inner[1], text.replace(inner[0], str(node[name]))
    return ""


def _not_among(key: str, name: str, node: DictConfig) -> str:
    """The sentence on a key whose value is, in full or at its end, part of another key's name."""
    value = OmegaConf.select(node._get_root(), key)
    prefix = name.removesuffix(str(value))
    known = [str(one) for one in node]
    if all(one.startswith(prefix) for one in known):
        known = [one.removeprefix(prefix) for one in known]
    return f"{key} is {'null' if value is None else repr(value)}: it can be {' or '.join(known)}"


def origin_of(content: Any, name: Any, key: str) -> str:
    """The key that the value is written under: another one, if ``content[name]`` refers to it."""
    if not (
        isinstance(content, (DictConfig, ListConfig)) and OmegaConf.is_interpolation(content, name)
    ):
        return key
    written: Any = OmegaConf.to_container(content, resolve=False)
    reference = re.fullmatch(r"\$\{(\.*)([\w.]+)\}", str(written[name]))
    if reference is None:
        return key
    up, rest = len(reference[1]), reference[2]
    above = key.split(".")[:-up] if up else []
    return f"{'.'.join([*above, rest])} (for {key})"


def check_number(key: str, value: float) -> None:
    """Refuse NaN, infinity where it makes no sense, and numbers outside of the key's range.

    Raises:
        UserError: with the key and what it can be.
    """
    infinite = math.isinf(value) and not any(fnmatchcase(key, x) for x in CAN_BE_INFINITE)
    if math.isnan(value) or infinite:
        raise UserError(f"{key} is {value}: set it to a finite number")
    allowed = _range(key)
    if allowed is not None and value not in allowed:
        raise UserError(f"{key} is {value}: set it to {allowed}")


def _range(key: str) -> Range | None:
    return next((RANGES[pattern] for pattern in RANGES if fnmatchcase(key, pattern)), None)


def check_value(key: str, value: Any) -> None:
    """:func:`check_number` or :func:`.choices.check_choice`; a number has to be one.

    Raises:
        UserError: with the key and what it can be.
    """
    check_choice(key, value)
    if is_number(value):
        check_number(key, value)
    elif isinstance(value, (str, bool)) and (allowed := _range(key)) is not None:
        raise UserError(f"{key} is {value!r}: set it to {allowed}")


def check_values(content: DictConfig | Mapping[str, Any], prefix: str = "") -> None:
    """:func:`check_value` on everything below ``content``."""
    for key, value in entries(content, prefix):
        check_value(key, value)
