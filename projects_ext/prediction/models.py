"""The model that the command line names: a config with weights, or an exported file."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from projects_ext.data.palette import distinct_colours
from projects_ext.errors import UserError

from .arguments import DEFAULT_THRESHOLD, require_outputs_for
from .drawing import Colour
from .thresholds import require_threshold

EXPORTED = ".onnx"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def load_model(arguments: Namespace) -> Any:
    """Load it.

    Args:
        arguments: of the command line.

    Returns:
        a :class:`projects_ext.Predictor` or an exported model, with the confidence threshold set.

    Raises:
        UserError: it cannot be loaded, or an option has no meaning for it.
    """
    exported = (arguments.weights or "").endswith(EXPORTED)
    model = _exported(arguments) if exported else _predictor(arguments)
    threshold = arguments.confidence_threshold
    if threshold is None and model.kind == "instances":
        lowest = getattr(model.metadata, "score_threshold", 0.0) if exported else 0.0
        threshold = max(DEFAULT_THRESHOLD, lowest)
    if threshold is not None:
        model.confidence_threshold = threshold
    return model


def _predictor(arguments: Namespace) -> Any:
    from .configs import find_config
    from .kinds import kind_of
    from .predictor import Predictor

    source = find_config(arguments.config_file, arguments.opts)
    kind = kind_of(source.cfg)
    if kind is not None:  # before weights are read, or downloaded
        require_outputs_for(kind, arguments)
        if arguments.confidence_threshold is not None:
            require_threshold(arguments.confidence_threshold, kind)
    return Predictor(source, arguments.weights, arguments.device)


def _exported(arguments: Namespace) -> Any:
    for option, value in (("--config-file", arguments.config_file), ("--opts", arguments.opts)):
        if value:
            raise UserError(
                f"{option} has no effect on {arguments.weights}, an exported model: leave it out"
            )
    device = (arguments.device or "cpu").partition(":")[0]
    if device not in _PROVIDERS:
        raise UserError(f"--device {arguments.device}: an exported model runs on cpu or cuda")
    from projects_ext.deploy import ExportedModel

    return ExportedModel(arguments.weights, providers=[_PROVIDERS[device]])


def class_colours(model: Any) -> Sequence[Colour]:
    """The colours of a model's classes: those of its data set, if they are known."""
    key = "stuff_colors" if model.kind == "semantic" else "thing_colors"
    colours = getattr(model.metadata, key, None)
    return [tuple(colour) for colour in colours or distinct_colours(model.class_names)]
