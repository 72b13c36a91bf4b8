"""The two global catalogs: how to load a data set, and what is known about it."""

from __future__ import annotations

import difflib
import types
from collections import UserDict
from collections.abc import Callable
from typing import Any

from detectron2.utils.logger import log_first_n  # noqa: F401

__all__ = ["DatasetCatalog", "Metadata", "MetadataCatalog"]


class _DatasetCatalog(UserDict):
    """Maps the name of a data set to a function that returns its list of dictionaries.

    The function takes no arguments and has to return the same data in the same order at every
    call. What the dictionaries hold is up to the code that reads them; the loaders and mappers of
    this package expect the standard fields (``file_name``, ``height``, ``width``, ``image_id``,
    ``annotations``, ``sem_seg_file_name``).
    """

    def register(self, name: str, func: Callable[[], Any]) -> None:
        """Enter ``func`` under ``name``; a name can be given only once."""
        assert callable(func), (
            f"Dataset '{name}' has to be registered with a function that loads it, not with "
            f"a {type(func).__name__}."
        )
        assert name not in self.data, (
            f"Dataset '{name}' is already registered; call DatasetCatalog.remove('{name}') first "
            "to replace it."
        )
        self.data[name] = func

    def get(self, name: str) -> Any:  # type: ignore[override]
        """Call the function registered as ``name`` and return what it returns.

        Raises:
            KeyError: if the name is unknown; the message lists the known ones.
        """
        func = self.data.get(name)
        if func is None:
            raise KeyError(_unknown_name(name, self.list()))
        return func()

    def list(self) -> list[str]:
        """All registered names, in the order of registration."""
        return [*self.data]

    def remove(self, name: str) -> None:
        """Forget the data set ``name``."""
        del self.data[name]

    def __repr__(self) -> str:
        return f"DatasetCatalog(registered datasets: {', '.join(self.data)})"

    __str__ = __repr__


def _unknown_name(name: str, known: list[str]) -> str:
    similar = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean '{similar[0]}'?" if similar else ""
    listing = ", ".join(known) or "none"
    return f"Dataset '{name}' is not registered!{hint} Available datasets are: {listing}"


class Metadata(types.SimpleNamespace):
    """What is known about one data set, as attributes: class names, colours, evaluator type, ...

    An attribute can be set once; setting it again is allowed only with an equal value, so that
    two pieces of code can never silently disagree about a data set.
    """

    name: str = "N/A"

    def __getattr__(self, key: str) -> Any:
        owner = f"Attribute '{key}' does not exist in the metadata of dataset '{self.name}'"
        if len(vars(self)) <= 1:
            raise AttributeError(f"{owner}: metadata is empty.")
        raise AttributeError(f"{owner}. Available keys are {', '.join(vars(self))}.")

    def __setattr__(self, key: str, val: Any) -> None:
        known = vars(self)
        assert key not in known or known[key] == val, (
            f"Attribute '{key}' in the metadata of '{self.name}' cannot be set to a different "
            f"value: it is {known[key]!r}, the new one is {val!r}."
        )
        super().__setattr__(key, val)

    def as_dict(self) -> dict[str, Any]:
        """All attributes as a new dictionary; changing it does not change the metadata."""
        return dict(vars(self))

    def set(self, **kwargs: Any) -> Metadata:
        """Set several attributes; returns the object itself, so that calls can be chained."""
        for key in kwargs:
            setattr(self, key, kwargs[key])
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute ``key``, or ``default`` where it was never set."""
        return vars(self).get(key, default)


class _MetadataCatalog(UserDict):
    """Maps the name of a data set to its :class:`Metadata`, made at the first request."""

    def get(self, name: str) -> Metadata:  # type: ignore[override]
        """The metadata of ``name``: one and the same object at every call."""
        assert name, "The metadata of a data set can be asked only by a non-empty name."
        return self.data.setdefault(name, Metadata(name=name))

    def list(self) -> list[str]:
        """Names of all data sets that have metadata."""
        return [*self.data]

    def remove(self, name: str) -> None:
        """Forget everything known about ``name``."""
        del self.data[name]

    def __repr__(self) -> str:
        return f"MetadataCatalog(registered metadata: {', '.join(self.data)})"

    __str__ = __repr__


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
