"""Instances as a class of fixed fields, which TorchScript can compile."""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import nn

# TorchScript looks the types of fields up here, by their full names.
import detectron2  # noqa: F401
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.env import _import_file
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = ["freeze_training_mode", "patch_builtin_len", "patch_instances"]

_counter = 0

_HEAD = """
from typing import Dict, List, Optional, Tuple

import torch
import detectron2
import detectron2.structures.boxes
from detectron2.structures import Boxes


class {cls}:
    def __init__(self, image_size: Tuple[int, int], {parameters}):
        self.image_size = image_size
        self._field_names = {names}
{assignments}
    def __len__(self) -> int:
{lengths}
        raise NotImplementedError("Instances without any field have no length")

    def has(self, name: str) -> bool:
{presences}
        return False

    def to(self, device: torch.device) -> "{cls}":
        made = {cls}(self.image_size{nones})
{moves}
        return made

    def __getitem__(self, item) -> "{cls}":
        made = {cls}(self.image_size{nones})
{selections}
        return made

    def cat(self, instances: List["{cls}"]) -> "{cls}":
        made = {cls}(self.image_size{nones})
{joins}
        return made

    def get_fields(self) -> Dict[str, torch.Tensor]:
        fields: Dict[str, torch.Tensor] = {{}}
{tensors}
        return fields
"""

_PROPERTY = """
    @property
    def {name}(self) -> {kind}:
        value = self._{name}
        assert value is not None, "{name} is None and cannot be accessed!"
        return value

    @{name}.setter
    def {name}(self, value: {kind}) -> None:
        self._{name} = value
"""


def _gen_instance_module(fields: Mapping[str, type]) -> tuple[str, str]:
    """Name and source of a class with these fields, each None or of its type."""
    global _counter
    _counter += 1
    kinds = {name: f"{kind.__module__}.{kind.__name__}" for name, kind in fields.items()}

    def each(text: str, only: Any = lambda kind: True) -> str:
        """The text for each field, after the field's value is known not to be None."""
        body = "".join(
            f"        t_{name} = self._{name}\n        if t_{name} is not None:\n"
            f"            {text.format(name=name, kind=kinds[name])}\n"
            for name, kind in fields.items()
            if only(kind)
        )
        return body.rstrip("\n")

    def join(kind: type) -> str:
        joined = "torch.cat({}, dim=0)" if kind is torch.Tensor else "t_{{name}}.cat({})"
        return "made._{name} = " + joined.format("[x.{name} for x in instances]")

    cls = f"ScriptedInstances{_counter}"
    lines = {
        "parameters": ", ".join(f"{n}: Optional[{kind}] = None" for n, kind in kinds.items()),
        "assignments": "".join(
            f"        self._{name} = torch.jit.annotate(Optional[{kind}], {name})\n"
            for name, kind in kinds.items()
        ),
        "lengths": each("return len(t_{name})"),
        "presences": "\n".join(
            f"        if name == {name!r}:\n            return self._{name} is not None"
            for name in fields
        ),
        "moves": each("made._{name} = t_{name}.to(device)", lambda kind: hasattr(kind, "to")),
        "selections": each("made._{name} = t_{name}[item]"),
        "joins": "\n".join(
            each(join(kind), lambda other, kind=kind: other is kind)
            for kind in dict.fromkeys(fields.values())
        ),
        "tensors": "\n".join(
            (
                each('fields["{name}"] = t_{name}.tensor', lambda kind: kind is Boxes),
                each('fields["{name}"] = t_{name}', lambda kind: kind is torch.Tensor),
            )
        ),
    }
    head = _HEAD.format(cls=cls, names=tuple(fields), nones=", None" * len(fields), **lines)
    return cls, head + "".join(_PROPERTY.format(name=n, kind=kind) for n, kind in kinds.items())


def _clear_jit_cache() -> None:
    """Let TorchScript compile everything anew: Instances is another class now."""
    from torch.jit._recursive import concrete_type_store
    from torch.jit._state import _jit_caching_layer

    concrete_type_store.type_store.clear()
    _jit_caching_layer.clear()


def _compile_class(kind: type) -> None:
    """Compile a class of modules' attributes: of itself TorchScript does what its code makes."""
    names = torch._jit_internal.createResolutionCallbackForClassMethods(kind)
    torch.jit.script(kind, _rcb=names)


def _add_instances_conversion_methods(new_instances: Any) -> None:
    """Give the class ``from_instances``, which makes an object of it from Instances."""

    @torch.jit.unused
    def from_instances(instances: Instances) -> Any:
        made = new_instances(instances.image_size)
        for name, value in instances.get_fields().items():
            assert hasattr(made, f"_{name}"), f"No attribute named {name} in {type(made).__name__}"
            setattr(made, name, deepcopy(value))
        return made

    new_instances.from_instances = from_instances


def _import(path: str) -> ModuleType:
    return _import_file(f"{__name__}{_counter}", path, make_importable=True)


@contextmanager
def patch_instances(fields: Mapping[str, type]) -> Iterator[Any]:
    """Within the block, TorchScript compiles ``Instances`` as a class with these fields.

    Args:
        fields: types by the fields' names: tensors, ``Boxes``, or other classes that TorchScript
            knows.

    Yields:
        The class, with a static method ``from_instances``.
    """
    name, source = _gen_instance_module(fields)
    _clear_jit_cache()
    _compile_class(Box2BoxTransform)
    with tempfile.TemporaryDirectory(prefix="detectron2") as folder:
        path = Path(folder, f"{name}.py")
        path.write_text(source, encoding="utf-8")
        module = _import(str(path))
        made = getattr(module, name)
        try:
            torch.jit.script(made)
            # TorchScript takes Instances for compiled already, under the other class's name.
            stand_in: Any = Instances
            stand_in.__torch_script_class__ = True
            stand_in._jit_override_qualname = torch._jit_internal._qualified_name(made)
            _add_instances_conversion_methods(made)
            yield made
        finally:
            for attribute in ("__torch_script_class__", "_jit_override_qualname"):
                if attribute in vars(Instances):
                    delattr(Instances, attribute)
            sys.modules.pop(module.__name__)


@contextmanager
def patch_builtin_len(modules: Iterable[str] = ()) -> Iterator[None]:
    """Within the block, ``len`` is ``__len__``, which tracing can follow.

    Args:
        modules: names of modules, beside those of the RoI heads.
    """
    heads = "detectron2.modeling.roi_heads"
    with ExitStack() as stack:
        for name in (f"{heads}.fast_rcnn", f"{heads}.mask_head", *modules):
            patch = mock.patch(f"{name}.len", create=True, side_effect=lambda obj: obj.__len__())
            stack.enter_context(patch)
        yield


@contextmanager
def freeze_training_mode(model: nn.Module) -> Iterator[None]:
    """Within the block, ``training`` is a constant of the modules: what it rules out is left out.

    Modules of classes with ``__constants__`` stay as they are.
    """
    kinds = {type(module) for module in model.modules()}
    kinds = {kind for kind in kinds if not hasattr(kind, "__constants__")}
    before = {kind: vars(kind).get("__annotations__", {}) for kind in kinds}
    for kind in kinds:
        # The nearest ones of a base class count where the class has none.
        known = next(found for x in kind.__mro__ if (found := vars(x).get("__annotations__")))
        kind.__annotations__ = {**known, "training": torch.jit.Final[bool]}
    try:
        yield
    finally:
        for kind, annotations in before.items():
            kind.__annotations__ = annotations


(_gen_instance_class, patch_nonscriptable_classes) = unavailable(
    __name__, INTERNALS, "_gen_instance_class patch_nonscriptable_classes"
)
