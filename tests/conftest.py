"""Shared pytest configuration: one thread, the real data in the repository, the shapes data."""

import importlib.util
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tests.golden_files import DATA

# Read once, when the built-in data sets are registered.
os.environ["DETECTRON2_DATASETS"] = str(DATA)

import pytest
import torch

import detectron2
from detectron2.utils.logger import setup_logger

torch.set_num_threads(1)

# A shell that starts the tests in the background has them ignore Ctrl-C, and the training runs
# that tests start and stop would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
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
            reason = marker.kwargs.get("reason") or (marker.args or ["detectron2-core itself"])[0]
            item.add_marker(pytest.mark.skip(reason=f"upstream is active: {reason}"))


def log_handlers() -> Iterator[tuple[logging.Logger, logging.Handler]]:
    """Every logger with each of its handlers."""
    for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
        for handler in list(getattr(logger, "handlers", ())):
            yield logger, handler


@pytest.fixture(autouse=True)
def logging_ends_with_the_test() -> Iterator[None]:
    """A run's handlers go: they would repeat what later tests log, and fill its log file."""
    before = set(log_handlers())
    yield
    for logger, handler in set(log_handlers()) - before:
        logger.removeHandler(handler)
        handler.close()
    # Upstream adds handlers once for the same arguments.
    getattr(setup_logger, "cache_clear", lambda: None)()


def load_script(path: Path) -> ModuleType:
    """A stand-alone script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def prepare_shapes() -> ModuleType:
    """``datasets/prepare_shapes.py``."""
    return load_script(ROOT / "datasets" / "prepare_shapes.py")


@pytest.fixture(scope="session")
def shapes(prepare_shapes: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shapes data set; tests only read it."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    for seed, (part, count) in enumerate((("train", 10), ("val", 4))):
        prepare_shapes.write_part(root, part, count, seed)
    return root


@pytest.fixture(scope="session")
def shapes_overrides(shapes: Path) -> list[str]:
    """The command-line keys that point a COCO-format config to the small shapes data set."""
    return [
        f"data.{part}_{what}={path}"
        for part in ("train", "val")
        for what, path in (
            ("json", shapes / "annotations" / f"instances_{part}.json"),
            ("images", shapes / part),
        )
    ]


@pytest.fixture
def project_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """``caplog`` with what the project logs, also after a run has cut Detectron2's logger off."""
    logger = logging.getLogger("detectron2.projects_ext")
    propagates, level = logger.propagate, logger.level
    logger.propagate = False  # not twice where it is not cut off
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.propagate = propagates
    logger.setLevel(level)


@pytest.fixture(scope="session")
def shapes_keys(shapes: Path) -> list[str]:
    """The keys that point the YAML config to the small shapes data set."""
    keys = []
    for part in ("train", "val"):
        key = f"DATASETS.COCO_FORMAT.{part.upper()}"
        keys += [f"{key}_JSON", str(shapes / "annotations" / f"instances_{part}.json")]
        keys += [f"{key}_IMAGES", str(shapes / part)]
    return keys
