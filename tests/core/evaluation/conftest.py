"""Data sets registered for the length of one test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """``register(dicts, **metadata)`` gives the name of a new data set."""
    names: list[str] = []

    def add(dicts: list[dict[str, Any]], **metadata: Any) -> str:
        name = f"test_evaluation_{len(names)}"
        DatasetCatalog.register(name, lambda: dicts)
        names.append(name)
        MetadataCatalog.get(name).set(**metadata)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
