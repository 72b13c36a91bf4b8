"""``zoo://NAME``: the weights of a published experiment wherever a path can stand."""

from pathlib import Path
from typing import IO, Any

from iopath.common.file_io import PathHandler

from detectron2.utils.file_io import PathManager

from .configs import config_folder
from .download import fetch
from .experiments import Experiment, experiments, find

SCHEME = "zoo://"
_INSTEAD = "train.init_checkpoint=FILE"


class ZooHandler(PathHandler):
    """Downloads weights when their name is used, and checks them."""

    def _get_supported_prefixes(self) -> list[str]:
        return [SCHEME]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return fetch(find(path.removeprefix(SCHEME)), instead=_INSTEAD)

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        return Path(self._get_local_path(path)).is_file()

    _exists = _isfile

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        return open(self._get_local_path(path), mode, buffering)


def register_scheme() -> None:
    """Make the scheme known to Detectron2's PathManager; twice is harmless."""
    PathManager.register_handler(ZooHandler(), allow_override=True)


def experiment_of(config_file: str) -> Experiment | None:
    """The published experiment whose config a file is, if any."""
    try:
        path = Path(config_file).resolve().relative_to(config_folder().resolve())
    except ValueError:
        return None
    return experiments().get(path.with_suffix("").as_posix())
