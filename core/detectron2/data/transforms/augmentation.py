"""The interface of augmentations: look at the input, draw random numbers, return a transform."""

from __future__ import annotations

import inspect
import pprint
from collections.abc import Sequence
from typing import Any

import numpy as np
from fvcore.transforms.transform import Transform, TransformList

__all__ = [
    "AugInput",
    "Augmentation",
    "AugmentationList",
    "StandardAugInput",
    "TransformGen",
    "apply_augmentations",
    "apply_transform_gens",
]


class Augmentation:
    """A policy that makes a transform, possibly at random, for a given input.

    A subclass defines ``get_transform``; the names of its parameters say which attributes of the
    :class:`AugInput` it wants to see (``image``, ``sem_seg``, ``boxes``, or any other that the
    input has). Random numbers come from numpy's global generator, so that one seed settles all.
    """

    input_args: tuple[str, ...] | None = None
    """Names of the wanted attributes; None to take them from the signature of ``get_transform``."""

    def _init(self, params: dict[str, Any] | None = None) -> None:
        """Store the given arguments, usually ``locals()`` of the constructor, as attributes."""
        for name, value in (params or {}).items():
            if name != "self" and not name.startswith("_"):
                setattr(self, name, value)

    def get_transform(self, *args: Any) -> Transform:
        """Make the transform for an input whose attributes are given in the order of the names."""
        raise NotImplementedError(f"{type(self).__name__} has to define get_transform.")

    def __call__(self, aug_input: AugInput) -> Transform:
        """Make a transform for the input, apply it to the input in place, and return it."""
        transform = self.get_transform(*_wanted_attributes(self, aug_input))
        if not isinstance(transform, (Transform, TransformList)):
            raise TypeError(
                f"{type(self).__name__}.get_transform has to return a Transform, "
                f"not a {type(transform).__name__}; apply_image is called by the augmentation."
            )
        aug_input.transform(transform)
        return transform

    def _rand_range(
        self, low: float = 1.0, high: float | None = None, size: Any = None
    ) -> float | np.ndarray:
        """A uniform number between low and high, or between 0 and low."""
        if high is None:
            low, high = 0, low
        return np.random.uniform(low, high, size or [])

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(self.__init__).parameters.items():  # type: ignore[misc]
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if is_variadic or not hasattr(self, name):
                return super().__repr__()
            value = getattr(self, name)
            if value is not parameter.default:
                text = pprint.pformat(value)
                shown.append(f"{name}={'...' if chr(10) in text else text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__


def _wanted_attributes(augmentation: Augmentation, aug_input: AugInput) -> list[Any]:
    """The attributes of the input that ``get_transform`` asks for."""
    if augmentation.input_args is None:
        augmentation.input_args = _parameter_names(augmentation)
    for name in augmentation.input_args:
        if not hasattr(aug_input, name):
            raise AttributeError(
                f"{type(augmentation).__name__}.get_transform wants the input's '{name}', which "
                f"this {type(aug_input).__name__} does not have; the data has to provide it, or "
                "the augmentation has to do without."
            )
    return [getattr(aug_input, name) for name in augmentation.input_args]


def _parameter_names(augmentation: Augmentation) -> tuple[str, ...]:
    parameters = list(inspect.signature(augmentation.get_transform).parameters.values())
    variadic = [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(variadic) == len(parameters):
        return ("image",)
    if variadic:
        raise TypeError(
            f"{type(augmentation).__name__}.get_transform mixes named and variadic parameters; set "
            "the attribute `input_args` to the names of the inputs that it wants."
        )
    return tuple(p.name for p in parameters)


class _FixedTransform(Augmentation):
    """A transform as an augmentation that always returns it."""

    input_args = ()

    def __init__(self, tfm: Transform) -> None:
        self.tfm = tfm

    def get_transform(self, *args: Any) -> Transform:
        return self.tfm

    def __repr__(self) -> str:
        return repr(self.tfm)

    __str__ = __repr__


def _as_augmentation(transform_or_augmentation: Augmentation | Transform) -> Augmentation:
    if isinstance(transform_or_augmentation, Augmentation):
        return transform_or_augmentation
    if isinstance(transform_or_augmentation, (Transform, TransformList)):
        return _FixedTransform(transform_or_augmentation)
    raise TypeError(
        f"Expected an Augmentation or a Transform, got {transform_or_augmentation!r} of type "
        f"{type(transform_or_augmentation).__name__}."
    )


class AugmentationList(Augmentation):
    """Augmentations one after the other; each sees the input as the former left it.

    Args:
        augs: augmentations or transforms.
    """

    def __init__(self, augs: Sequence[Augmentation | Transform]) -> None:
        self.augs = [_as_augmentation(augmentation) for augmentation in augs]

    def __call__(self, aug_input: AugInput) -> TransformList:
        """Apply all augmentations to the input, in place, and return their transforms."""
        return TransformList([augmentation(aug_input) for augmentation in self.augs])

    def __repr__(self) -> str:
        return f"AugmentationList[{', '.join(map(str, self.augs))}]"

    __str__ = __repr__


class AugInput:
    """What augmentations may look at, and what they change in place.

    Transforms applied here can be applied later to whatever else belongs to the image.

    Attributes:
        image: (H, W) or (H, W, C), uint8 in [0, 255], or floating point in [0, 1] or [0, 255].
        boxes: N x 4 in absolute XYXY coordinates, or None.
        sem_seg: (H, W) label map, or None.
    """

    def __init__(
        self,
        image: np.ndarray,
        *,
        boxes: np.ndarray | None = None,
        sem_seg: np.ndarray | None = None,
    ) -> None:
        _check_image(image)
        self.image, self.boxes, self.sem_seg = image, boxes, sem_seg

    def transform(self, tfm: Transform) -> None:
        """Apply a transform to all attributes, in place."""
        self.image = tfm.apply_image(self.image)
        for name, apply in (("boxes", tfm.apply_box), ("sem_seg", tfm.apply_segmentation)):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, apply(value))

    def apply_augmentations(
        self, augmentations: Sequence[Augmentation | Transform]
    ) -> TransformList:
        """The same as ``AugmentationList(augmentations)(self)``."""
        return AugmentationList(augmentations)(self)


def _check_image(image: Any) -> None:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"An image has to be a numpy array, not a {type(image).__name__}.")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"An image has to be uint8 or floating point, not {image.dtype}.")
    if image.ndim not in (2, 3):
        raise ValueError(f"An image has two or three dimensions, not the shape {image.shape}.")


def apply_augmentations(
    augmentations: Sequence[Augmentation | Transform], inputs: np.ndarray | AugInput
) -> tuple[Any, TransformList]:
    """Apply augmentations one after the other.

    Args:
        augmentations: augmentations or transforms.
        inputs: an image array, or an :class:`AugInput`, which is changed in place.

    Returns:
        The augmented image or input, and the transforms that were applied.
    """
    is_image = isinstance(inputs, np.ndarray)
    aug_input: Any = AugInput(inputs) if is_image else inputs  # type: ignore[arg-type]
    transforms = aug_input.apply_augmentations(augmentations)
    return (aug_input.image if is_image else aug_input), transforms


# Names of older releases, still met in users' code.
TransformGen = Augmentation
StandardAugInput = AugInput
apply_transform_gens = apply_augmentations

# Upstream's names, which augmentations in users' code import.
_TransformToAug = _FixedTransform
_transform_to_aug = _as_augmentation
_get_aug_input_args = _wanted_attributes
_check_img_dtype = _check_image
