"""Weights of published experiments: downloaded once, and checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import urlopen

from iopath.common.file_io import get_cache_dir

from detectron2.utils.file_io import PathManager
from projects_ext.checkpoint.hashing import file_hash
from projects_ext.errors import UserError

from .experiments import Experiment

SECONDS_TO_ANSWER = 30


def cached_path(address: str) -> Path:
    """Where iopath keeps what it has downloaded from ``address``, below ``$FVCORE_CACHE``."""
    return Path(get_cache_dir()) / urlparse(address).path.lstrip("/")


def fetch(experiment: Experiment, instead: str = "--weights FILE") -> str:
    """The path of the weights; they are downloaded, with a progress bar, if they are not there.

    Args:
        experiment: one of the zoo.
        instead: how a file is given in place of them, for messages.

    Raises:
        UserError: the file is no longer published, cannot be fetched, or is not the published one.
    """
    if not experiment.address:
        raise UserError(
            f"{experiment.source} no longer publishes the weights of {experiment.name}: if you "
            f"have the file, add {instead}"
        )
    address, place = experiment.address, cached_path(experiment.address)
    if not place.is_file():
        try:
            with urlopen(address, timeout=SECONDS_TO_ANSWER), _errors_said_once():
                PathManager.get_local_path(address)
        except OSError as error:
            raise UserError(
                f"{address} cannot be fetched ({error}): check the network, or bring the file from "
                f"elsewhere and put it at {place} (or anywhere, with {instead})"
            ) from error
    if not is_published(experiment, str(place)):
        raise UserError(
            f"{place} is damaged or another file: its SHA-256 does not start with "
            f"{experiment.hash_prefix}, as that of {address} does; delete it and start again"
        )
    return str(place)


def is_published(experiment: Experiment, path: str) -> bool:
    """Whether a file is the one that was published, by its hash."""
    return bool(experiment.hash_prefix) and file_hash(path).startswith(experiment.hash_prefix)


@contextmanager
def _errors_said_once() -> Iterator[None]:
    """Within, iopath does not log the failures that it raises, too."""
    logger = getLogger("iopath.common.download")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
