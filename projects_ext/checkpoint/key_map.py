"""The vocabulary of weight-name rules: what a ``key_map.py`` is written in.

A system describes how weight files name its parts by a module ``key_map.py`` in its package, with
one :class:`KeyMap` called ``KEY_MAP``. :func:`discover` finds the key maps of the systems that a
model is made of, so nothing here names a system.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from .conventions import InputConvention

COUNTER = "num_batches_tracked"
"""A number that BatchNorm keeps and nothing reads: it may be missing or left over."""

Entries = Iterable[tuple[str, Tensor]]
Rule = tuple[str, str | Callable[[re.Match[str]], str]] | Callable[[str, Tensor], Entries | None]
"""Either a regular expression for a whole name and its replacement (as in :func:`re.sub`), or a
function from name and tensor to the entries that they become, None where it does not apply."""


class Target:
    """A model as the place that weights go to.

    Attributes:
        model: the model, without the wrapper of DistributedDataParallel.
        state: its state dict.
    """

    def __init__(self, model: nn.Module) -> None:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        self.model = model
        self.state: dict[str, Tensor] = self.model.state_dict()
        self._by_suffix: dict[str, list[str]] = defaultdict(list)
        for name in self.state:
            parts = name.split(".")
            for start in range(1, len(parts)):
                self._by_suffix[".".join(parts[start:])].append(name)

    def find(self, name: str) -> str | None:
        """The model's entry that is called ``name``, or else the one that ends with ``.name``.

        Raises:
            ValueError: several entries end so.
        """
        if name in self.state:
            return name
        found = self._by_suffix.get(name, ())
        if len(found) > 1:
            raise ValueError(
                f"'{name}' of the weights fits {' and '.join(found[:2])} of the model: load them "
                "into the part of the model that is meant"
            )
        return found[0] if found else None


Rules = Sequence[Rule] | Callable[[Target], Sequence[Rule]]
"""Rules, or a function that makes them for a model. A rule's result is a name in the model or the
end of one, such as ``stem.conv1.weight``."""


@dataclass(frozen=True)
class Weights:
    """What a source of weights holds.

    Attributes:
        source: its path or address, for messages.
        entries: name -> tensor.
        others: what else is in the file, such as ``meta``.
        wrapper: the key under which the entries were found; empty if there was none.
        remarks: a line for people each, on what of the file is not in here.
    """

    source: str
    entries: Mapping[str, Tensor]
    others: Mapping[str, Any] = field(default_factory=dict)
    wrapper: str = ""
    remarks: Sequence[str] = ()


def _unchanged(weights: Weights) -> Weights:
    return weights


def _no_detail(weights: Weights) -> str:
    return ""


def _no_convention(weights: Weights) -> "InputConvention | None":
    return None


def _no_classes(weights: Weights) -> Sequence[str] | None:
    return None


@dataclass(frozen=True)
class Format:
    """A family of weight files.

    Attributes:
        name: what reports call it; key maps file their rules under it.
        recognises: whether some weights are of this family.
        rules: how its names become the model's.
        convention: on what images a file's backbone was trained, None if nobody knows.
        prepare: changes entries before they are renamed, or refuses the file.
        detail: what the report adds to the name, such as a version.
        classes: the names of the classes in the file's order, None if it does not say.
    """

    name: str
    recognises: Callable[[Weights, Target], bool]
    rules: Rules
    convention: Callable[[Weights], "InputConvention | None"] = _no_convention
    prepare: Callable[[Weights], Weights] = _unchanged
    detail: Callable[[Weights], str] = _no_detail
    classes: Callable[[Weights], Sequence[str] | None] = _no_classes


@dataclass(frozen=True)
class ClassLayer:
    """A layer whose number of output channels follows from the number of classes.

    Attributes:
        pattern: regular expression, found in the layer's name.
        per_class: output channels for each class.
        extra: output channels besides, such as 1 for background.
        decides: whether the layer depends on the class count in every model, so that its sizes
            tell both counts (box deltas, for example, may be shared by all classes).
    """

    pattern: str
    per_class: int = 1
    extra: int = 0
    decides: bool = False


@dataclass(frozen=True)
class KeyMap:
    """How weight files name the parts of one system.

    Attributes:
        rules: format name -> rules, tried before the general ones of that format.
        formats: formats that only this system knows, tried before the general ones.
        class_layers: its layers that depend on the number of classes.
        exports: name of a family of files -> a model's weights under the names of that family.
    """

    rules: Mapping[str, Rules] = field(default_factory=dict)
    formats: Sequence[Format] = ()
    class_layers: Sequence[ClassLayer] = ()
    exports: Mapping[str, Callable[[Target], Mapping[str, Tensor]]] = field(default_factory=dict)


def discover(model: nn.Module) -> Iterator[KeyMap]:
    """The key maps that lie beside the classes that ``model`` is made of, or in a package above.

    For a module of class ``project.system.heads.Head`` that is ``project.system.key_map.KEY_MAP``.
    """
    packages: set[str] = set()
    for module in model.modules():
        parts = type(module).__module__.split(".")[:-1]
        if parts and parts[0] not in ("torch", "torchvision", "detectron2"):
            packages.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    for package in sorted(packages):
        is_package = hasattr(sys.modules.get(package), "__path__")
        if is_package and find_spec(f"{package}.key_map") is not None:
            found = getattr(import_module(f"{package}.key_map"), "KEY_MAP", None)
            if isinstance(found, KeyMap):
                yield found


def rules_for(file_format: Format, key_maps: Sequence[KeyMap], target: Target) -> list[Rule]:
    """The systems' rules for a format, then the format's own."""
    groups = [key_map.rules.get(file_format.name, ()) for key_map in key_maps]
    groups.append(file_format.rules)
    return [rule for group in groups for rule in (group(target) if callable(group) else group)]


def rename(name: str, value: Tensor, rules: Sequence[Rule]) -> list[tuple[str, Tensor]] | None:
    """What an entry becomes by the first rule that applies to it; None if there is none."""
    for rule in rules:
        if callable(rule):
            entries = rule(name, value)
            if entries is not None:
                return list(entries)
            continue
        pattern, replacement = rule
        match = re.fullmatch(pattern, name)
        if match:
            new = replacement(match) if callable(replacement) else match.expand(replacement)
            return [(new, value)]
    return None
