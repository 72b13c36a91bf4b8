"""Logging set-up for terminal and files, rate-limited log calls, and a one-row table."""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Any

import torch
from tabulate import tabulate
from termcolor import colored

from detectron2.utils.unavailable import INTERNALS, unavailable

from .file_io import PathManager

__all__ = [
    "create_small_table",
    "log_every_n",
    "log_every_n_seconds",
    "log_first_n",
    "setup_logger",
]

_DATE_FORMAT = "%m/%d %H:%M:%S"
_PLAIN_FORMAT = "[%(asctime)s] %(name)s %(levelname)s: %(message)s"


class _TerminalFormatter(logging.Formatter):
    """Coloured lines; names below the root logger begin abbreviated, and warnings stand out."""

    def __init__(self, root_name: str, abbreviation: str) -> None:
        prefix = colored("[%(asctime)s %(name)s]: ", "green")
        super().__init__(prefix + "%(message)s", datefmt=_DATE_FORMAT)
        self._root_name, self._abbreviation = root_name, abbreviation

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of ``record``, headed by its level from WARNING on."""
        full_name = record.name
        if full_name.startswith(f"{self._root_name}."):
            record.name = self._abbreviation + full_name[len(self._root_name) :]
        try:
            line = super().formatMessage(record)
        finally:
            record.name = full_name  # other handlers see the same record
        if record.levelno >= logging.ERROR:
            return f"{colored(record.levelname, 'red', attrs=['underline'])} {line}"
        if record.levelno >= logging.WARNING:
            return f"{colored(record.levelname, 'red')} {line}"
        return line


class _TerminalHandler(logging.StreamHandler):
    """Writes to whatever ``sys.stdout`` is at the time, which tests and notebooks replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The current standard output."""
        return sys.stdout


def _log_file(output: str, rank: int) -> str:
    is_file = output.endswith((".txt", ".log"))
    path = output if is_file else os.path.join(output, "log.txt")
    return path if rank == 0 else f"{path}.rank{rank}"


def _add_file_handler(logger: logging.Logger, path: str) -> None:
    absolute = os.path.abspath(path)
    handlers = [each for each in logger.handlers if isinstance(each, logging.FileHandler)]
    if any(each.baseFilename == absolute for each in handlers):
        return
    PathManager.mkdirs(os.path.dirname(absolute))
    handler = logging.FileHandler(absolute, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_PLAIN_FORMAT, datefmt=_DATE_FORMAT))
    logger.addHandler(handler)


def setup_logger(
    output: str | os.PathLike[str] | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "detectron2",
    abbrev_name: str | None = None,
    enable_propagation: bool = False,
    configure_stdout: bool = True,
) -> logging.Logger:
    """Let the logger ``name`` write to the terminal (rank 0 only) and to a file, from DEBUG on.

    Calling it again adds only what is new, so that no line is ever written twice.

    Args:
        output: a ``.txt`` or ``.log`` file, or a folder for ``log.txt``; ranks above 0 append
            ``.rankN``. None: no file.
        distributed_rank: this process's rank.
        color: colour the terminal's lines.
        name: the logger's (root) name.
        abbrev_name: what stands for ``name`` in the terminal; "d2" for "detectron2".
        enable_propagation: let the parents' handlers see the records too.
        configure_stdout: write to the terminal at all.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    has_terminal = any(isinstance(handler, _TerminalHandler) for handler in logger.handlers)
    if configure_stdout and distributed_rank == 0 and not has_terminal:
        handler = _TerminalHandler()
        handler.setFormatter(
            _TerminalFormatter(name, abbrev_name or ("d2" if name == "detectron2" else name))
            if color
            else logging.Formatter(_PLAIN_FORMAT, datefmt=_DATE_FORMAT)
        )
        logger.addHandler(handler)
    if output is not None:
        _add_file_handler(logger, _log_file(os.fspath(output), distributed_rank))
    return logger


_CallSite = tuple[str, int, str]
_CALLS: Counter[tuple[Any, ...]] = Counter()
_LAST_TIMES: dict[tuple[Any, ...], float] = {}


def _call_site() -> tuple[str, _CallSite]:
    """Module name and place of the nearest caller outside this file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is None:
        return "detectron2", ("", 0, "")
    module = frame.f_globals.get("__name__", "__main__")
    # The main program logs under the library's name: that logger has the handlers.
    name = "detectron2" if module == "__main__" else module
    return name, (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def log_first_n(
    lvl: int,
    msg: str,
    n: int = 1,
    *,
    name: str | None = None,
    key: str | tuple[str, ...] = "caller",
) -> None:
    """Log the first ``n`` calls only.

    Args:
        lvl: level, e.g. ``logging.WARNING``.
        msg: what to log.
        n: how many times.
        name: the logger; by default the caller's module.
        key: what makes two calls the same: "caller" (the line of code), "message", or both in a
            tuple.
    """
    module, site = _call_site()
    keys = (key,) if isinstance(key, str) else key
    if not keys or not set(keys) <= {"caller", "message"}:
        raise ValueError(f"log_first_n counts by 'caller', 'message' or both, not by {key!r}.")
    identity = (site if "caller" in keys else None, msg if "message" in keys else None)
    _CALLS[identity] += 1
    if _CALLS[identity] <= n:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n(lvl: int, msg: str, n: int = 1, *, name: str | None = None) -> None:
    """Log the first of every ``n`` calls from the same line of code."""
    module, site = _call_site()
    _CALLS[("every", site)] += 1
    if n == 1 or _CALLS[("every", site)] % n == 1:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n_seconds(lvl: int, msg: str, n: float = 1, *, name: str | None = None) -> None:
    """Log unless the same line of code has logged less than ``n`` seconds ago."""
    module, site = _call_site()
    now = time.monotonic()
    last = _LAST_TIMES.get(site)
    if last is None or now - last >= n:
        logging.getLogger(name or module).log(lvl, msg)
        _LAST_TIMES[site] = now


def create_small_table(small_dict: Mapping[str, Any]) -> str:
    """A table with the names in one row and their values (3 decimals) in a second."""
    return tabulate(
        [list(small_dict.values())],
        headers=list(small_dict),
        tablefmt="pipe",
        floatfmt=".3f",
        stralign="center",
        numalign="center",
    )


(_cached_log_stream, _get_log_stream_buffer_size) = unavailable(
    __name__, INTERNALS, "_cached_log_stream _get_log_stream_buffer_size"
)


def _log_api_usage(identifier: str) -> None:
    """Tell PyTorch's usage log, which does nothing by default, that a component is used."""
    torch._C._log_api_usage_once(f"detectron2.{identifier}")


# Upstream's names.
_ColorfulFormatter, _find_caller = _TerminalFormatter, _call_site
_LOG_COUNTER, _LOG_TIMER = _CALLS, _LAST_TIMES
D2_LOG_BUFFER_SIZE_KEY, DEFAULT_LOG_BUFFER_SIZE = "D2_LOG_BUFFER_SIZE", 1024 * 1024
