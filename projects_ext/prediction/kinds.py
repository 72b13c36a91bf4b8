"""What a config's model predicts, before it is built."""

from typing import Any, Literal

from omegaconf import DictConfig

from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.utils.registry import locate
from projects_ext.engine.config_files import Config

ModelKind = Literal["instances", "semantic"]


def kind_of_class(model: type) -> ModelKind:
    """What models of a class predict: objects, or label maps."""
    return "semantic" if issubclass(model, SemanticSegmentor) else "instances"


def kind_of(cfg: Config) -> ModelKind | None:
    """What the model of a config predicts; None where that shows only when it is built."""
    model = _model_class(cfg)
    return kind_of_class(model) if isinstance(model, type) else None


def _model_class(cfg: Config) -> Any:
    """What builds the model: a class, a function, or nothing that is known."""
    if not isinstance(cfg, DictConfig):
        name = cfg.MODEL.META_ARCHITECTURE
        return META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    target = cfg.get("model", {}).get("_target_")
    if not isinstance(target, str):
        return target
    try:
        return locate(target)
    except (ImportError, AttributeError):  # building it will tell
        return None
