"""Fixtures of the engine's tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data(shapes: Path) -> list[str]:
    """The keys that point a YAML config to the small shapes data set, on the CPU."""
    keys = ["MODEL.DEVICE=cpu", "DATALOADER.NUM_WORKERS=0"]
    for part in ("train", "val"):
        key = f"DATASETS.COCO_FORMAT.{part.upper()}"
        keys.append(f"{key}_JSON={shapes / 'annotations' / f'instances_{part}.json'}")
        keys.append(f"{key}_IMAGES={shapes / part}")
    return keys


@pytest.fixture(scope="session")
def shapes_keys(shapes: Path) -> list[str]:
    """The keys that point the YAML config to the small shapes data set."""
    keys = []
    for part in ("train", "val"):
        key = f"DATASETS.COCO_FORMAT.{part.upper()}"
        keys += [f"{key}_JSON", str(shapes / "annotations" / f"instances_{part}.json")]
        keys += [f"{key}_IMAGES", str(shapes / part)]
    return keys
