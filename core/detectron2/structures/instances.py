"""What is known about the objects of one image: fields of equal length in one container."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch


class Instances:
    """N objects of one image; each field (boxes, classes, scores, masks...) has length N.

    Fields are attributes: ``instances.gt_boxes = Boxes(...)`` adds one, ``instances.gt_boxes``
    reads it. Indexing selects objects in all fields at once. A field may be anything with a length
    and indexing: a tensor, :class:`Boxes`, :class:`BitMasks`, a list...
    """

    _image_size: tuple[int, int]
    _fields: dict[str, Any]

    def __init__(self, image_size: tuple[int, int], **kwargs: Any) -> None:
        """Starts with the given fields.

        Args:
            image_size: (height, width) of the image in pixels.
            **kwargs: the first fields.
        """
        self._image_size = image_size
        self._fields = {}
        for name, value in kwargs.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return self._image_size

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "image_size":
            raise AttributeError("image_size of Instances is given to its constructor, once")
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not a real attribute. `_fields` itself is missing while an object
        # is being copied or unpickled.
        fields = self.__dict__.get("_fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"Instances has no field '{name}', only {sorted(fields)}")

    def get_fields(self) -> dict[str, Any]:
        """All fields by name: the container's own dictionary, not a copy."""
        return self._fields

    def get(self, name: str) -> Any:
        """The value of a field. Raises KeyError if there is none of that name."""
        return self._fields[name]

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self._fields

    def set(self, name: str, value: Any) -> None:
        """Adds or replaces a field.

        Raises:
            ValueError: ``value`` is not as long as the other fields.
        """
        length = len(value)
        if self._fields and length != len(self):
            raise ValueError(
                f"field '{name}' has {length} entries, but the Instances have {len(self)}"
            )
        self._fields[name] = value

    def remove(self, name: str) -> None:
        """Drops a field. Raises KeyError if there is none of that name."""
        del self._fields[name]

    def _with_fields(self, fields: dict[str, Any]) -> "Instances":
        """A new container of the same image."""
        return Instances(self._image_size, **fields)

    def to(self, *args: Any, **kwargs: Any) -> "Instances":
        """A new container in which every field that has ``.to(...)`` was sent through it."""
        return self._with_fields(
            {
                name: value.to(*args, **kwargs) if hasattr(value, "to") else value
                for name, value in self._fields.items()
            }
        )

    def __getitem__(self, item: int | slice | torch.Tensor) -> "Instances":
        """Selects objects in every field.

        Args:
            item: an int (gives a container with one object), a slice, a bool mask or a tensor of
                indices.

        Raises:
            IndexError: an int outside of the range.
        """
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError(f"index {item} is out of range for {len(self)} Instances")
            item = slice(item, item + 1 or None)
        return self._with_fields(
            {name: _select(value, item) for name, value in self._fields.items()}
        )

    def __len__(self) -> int:
        for value in self._fields.values():
            # Not len(), which makes a number of what a trace follows.
            return value.__len__()
        raise NotImplementedError("Instances without any field have no length")

    def __iter__(self) -> Any:
        raise NotImplementedError(
            "Instances cannot be iterated: loop over range(len(instances)) or over one field"
        )

    @staticmethod
    def cat(instance_lists: Sequence["Instances"]) -> "Instances":
        """Joins the objects of several containers of the same image.

        Args:
            instance_lists: at least one container; all with the fields of the first.

        Returns:
            The joined container (the given one itself, if there is only one).

        Raises:
            ValueError: an empty list, different image sizes, or a field that cannot be joined.
            TypeError: an element is not an Instances object.
            KeyError: a field of the first container is missing in another.
        """
        if len(instance_lists) == 0:
            raise ValueError("Instances.cat needs at least one Instances object")
        for part in instance_lists:
            if not isinstance(part, Instances):
                raise TypeError(f"Instances.cat expects Instances, got a {type(part).__name__}")
        first = instance_lists[0]
        if len(instance_lists) == 1:
            return first
        sizes = {tuple(part.image_size) for part in instance_lists}
        # In a trace, sizes are tensors, which are never equal.
        if len(sizes) > 1 and not torch.jit.is_tracing():
            raise ValueError(f"Instances.cat needs one image size, got {sorted(sizes)}")
        return first._with_fields(
            {
                name: _join(name, [part.get(name) for part in instance_lists])
                for name in first.get_fields()
            }
        )

    def __str__(self) -> str:
        count = len(self) if self._fields else 0
        fields = ", ".join(f"{name}: {value}" for name, value in self._fields.items())
        height, width = self._image_size
        return (
            f"Instances(num_instances={count}, image_height={height}, image_width={width}, "
            f"fields=[{fields}])"
        )

    __repr__ = __str__


def _select(value: Any, item: Any) -> Any:
    """``value[item]``, also where ``value`` is a list and ``item`` a mask or a list of indices."""
    if not isinstance(value, (list, tuple)) or isinstance(item, slice):
        return value[item]
    chosen = torch.as_tensor(item)
    if chosen.dtype == torch.bool:
        if len(chosen) != len(value):
            raise IndexError(f"a mask of length {len(chosen)} cannot select from {len(value)}")
        chosen = chosen.nonzero().flatten()
    return type(value)([value[index] for index in chosen.tolist()])


def _join(name: str, values: list[Any]) -> Any:
    """One field's values of several containers, one after the other."""
    first = values[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(values, dim=0)
    if isinstance(first, list):
        return list(itertools.chain.from_iterable(values))
    if hasattr(type(first), "cat"):
        return type(first).cat(values)
    raise ValueError(
        f"field '{name}' cannot be joined: a {type(first).__name__} is neither a tensor nor a "
        "list, and has no cat()"
    )
