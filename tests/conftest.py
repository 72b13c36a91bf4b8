"""Shared pytest configuration: one thread of arithmetic, and the ``core_only`` marker."""

import pytest
import torch

import detectron2

torch.set_num_threads(1)

CORE_IS_ACTIVE = getattr(detectron2, "__implementation__", "upstream") == "core"


def pytest_report_header() -> str:
    name = "detectron2-core" if CORE_IS_ACTIVE else "upstream Detectron2"
    return f"detectron2: {name} {detectron2.__version__}; torch {torch.__version__}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORE_IS_ACTIVE:
        return
    for item in items:
        marker = item.get_closest_marker("core_only")
        if marker is not None:
            reason = marker.kwargs.get("reason", "about detectron2-core itself")
            item.add_marker(pytest.mark.skip(reason=f"upstream is active: {reason}"))
