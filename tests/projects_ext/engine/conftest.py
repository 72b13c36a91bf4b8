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
