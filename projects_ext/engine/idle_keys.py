"""Keys of the command line that this kind of run does not read: named in one line.

Scripts share a command line between training and evaluation, one process and several, a first run
and its continuation. So such keys are kept; what no run could read is refused in
:mod:`.unused_keys`. Config files are for all kinds of runs, and nothing is said about theirs.
"""

import logging
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detectron2.config import CfgNode
from detectron2.utils import comm
from projects_ext.errors import UserError

from .config_files import Config, key_value_list
from .key_reads import reads_of
from .settings import Settings
from .unused_keys import concerns, interpolated

logger = logging.getLogger("detectron2.projects_ext")

EVALUATED = (
    *("model", "dataloader.test", "dataloader.evaluator"),
    *("train.output_dir", "train.init_checkpoint", "train.trust_checkpoint", "train.device"),
    *("train.allow_missing_weights", "train.allow_other_classes", "train.ema.enabled"),
    "train.test_augmentation",
    *("train.seed", "train.cudnn_benchmark", "train.float32_precision"),
)
"""What an evaluation reads of a LazyConfig, besides what these refer to."""

EVALUATED_YAML = (
    *("MODEL", "VERSION", "SEED", "CUDNN_BENCHMARK", "FLOAT32_PRECISION", "OUTPUT_DIR"),
    *("TEST.PICTURES", "TEST.EXPECTED_RESULTS", "DATASETS.TEST"),
)
TRAINING_YAML = ("SOLVER", "TEST.EVAL_PERIOD", "TEST.BEST_METRIC", "TEST.BEST_METRIC_MODE")
"""What an evaluation reads of a YAML config unnoticed; what it reads only to check its value."""

OF_A_RUN = (
    *("dataloader.evaluator", "train.output_dir", "train.seed"),
    *("dataloader.test.num_workers", "dataloader.test.batch_size"),
    *("OUTPUT_DIR", "SEED", "TEST.PICTURES", "TEST.EXPECTED_RESULTS", "DATALOADER.NUM_WORKERS"),
)
"""What an evaluation reads of either kind of config, but prediction does not."""
PREDICTED = ("train.classes",)
"""What prediction reads, but an evaluation does not: there the data set names them."""

ALLOWANCES = {
    False: ("train.allow_missing_weights", "train.allow_other_classes"),
    True: ("MODEL.ALLOW_MISSING_WEIGHTS", "MODEL.ALLOW_OTHER_CLASSES"),
}
WEIGHTS = {False: "train.init_checkpoint", True: "MODEL.WEIGHTS"}
TRUST = {False: "train.trust_checkpoint", True: "MODEL.TRUST_WEIGHTS"}
SEED = {False: "train.seed", True: "SEED"}
"""By whether the config is a YAML config of Detectron2."""


def given_keys(cfg: Config, arguments: Namespace) -> list[str]:
    """The full names of the keys that the command line sets, those inside of sections too."""
    if isinstance(cfg, CfgNode):
        return key_value_list(arguments.opts)[::2]
    keys = [text.partition("=")[0].lstrip("+") for text in arguments.opts]
    return list(dict.fromkeys(full for key in keys for full in _leaves_below(cfg, key)))


def refuse_idle(cfg: Config, arguments: Namespace, settings: Settings) -> None:
    """Refuse trust in weights where there are none.

    Raises:
        UserError: with both keys.
    """
    yaml = isinstance(cfg, CfgNode)
    if TRUST[yaml] not in given_keys(cfg, arguments) or arguments.resume:
        return
    if settings.trust_checkpoint and not settings.init_checkpoint:
        file = " FILE" if yaml else "=FILE"
        raise UserError(
            f"{TRUST[yaml]} has no effect without weights to load: add {WEIGHTS[yaml]}{file}, or "
            f"leave {TRUST[yaml]} out"
        )


def say_idle_in_training(cfg: Config, arguments: Namespace, resumed: bool) -> None:
    """Name the keys of the command line that this training does not read.

    Args:
        cfg: as loaded.
        arguments: of the command line.
        resumed: whether the state of the run came from a checkpoint.
    """
    yaml, given = isinstance(cfg, CfgNode), given_keys(cfg, arguments)
    _say("while training", [key for key in ALLOWANCES[yaml] if key in given])
    if comm.get_world_size() == 1:
        _say("with one process", [key for key in given if key.startswith("train.ddp.")])
    if resumed:
        _say(
            "with --resume, because the checkpoint decides",
            [key for key in (SEED[yaml], TRUST[yaml]) if key in given],
        )


def say_idle_in_evaluation(
    cfg: Config, arguments: Namespace, settings: Settings, checkpoint: str
) -> None:
    """Name the keys of the command line that an evaluation did not read.

    Args:
        cfg: as loaded; a YAML config knows afterwards what has been read of it.
        arguments: of the command line.
        settings: the run's part of the config.
        checkpoint: whose weights are evaluated.
    """
    given = given_keys(cfg, arguments)
    of_yaml = isinstance(cfg, CfgNode)
    idle = _idle_yaml_keys(cfg, given) if isinstance(cfg, CfgNode) else idle_lazy_keys(cfg, given)
    if WEIGHTS[of_yaml] in given and settings.init_checkpoint != checkpoint:
        idle.append(f"{WEIGHTS[of_yaml]} ({checkpoint} is evaluated)")
    _say("under --eval-only", idle)


def say_idle_in_prediction(cfg: Config, keys: Iterable[str]) -> None:
    """Name the overrides that prediction did not read.

    Args:
        cfg: as loaded; a YAML config knows afterwards what has been read of it.
        keys: that the overrides set.
    """
    if isinstance(cfg, CfgNode):
        given = sorted(keys)
        idle = _idle_yaml_keys(cfg, given)
    else:
        given = sorted({full for key in keys for full in _leaves_below(cfg, key)})
        idle = idle_lazy_keys(cfg, given)
    idle = [key for key in idle if not _below(key, PREDICTED)]
    _say("in prediction", sorted({*idle, *(key for key in given if _below(key, OF_A_RUN))}))


def idle_lazy_keys(cfg: DictConfig, given: Sequence[str]) -> list[str]:
    """Those of the keys that neither an evaluation reads nor what it reads refers to."""
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    read, waiting = set[str](), set(EVALUATED)
    while waiting:
        read |= waiting
        values = [value for key, value in _leaves(content) if any(_covers(r, key) for r in waiting)]
        waiting = interpolated(values) - read
    return [key for key in given if not any(_covers(name, key) for name in read)]


def _covers(name: str, key: str) -> bool:
    """Whether reading ``name``, in full or as the end of a relative reference, reads the key."""
    if any(name == one or name.startswith(f"{one}.") for one in EVALUATED):
        return key == name or key.startswith(f"{name}.")
    return concerns(name, key)


def _idle_yaml_keys(cfg: CfgNode, given: Sequence[str]) -> list[str]:
    reads = reads_of(cfg)
    unread = [key for key in reads.unread() if key in given and not _below(key, EVALUATED_YAML)]
    checked = [key for key in given if _below(key, TRAINING_YAML)]
    return sorted({*unread, *checked} - {"SOLVER.EMA.ENABLED"})


def _below(key: str, sections: Iterable[str]) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in sections)


def _leaves(content: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _leaves(value, f"{prefix}{name}.")
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _leaves(value, f"{prefix}{index}.")
    else:
        yield prefix.removesuffix("."), content


def _leaves_below(cfg: DictConfig, key: str) -> list[str]:
    node = OmegaConf.select(cfg, key, throw_on_resolution_failure=False)
    if not isinstance(node, DictConfig) or not node or "_target_" in node:
        return [key]
    return [name for one in map(str, node) for name in _leaves_below(cfg, f"{key}.{one}")]


def _say(when: str, keys: Sequence[str]) -> None:
    if keys:
        have = "have" if keys[1:] else "has"
        logger.warning(f"{', '.join(keys)} {have} no effect {when}")
