"""What passes through an evaluation is looked at: images for the model, numbers from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.evaluation import DatasetEvaluator
from projects_ext.errors import NonFiniteError, UserError

from .limits import coco_evaluators

_REMEDY = (
    "the model has diverged, or its weights do not fit: evaluate an earlier checkpoint, or train "
    "with a lower learning rate (optimizer.lr; YAML: SOLVER.BASE_LR)"
)
_FORMATS = {1: "L", 3: "RGB", 4: "RGBA"}


class CheckedPredictions(DatasetEvaluator):
    """Another evaluator, whose predictions are refused if they hold NaN or infinity.

    A NaN score sorts anywhere, so that metrics of such predictions are numbers without a meaning.

    Args:
        evaluator: gets the predictions.
    """

    def __init__(self, evaluator: DatasetEvaluator) -> None:
        self.evaluator = evaluator
        self._measures_masks = any(
            "segm" in (getattr(part, "_tasks", None) or ()) for part in coco_evaluators(evaluator)
        )

    def reset(self) -> None:
        """Forget all images."""
        self.evaluator.reset()

    def process(self, inputs: Any, outputs: Any) -> None:
        """Check a batch and pass it on.

        Raises:
            NonFiniteError: scores, boxes or logits are NaN or infinite.
            UserError: masks are to be measured, but none are predicted.
        """
        # A list, since outputs may be a generator and are read twice.
        outputs = list(outputs) if isinstance(outputs, Iterator) else outputs
        if isinstance(inputs, Sequence) and isinstance(outputs, Sequence):
            for given, predicted in zip(inputs, outputs, strict=False):
                require_finite(given, predicted)
                self._require_masks(predicted)
        self.evaluator.process(inputs, outputs)

    def _require_masks(self, predicted: Any) -> None:
        instances = predicted.get("instances") if isinstance(predicted, dict) else None
        if self._measures_masks and instances is not None and not instances.has("pred_masks"):
            raise UserError(
                "the evaluator measures masks (its tasks have segm), but the model predicts none: "
                "give it tasks=[bbox], or evaluate a model with masks"
            )

    def evaluate(self) -> Any:
        """The other evaluator's metrics."""
        return self.evaluator.evaluate()


def require_finite(given: Any, predicted: Any) -> None:
    """Refuse a prediction that holds NaN or infinity.

    Args:
        given: what it was predicted from; its ``file_name`` is in the message.
        predicted: of one image; anything but a dict is not looked at.

    Raises:
        NonFiniteError: scores, boxes or logits are NaN or infinite.
    """
    if not isinstance(predicted, dict):
        return
    for kind, fields in (("instances", "scores pred_boxes"), ("proposals", "objectness_logits")):
        found: Any = predicted.get(kind)
        for name in fields.split():
            if found is not None and found.has(name):
                value = found.get(name)
                _require(given, f"{kind}.{name}", getattr(value, "tensor", value))
    for name, value in predicted.items():
        if name.startswith("sem_seg") and isinstance(value, Tensor) and value.is_floating_point():
            _require(given, name, value, negative_infinity=True)


def _require(given: Any, name: str, values: Tensor, negative_infinity: bool = False) -> None:
    """Refuse NaN and infinity; logarithms of probabilities may be minus infinity."""
    # A sum is fast and needs no memory; only if it is not finite, each value is looked at.
    if torch.isfinite(values.sum(dtype=torch.float32)):
        return
    wrong = values.isnan() | (values.isposinf() if negative_infinity else values.isinf())
    count = int(wrong.sum())
    if count:
        image = (
            given.get("file_name", given.get("image_id", "?")) if isinstance(given, dict) else "?"
        )
        raise NonFiniteError(
            f"{count} of {values.numel()} values of {name} predicted for the image {image} are NaN "
            f"or infinite: {_REMEDY}"
        )


@contextmanager
def channels_watched(model: nn.Module) -> Iterator[None]:
    """Within, images of another number of channels than the model's are refused by name.

    Raises:
        UserError: with the image's file, both numbers and the key to change.
    """
    handle = watch_channels(model)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def box_heads_watched(model: nn.Module) -> Iterator[None]:
    """Within, NaN and infinity among the scores and deltas of box heads are refused.

    Detectron2 drops such boxes before they are predictions: metrics would count them as missed.

    Raises:
        NonFiniteError: by the model.
    """
    heads = [part for part in model.modules() if hasattr(part, "test_topk_per_image")]
    handles = [head.register_forward_hook(_look_at_boxes) for head in heads]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _look_at_boxes(head: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
    for values in output if isinstance(output, tuple) else (output,):
        if isinstance(values, Tensor) and not torch.isfinite(values).all():
            raise NonFiniteError(
                f"the box head ({type(head).__name__}) gives scores or boxes that are NaN or "
                f"infinite: {_REMEDY}"
            )


def watch_channels(model: nn.Module) -> Any:
    """As :func:`channels_watched`, until ``remove()`` of the returned handle is called."""
    return model.register_forward_pre_hook(_look_at_channels)


def _look_at_channels(model: nn.Module, arguments: tuple[Any, ...]) -> None:
    require_channels(getattr(model, "module", model), arguments[0] if arguments else None)


def require_channels(model: nn.Module, batch: Any) -> None:
    """Refuse images of another number of channels than the model's.

    Args:
        model: those without ``pixel_mean`` are not looked at.
        batch: what the model is called with.

    Raises:
        UserError: see :func:`channels_watched`.
    """
    mean = getattr(model, "pixel_mean", None)
    if not isinstance(mean, Tensor) or not isinstance(batch, Sequence):
        return
    wanted = mean.numel()
    for sample in batch:
        image = sample.get("image") if isinstance(sample, dict) else None
        if not isinstance(image, Tensor) or image.ndim != 3:
            continue
        # Of one channel, either side is repeated for all channels of the other.
        if len(image) != wanted and 1 not in (len(image), wanted):
            says_format = hasattr(model, "input_format")
            file = sample.get("file_name", "?")
            raise UserError(_sentence(file, len(image), wanted, says_format))


def _sentence(file: str, channels: int, wanted: int, says_format: bool) -> str:
    name = _FORMATS.get(wanted)
    values = f"model.pixel_mean and model.pixel_std {channels} values (YAML: MODEL.PIXEL_MEAN, "
    values += "PIXEL_STD) and the backbone's first layer as many channels"
    remedy = f"give {values}"
    if name is not None:
        own = f" model.input_format={name}" if says_format else ""
        keys = f"dataloader.train.mapper.image_format={name}{own} (YAML: INPUT.FORMAT {name})"
        layer = (
            "" if wanted == 3 else f" (the backbone's first layer has to take {wanted} channels)"
        )
        remedy = f"set {keys}{layer}, or {remedy}"
    return (
        f"the image file {file} was read with {channels} channels, but the model takes {wanted} "
        f"(its pixel_mean): {remedy}"
    )
