"""Fixtures of the data tests: catalogs that forget what a test registered, and small images."""

from collections.abc import Iterator

import numpy as np
import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture
def catalogs() -> Iterator[None]:
    """Takes out of both catalogs what the test put in."""
    before = [(catalog, set(catalog.list())) for catalog in (DatasetCatalog, MetadataCatalog)]
    yield
    for catalog, names in before:
        for name in set(catalog.list()) - names:
            catalog.remove(name)


@pytest.fixture
def image() -> np.ndarray:
    """A noisy 97 x 131 RGB image."""
    return np.random.RandomState(0).randint(0, 256, (97, 131, 3)).astype(np.uint8)
