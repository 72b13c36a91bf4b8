"""Which differences in shape another number of classes explains."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from .key_map import ClassLayer, Target

CLASS_LAYERS = (
    ClassLayer(r"box_predictor(\.\d+)?\.cls_score", extra=1, decides=True),
    ClassLayer(r"box_predictor(\.\d+)?\.bbox_pred", per_class=4),
    ClassLayer(r"mask_head(\.\d+)?\.predictor"),
    ClassLayer(r"sem_seg_head\.predictor", decides=True),
)


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(length) for length in shape) or "a single number"


def fresh_entries(
    matched: Mapping[str, Tensor], target: Target, layers: Sequence[ClassLayer], source: str
) -> tuple[list[str], str]:
    """The entries that keep the model's own values because the class counts differ.

    Args:
        matched: the model's names -> the file's tensors.
        target: the model.
        layers: what depends on the number of classes, besides :data:`CLASS_LAYERS`.
        source: the file, for messages.

    Returns:
        their names, and one line on why; nothing if all shapes agree.

    Raises:
        ValueError: a shape differs for another reason.
    """
    counts: dict[tuple[float, float], str] = {}
    fresh: list[str] = []
    for name, value in matched.items():
        own, theirs = tuple(target.state[name].shape), tuple(value.shape)
        layer = layer_of(name, layers)
        if own != theirs:
            if layer is None or not own or own[1:] != theirs[1:] or len(own) != len(theirs):
                raise _misfit(name, theirs, own, source)
            fresh.append(name)
        elif layer is None or not layer.decides:
            continue
        pair = _class_count(theirs[0], layer), _class_count(own[0], layer)
        counts.setdefault(pair, name)
    if not fresh:
        return [], ""
    whole = all(count == int(count) and count > 0 for pair in counts for count in pair)
    if len(counts) > 1 or not whole:
        name = fresh[-1]
        raise _misfit(name, tuple(matched[name].shape), tuple(target.state[name].shape), source)
    (theirs_count, own_count), _ = counts.popitem()
    started = ", ".join(sorted({name.rpartition(".")[0] for name in fresh}))
    counted = f"the file has {theirs_count:g} classes, the model {own_count:g}"
    return fresh, f"{counted}: {started} start fresh"


def layer_of(name: str, layers: Sequence[ClassLayer]) -> ClassLayer | None:
    """The layer among ``layers`` and the general ones that an entry belongs to, if any."""
    return next((x for x in (*layers, *CLASS_LAYERS) if _is_part_of(name, x)), None)


def _is_part_of(name: str, layer: ClassLayer) -> bool:
    module = name.rpartition(".")[0]
    return re.search(rf"(^|\.){layer.pattern}$", module) is not None


def _class_count(channels: int, layer: ClassLayer) -> float:
    return (channels - layer.extra) / layer.per_class


def _misfit(name: str, theirs: Sequence[int], own: Sequence[int], source: str) -> ValueError:
    return ValueError(
        f"{name} is {_text(theirs)} in {source} but {_text(own)} in the model, which the number of "
        "classes does not explain: take the config that these weights were trained with, or other "
        "weights"
    )
