"""Files under local paths, web addresses and ``detectron2://``."""

from typing import IO, Any

from iopath.common.file_io import HTTPURLHandler, OneDrivePathHandler, PathHandler
from iopath.common.file_io import PathManager as PathManagerBase

__all__ = ["PathHandler", "PathManager"]

PathManager = PathManagerBase()
"""The library's own path manager: handlers that a program registers here affect nothing else."""


class Detectron2Handler(PathHandler):
    """``detectron2://NAME`` is the file NAME of Detectron2's public model zoo.

    Files are downloaded once, into iopath's cache folder (``$FVCORE_CACHE``).
    """

    PREFIX = "detectron2://"
    ADDRESS = "https://dl.fbaipublicfiles.com/detectron2/"

    def _get_supported_prefixes(self) -> list[str]:
        return [self.PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        address = self.ADDRESS + path.removeprefix(self.PREFIX)
        return PathManager.get_local_path(address, force=force, **kwargs)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        if "w" in mode or "a" in mode or "+" in mode:
            raise OSError(f"{path} cannot be written: the model zoo is read-only.")
        return open(self._get_local_path(path), mode, buffering, **kwargs)


for _handler in (HTTPURLHandler(), OneDrivePathHandler(), Detectron2Handler()):
    PathManager.register_handler(_handler)
