"""``data=PATH``: any LazyConfig on the user's own data, all that follows from these written out.

What is derived stands in the config that a run saves, so that it needs no ``data=`` again.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2.config import LazyCall as L
from detectron2.utils.registry import locate
from projects_ext.data.own import OwnData, own_data, register_own_data, wanted_data
from projects_ext.data.validate import say
from projects_ext.errors import UserError
from projects_ext.evaluation import SemanticEvaluator, SemanticPictures
from projects_ext.semantic import OutputEvaluator
from projects_ext.zoo.scheme import SCHEME, experiment_of

from .config_errors import apply_lazy_overrides
from .own_schedule import fit_schedule

KEY, VAL_KEY = "data", "data.val"

SECTION: dict[str, Any] = {
    # Files or folders, joined by the names of their classes; and those to validate on. Without the
    # latter it is what the data themselves call so, or split off.
    "source": [],
    "val": [],
    # coco, labelme, yolo, voc or label_maps; "" to recognise it.
    "format": "",
    # The folder of the images, and that of the label maps, where they cannot be told.
    "images": "",
    "labels": "",
    # The names of the classes in the model's order.
    "classes": [],
    # Of the split: see `projects_ext/data/own/split.py`.
    "val_fraction": 0.2,
    "split_seed": 0,
    "group": "",
    # As in `configs/common/data/coco_format.py`.
    "skip_invalid": False,
    "iscrowd_as_objects": False,
    "masks": True,
    "masks_required": False,
    # How many images were found, and a digest of their names: a change is said.
    "found": "",
    # Of the schedule: see `projects_ext/engine/own_schedule.py`.
    "epochs": 0,
    "min_iterations": 500,
    "max_iterations": 0,
}
"""``data`` of a config on own data."""


@dataclass(frozen=True)
class OwnPaths:
    """What the command line says about where the data are.

    Attributes:
        sources: of ``data=``; none: the config's own data are meant.
        val: of ``data.val=``.
    """

    sources: tuple[str, ...] = ()
    val: tuple[str, ...] = ()


def own_paths(overrides: Sequence[str]) -> tuple[OwnPaths, list[str]]:
    """The paths that ``data=`` and, with it, ``data.val=`` give, and the other overrides.

    Raises:
        UserError: there is nothing behind one of them.
    """
    found: dict[str, list[str]] = {}
    others = []
    for text in overrides:
        key, _, value = text.partition("=")
        key = key.lstrip("+")
        paths = _paths(text, value) if key in (KEY, VAL_KEY) else None
        if paths is None:
            others.append(text)
            continue
        found[key] = paths
        if not paths or not all(paths):
            raise UserError(f"{key}= names nothing: give a file or folder, or several as [A,B]")
    if KEY not in found:
        return OwnPaths(), list(overrides)
    return OwnPaths(tuple(found[KEY]), tuple(found.get(VAL_KEY, ()))), others


def _paths(text: str, value: str) -> list[str] | None:
    """Paths as written; None where the section itself is set."""
    try:
        given = OverridesParser.create().parse_override(text).value()
    except HydraException:
        given = value  # a path with characters that mean something else there
    if isinstance(given, Mapping):
        return None
    if isinstance(given, list):
        return [str(path) for path in given]
    return [value if not isinstance(given, str) else given]


def use_own_data(
    cfg: DictConfig, config_file: str, paths: OwnPaths, overrides: Sequence[str]
) -> DictConfig:
    """The config for these data, before the command line's other changes.

    Args:
        cfg: as loaded; changed.
        config_file: where it is from: published experiments start from their weights.
        paths: of the data.
        overrides: those changes; what they set is not derived from the data.

    Raises:
        UserError: the config has no data set by name, or something about the data is wrong.
    """
    _require_data_set(cfg, config_file)
    of_maps = "sem_seg_head" in cfg.model and "roi_heads" not in cfg.model
    given = {text.partition("=")[0].lstrip("+") for text in overrides}
    _add_section(cfg, paths, of_maps)
    wished = apply_lazy_overrides(deepcopy(cfg), overrides)
    found = _read(wished, of_maps)
    cfg.data.classes, cfg.data.found = list(found.classes), found.found
    for name, part in (("train", "train"), ("test", "val")):
        cfg.dataloader[name].dataset.names = _registration(part, of_maps)
    if of_maps:
        _evaluate_maps(cfg)
    else:
        _use_masks(cfg, wished)
        cfg.dataloader.train.dataset.setdefault("filter_empty", True)
    for node, key in _class_counts(cfg.model, of_maps):
        node[key] = len(found.classes)
    _start_from_published(cfg, config_file, given)
    if "train.output_dir" not in given:
        cfg.train.output_dir = f"{cfg.train.output_dir}_{Path(paths.sources[0]).resolve().stem}"
    fit_schedule(cfg, wished, given, len(found.train), of_maps)
    return cfg


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else path


def _require_data_set(cfg: DictConfig, config_file: str) -> None:
    for part in ("train", "test"):
        node = OmegaConf.select(cfg, f"dataloader.{part}.dataset")
        if not isinstance(node, DictConfig) or "names" not in node:
            raise UserError(
                f"data= cannot be used with {config_file}: its dataloader.{part}.dataset does not "
                "take the names of data sets; take one of configs/, or describe the data there"
            )


def _add_section(cfg: DictConfig, paths: OwnPaths, of_maps: bool) -> None:
    """``data`` with all its keys; those that the config has already keep their values."""
    sources, val = ([*map(_absolute, some)] for some in (paths.sources, paths.val))
    section = deepcopy(SECTION)
    if not of_maps:
        masks = OmegaConf.select(cfg, "dataloader.train.mapper.use_instance_mask")
        target = cfg.model.get("_target_")
        target = locate(target) if isinstance(target, str) else target
        required = getattr(target, "masks_required", False)
        section.update(masks=bool(masks), masks_required=bool(required))
    own = cfg.get(KEY)
    kept = OmegaConf.to_container(own, resolve=False) if isinstance(own, DictConfig) else {}
    assert isinstance(kept, dict)
    again = {
        "source": sources,
        "val": val,
        "classes": [],
        "found": "",
    }  # of other data, if there are any
    cfg[KEY] = {**section, **kept, **again}


def _read(wished: DictConfig, of_maps: bool) -> OwnData:
    data: Any = OmegaConf.to_container(wished.data, resolve=True)
    arguments = _arguments(data)
    del arguments["found"]
    return own_data(wanted_data(of_maps=of_maps, **arguments))


_RENAMED = {"source": "sources"}
_NOT_OF_DATA = ("epochs", "min_iterations", "max_iterations")


def _arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """The section's keys as arguments of :func:`register_own_data`."""
    names = [name for name in SECTION if name not in _NOT_OF_DATA]
    return {_RENAMED.get(name, name): data[name] for name in names}


def _registration(part: str, of_maps: bool) -> Any:
    arguments = _arguments({name: f"${{{KEY}.{name}}}" for name in SECTION})
    return L(register_own_data)(part=part, of_maps=of_maps, **arguments)


def _use_masks(cfg: DictConfig, wished: DictConfig) -> None:
    """Follow ``data.masks`` in mapper and model, and in the metric of the best checkpoint."""
    if not wished.data.masks:
        heads = cfg.model.get("roi_heads")
        if heads is not None and "mask_in_features" in heads:
            heads.mask_in_features = None
        if str(OmegaConf.select(cfg, "train.best_checkpointer.val_metric")).startswith("segm/"):
            cfg.train.best_checkpointer.val_metric = "bbox/AP"
    mapper = cfg.dataloader.train.mapper
    if not OmegaConf.is_interpolation(mapper, "use_instance_mask"):
        mapper.use_instance_mask = f"${{{KEY}.masks}}"


def _evaluate_maps(cfg: DictConfig) -> None:
    """Mean IoU over the classes of the data, in the place of a benchmark's own evaluation."""
    names, output = "${dataloader.test.dataset.names}", "${train.output_dir}"
    cfg.dataloader.evaluator = [
        L(SemanticEvaluator)(dataset_name=names, output_dir=output),
        L(SemanticPictures)(dataset_name=names, output_dir=output, count=0),
        L(OutputEvaluator)(
            evaluator=L(SemanticEvaluator)(
                dataset_name=names, output_dir=f"{output}/multi_scale_flip"
            )
        ),
    ]
    cfg.train.best_checkpointer.val_metric = "sem_seg/mIoU"


def _class_counts(node: Any, of_maps: bool) -> Iterator[tuple[Any, str]]:
    """Where a model says how many classes it has; references follow."""
    if isinstance(node, ListConfig):
        for index in range(len(node)):
            if not OmegaConf.is_interpolation(node, index):
                yield from _class_counts(node[index], of_maps)
    if not isinstance(node, DictConfig):
        return
    for name in list(node):
        if OmegaConf.is_interpolation(node, name) or OmegaConf.is_missing(node, name):
            continue
        if name == "num_classes":
            yield node, name
        # Label maps have classes of their own.
        elif of_maps or name != "sem_seg_head":
            yield from _class_counts(node[name], of_maps)


def _start_from_published(cfg: DictConfig, config_file: str, given: set[str]) -> None:
    """The weights of the experiment whose config it is, unless others are asked for."""
    experiment = experiment_of(config_file)
    if experiment is None or "train.init_checkpoint" in given:
        return
    if experiment.address:
        cfg.train.init_checkpoint = f"{SCHEME}{experiment.name}"
    else:
        say(
            f"No weights of {experiment.name} are published any more: training starts from "
            f"{cfg.train.init_checkpoint or 'random weights'}; others by train.init_checkpoint=FILE"
        )
