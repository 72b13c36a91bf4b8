"""A data set of four small images with label maps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from tests.semantic_trees import blocks, write_image, write_png

CLASSES = ["sky", "road", "car"]


def logits(labels: np.ndarray, classes: int = 3) -> torch.Tensor:
    """Scores (classes, H, W) of which the highest is that of the label; 255 becomes 0."""
    known = torch.from_numpy(np.where(labels == 255, 0, labels).astype(np.int64))
    return torch.nn.functional.one_hot(known, classes).permute(2, 0, 1).float()


def spoiled(labels: np.ndarray, share: float) -> np.ndarray:
    """Labels of which the first rows are one class further."""
    wrong = np.where(labels == 255, 0, labels).astype(np.uint8)
    rows = round(share * len(labels))
    wrong[:rows] = (wrong[:rows] + 1) % len(CLASSES)
    return wrong


def semantic_records(folder: Path, count: int = 4) -> list[dict[str, Any]]:
    """Write the files and return their records, with the labels under "labels"."""
    records = []
    for index in range(count):
        labels = blocks([0, 1, 2, 255], index)
        write_image(folder / f"images/{index}.jpg", index)
        write_png(folder / f"labels/{index}.png", labels)
        records.append(
            {
                "file_name": str(folder / f"images/{index}.jpg"),
                "sem_seg_file_name": str(folder / f"labels/{index}.png"),
                "labels": labels,
            }
        )
    return records


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """``register(records, **metadata)`` gives the name of a data set that the test alone has."""
    names: list[str] = []

    def add(records: list[dict[str, Any]], **metadata: Any) -> str:
        name = f"test_semantic_{len(names)}"
        DatasetCatalog.register(name, lambda: records)
        names.append(name)
        MetadataCatalog.get(name).set(**{"stuff_classes": CLASSES, **metadata})
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
