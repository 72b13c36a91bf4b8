"""The measured metrics as a file, with all that is needed to trust or repeat them."""

import json
import logging
import math
import platform
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import torchvision

import detectron2
from detectron2.utils import comm
from projects_ext.checkpoint.hashing import file_hash
from projects_ext.checkpoint.writing import write_whole

from .settings import Settings

logger = logging.getLogger("detectron2.projects_ext")

FILE_NAME = "evaluation.json"


def write_results(
    settings: Settings,
    arguments: Namespace,
    metrics: Mapping[str, Any],
    checkpoint: str,
    missing: Sequence[str] = (),
) -> Path | None:
    """Write ``evaluation.json`` into the output folder (main process only) and return its path.

    It holds the metrics, the checkpoint with its SHA-256, the config file with its overrides, the
    versions and the date, and which entries of the model had no weights (``missing``) and were
    random; the whole resolved config lies beside it as ``config.yaml``.
    """
    if not comm.is_main_process():
        return None
    content = {
        "metrics": _finite_or_null(metrics),
        "checkpoint": {"file": checkpoint, "sha256": file_hash(checkpoint)},
        "missing_weights": {"count": len(missing), "entries": list(missing)},
        "config": {
            "file": arguments.config_file,
            "overrides": arguments.opts,
            "resolved": "config.yaml",
        },
        "versions": {
            "detectron2": f"{getattr(detectron2, '__implementation__', 'upstream')} "
            f"{detectron2.__version__}",
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "python": platform.python_version(),
        },
        "device": settings.device,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    path = Path(settings.output_dir) / FILE_NAME
    text = json.dumps(content, indent=2) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
    logger.info(f"Metrics, config and checkpoint hash written to {path}")
    return path


def _finite_or_null(value: Any) -> Any:
    """JSON has no NaN: a metric without a value (a class without ground truth) becomes null."""
    if isinstance(value, Mapping):
        return {key: _finite_or_null(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
