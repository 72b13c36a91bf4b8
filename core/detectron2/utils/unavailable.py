"""Names of Detectron2 that are left out: they can be imported, and say so when they are used.

Code often imports names that only some of its settings use. Such a name stands here for a class or
function that refuses, in one sentence, to be called (or, as a class, to be made an object of, also
by a subclass, or asked for an attribute). Everything else goes: imports, subclasses, registration,
annotations, ``isinstance`` (always False), pickling by name.
"""

from abc import ABCMeta
from typing import Any, NoReturn

__all__ = ["Unavailable", "UnavailableError", "unavailable"]

UPSTREAM = "use upstream Detectron2"
INTERNALS = "internals of upstream"

REMEDIES = {
    "rotated boxes": f"use boxes without an angle, or {UPSTREAM}",
    "keypoints": f"leave them out of the data and set MODEL.KEYPOINT_ON: False, or {UPSTREAM}",
    "LVIS's tables": f"read the categories from the annotation file, or {UPSTREAM}",
    "tracking": f"use a library for tracking on its detections, or {UPSTREAM}",
    "panoptic segmentation": f"train GeneralizedRCNN and SemanticSegmentor apart, or {UPSTREAM}",
    "C4 models": f"use a config with FPN or DC5 in its name, or {UPSTREAM}",
    "transformer and RegNet backbones": f"use a ResNet, register your own backbone, or {UPSTREAM}",
    "mmdetection's models": f"use a model of this package, or {UPSTREAM}",
    "Caffe2 export": f"export with detectron2.export.TracingAdapter, or {UPSTREAM}",
    "scripting of whole models": "script its parts, trace it with "
    f"detectron2.export.TracingAdapter, or {UPSTREAM}",
    "Caffe2's weight names": f"convert the file once with upstream Detectron2, or {UPSTREAM}",
    INTERNALS: f"use the public functions of its module, or {UPSTREAM}",
}


class UnavailableError(NotImplementedError, AttributeError):
    """Something that this implementation leaves out is used.

    It is also an AttributeError, so that ``hasattr`` and ``getattr`` with a default work.
    """


def _refuse(name: str, feature: str) -> NoReturn:
    if feature == INTERNALS:
        text = f"'{name}' belongs to the {INTERNALS}, which detectron2-core does not have"
    else:
        text = f"'{name}' needs {feature}, which detectron2-core does not implement"
    raise UnavailableError(f"{text}: {REMEDIES[feature]}.")


class _Refusing(ABCMeta):
    """Makes classes that refuse everything but being imported, subclassed and compared with.

    On ABCMeta, so that a subclass may also inherit from an abstract class.
    """

    _feature: str

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(cls.__name__, cls._feature)

    def __iter__(cls) -> NoReturn:  # of a table
        _refuse(cls.__name__, cls._feature)

    def __getitem__(cls, key: Any) -> NoReturn:
        _refuse(cls.__name__, cls._feature)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # Python asks for many optional ones
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        _refuse(f"{cls.__name__}.{name}", cls._feature)


class Unavailable(metaclass=_Refusing):
    """Base of classes that are left out: ``class RotatedBoxes(Unavailable, feature=...)``."""

    _feature = INTERNALS

    def __init_subclass__(cls, feature: str | None = None, **kwargs: Any) -> None:
        """Note what the class and its subclasses belong to, a key of ``REMEDIES``."""
        super().__init_subclass__(**kwargs)
        if feature is not None:
            cls._feature = feature


def _refusing_function(module: str, feature: str, name: str) -> Any:
    def refusing(*args: Any, **kwargs: Any) -> NoReturn:
        _refuse(name, feature)

    refusing.__name__ = refusing.__qualname__ = name
    refusing.__module__ = module
    refusing.__doc__ = f"Left out: it needs {feature}."
    return refusing


def _refusing_class(module: str, feature: str, name: str) -> Any:
    content = {"__module__": module, "__qualname__": name, "_feature": feature}
    content["__doc__"] = f"Left out: it needs {feature}."
    return _Refusing(name, (Unavailable,), content)


def unavailable(module: str, feature: str, *names: str) -> Any:
    """Stand-ins for classes and functions of Detectron2 that are left out.

    Args:
        module: ``__name__`` of the module that has them.
        feature: what they belong to, a key of ``REMEDIES``.
        names: each one or several, separated by spaces; a capital first letter makes a class.

    Returns:
        One stand-in, or a list of them in the order of ``names``.
    """
    made = [
        (_refusing_class if name.lstrip("_")[0].isupper() else _refusing_function)(
            module, feature, name
        )
        for name in " ".join(names).split()
    ]
    return made[0] if len(made) == 1 else made
