"""Where the answers of the reference implementations lie, and how to read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parent / "data"


def load_golden(name: str) -> Any:
    """The arrays of ``golden/<name>.npz`` as a mapping from field name to array."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {field: file[field] for field in file.files}


def load_golden_json(name: str) -> Any:
    """The content of ``golden/<name>.json``."""
    return json.loads((GOLDEN / f"{name}.json").read_text())
