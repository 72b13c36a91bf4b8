"""The names of a model's classes, without any data, and what drawing needs to know of them."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from torch import nn

from detectron2.data import MetadataCatalog
from detectron2.data.catalog import Metadata
from projects_ext.data.classes import class_counts
from projects_ext.data.palette import distinct_colours
from projects_ext.engine.config_files import Config
from projects_ext.engine.standalone import KEYS
from projects_ext.errors import UserError

KINDS = {"instances": "thing", "semantic": "stuff"}
"""What a model predicts -> what Detectron2's metadata call it."""


def require_count(names: Sequence[str], model: nn.Module, kind: str) -> None:
    """Refuse names of another number of classes than the model's, as far as that is known.

    Raises:
        UserError: with both numbers.
    """
    for path, count in class_counts(model, kind == "semantic"):
        if names and count != len(names):
            raise UserError(
                f"{KEYS} names {len(names)} classes, but the model has {count} "
                f"({'.'.join(filter(None, ['model', path]))}): name each of its classes once, in "
                "order"
            )


def builtin(cfg: Config, model: nn.Module, kind: str) -> Metadata | None:
    """What Detectron2 or this project knows of the data set that the config names, if anything.

    Args:
        cfg: its test set counts.
        model: only a data set with as many classes is meant.
        kind: "instances" or "semantic".
    """
    if isinstance(cfg, DictConfig):
        name = OmegaConf.select(cfg, "dataloader.test.dataset.names")
    else:
        name = cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else None
    if not isinstance(name, str) or name not in MetadataCatalog.list():
        return None
    metadata = MetadataCatalog.get(name)
    classes = metadata.get(f"{KINDS[kind]}_classes")
    counts = class_counts(model, kind == "semantic")
    if not classes or any(count != len(classes) for _, count in counts):
        return None
    return metadata


def numbered(model: nn.Module, kind: str) -> list[str]:
    """Names for classes whose names nobody knows: their numbers."""
    counts = class_counts(model, kind == "semantic")
    return [str(index) for index in range(counts[0][1])] if counts else []


def describe(names: Sequence[str], kind: str, known: Metadata | None) -> Metadata:
    """Metadata with names and colours, as Detectron2's ``Visualizer`` takes them.

    Args:
        names: of the classes, in order.
        kind: "instances" or "semantic".
        known: colours are taken from it if its classes have these names.
    """
    prefix = KINDS[kind]
    colours = None
    if known is not None and list(known.get(f"{prefix}_classes") or ()) == list(names):
        colours = known.get(f"{prefix}_colors")
    colours = colours or distinct_colours(names)
    metadata = Metadata(name="projects_ext.Predictor")
    return metadata.set(**{f"{prefix}_classes": list(names), f"{prefix}_colors": list(colours)})
