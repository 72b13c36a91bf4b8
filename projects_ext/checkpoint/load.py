"""``load_weights``: published or own weights into a model, whatever their names."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .class_counts import fresh_entries
from .class_order import (
    TAKEN_AS_THE_SAME,
    all_other_names,
    other_names,
    reorder_classes,
    taken_on_trust,
)
from .conventions import fit_first_convolution
from .detectron2_names import DETECTRON2
from .key_map import (
    COUNTER,
    ClassLayer,
    Format,
    KeyMap,
    Target,
    Weights,
    discover,
    rename,
    rules_for,
)
from .openmmlab import OPENMMLAB
from .report import LoadReport
from .resnet_names import CAFFE2, TIMM, TORCHVISION
from .sources import Source, read_weights
from .values import require_usable_values

FORMATS = (CAFFE2, DETECTRON2, OPENMMLAB, TIMM, TORCHVISION)
"""In the order in which they are tried."""

_COMPUTED = ("pixel_mean", "pixel_std")
_ANCHORS = "anchor_generator.cell_anchors"
"""Older files hold anchors, which are computed; they may lack the normalisation, which is given."""


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    key_maps: Sequence[KeyMap] = (),
    classes: Sequence[str] | None = None,
    strict: bool = False,
    trust: bool = False,
) -> LoadReport:
    """Give a model the weights of a file; its names, wrappers and layout are recognised.

    Nothing is changed in the model before everything has been checked.

    Args:
        model: a model, also one in DistributedDataParallel.
        source: path, address (as PathManager or ``torchvision://resnet50``) or state dict.
        key_maps: rules besides those of the systems that the model is made of; tried first.
        classes: the names of the model's classes in order; where the file says its own, they are
            compared, and weights of the same classes in another order are put into the model's.
        strict: whether a name that is left over or missing is an error.
        trust: let a file run the code in it. Only for files whose origin is beyond doubt.

    Returns:
        what was renamed, left over, missing and why; its ``str`` is a small table.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, holds code, holds no weights or those of another model, a
            shape differs for another reason than the class count, values are NaN, infinite or no
            floating-point numbers, or the weights were trained on images that the model does not
            see or on classes in another order.
    """
    target = Target(model)
    maps = [*key_maps, *discover(target.model)]
    weights = read_weights(source, trust)
    file_format = _recognise(weights, maps, target)
    weights = file_format.prepare(weights)
    matched, origins, left_over = _match(weights, file_format, maps, target)
    require_usable_values(matched, target.state, weights.source)
    layers = [layer for key_map in maps for layer in key_map.class_layers]
    fresh, notes = _fit(matched, weights, file_format, layers, target, classes)
    theirs = file_format.classes(weights)
    differing = other_names(theirs, classes)
    others = differing if all_other_names(theirs, classes) else ""
    doubt = f"{differing}: {TAKEN_AS_THE_SAME}" if differing and not others else others
    loaded = [name for name in matched if name not in fresh]
    trust_in_order = taken_on_trust(theirs, classes, loaded, layers)
    detail = file_format.detail(weights)
    report = LoadReport(
        source=weights.source,
        format=f"{file_format.name}, {detail}" if detail else file_format.name,
        loaded=[new for new in origins if _counts(new, fresh)],
        renamed={old: new for new, old in origins.items() if old != new and _counts(new, fresh)},
        left_over=left_over,
        missing=[name for name in target.state if name not in matched and not _may_miss(name)],
        reinitialised=fresh,
        notes=[*notes, doubt] if doubt else notes,
        doubts=[one for one in (doubt, trust_in_order) if one],
        other_classes=others,
        classes=[] if fresh else list(classes or theirs or ()),
    )
    if strict and not report.complete:
        raise ValueError(f"{report} (with strict=True, all names have to agree)")
    _store(target, {name: value for name, value in matched.items() if name not in fresh})
    return report


def _recognise(weights: Weights, key_maps: Sequence[KeyMap], target: Target) -> Format:
    special = [file_format for key_map in key_maps for file_format in key_map.formats]
    for file_format in (*special, *FORMATS):
        if file_format.recognises(weights, target):
            return file_format
    names = ", ".join(list(weights.entries)[:3])
    raise ValueError(
        f"{weights.source} has weights of an unknown kind ({names}, …): give weights of "
        "Detectron2, OpenMMLab, AdelaiDet or a ResNet of torchvision or timm, or pass "
        "`key_maps` with rules for them"
    )


def _match(
    weights: Weights, file_format: Format, key_maps: Sequence[KeyMap], target: Target
) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """The model's names -> tensors, the model's names -> the file's, and what is left over."""
    rules = rules_for(file_format, key_maps, target)
    matched: dict[str, Tensor] = {}
    origins: dict[str, str] = {}
    left_over: list[str] = []
    for name, value in weights.entries.items():
        became = rename(name, value, rules)
        for new_name, new_value in [(name, value)] if became is None else became:
            found = target.find(new_name)
            if found is None:
                if not new_name.endswith(COUNTER) and _ANCHORS not in new_name:
                    left_over.append(name)
                continue
            if found in origins:
                raise ValueError(
                    f"{origins[found]} and {name} in {weights.source} both became {found}: correct "
                    "the rules of the key map"
                )
            matched[found], origins[found] = new_value, name
    if not any(not name.endswith(COUNTER) for name in matched):
        raise ValueError(
            f"none of the {len(weights.entries)} entries in {weights.source} ({file_format.name}) "
            f"has a place in the model ({next(iter(weights.entries))}, …): take the config that "
            "belongs to these weights"
        )
    return matched, origins, left_over


def _fit(
    matched: dict[str, Tensor],
    weights: Weights,
    file_format: Format,
    layers: Sequence[ClassLayer],
    target: Target,
    classes: Sequence[str] | None,
) -> tuple[list[str], list[str]]:
    """Change, in place, what images and classes want changed.

    Returns:
        the entries that start fresh, and what the report says about all of it.
    """
    convention = file_format.convention(weights)
    about_input = fit_first_convolution(matched, convention, target, weights)
    theirs = file_format.classes(weights)
    about_order = reorder_classes(matched, layers, theirs, classes, weights.source)
    fresh, about_count = fresh_entries(matched, target, layers, weights.source)
    about = (*weights.remarks, about_input, about_order, about_count)
    return fresh, [note for note in about if note]


def _counts(name: str, fresh: Sequence[str]) -> bool:
    """Whether reports count the entry among the loaded ones."""
    return name not in fresh and not name.endswith(COUNTER)


def _may_miss(name: str) -> bool:
    return name.endswith(COUNTER) or name in _COMPUTED or _ANCHORS in name


def _store(target: Target, values: Mapping[str, Tensor]) -> None:
    """Write values of checked names and shapes into the model."""
    with torch.no_grad():
        for name, value in values.items():
            target.state[name].copy_(value)
