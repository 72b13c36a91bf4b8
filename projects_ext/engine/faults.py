"""How a program ends when something outside of its code is wrong: with one sentence."""

import errno
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch.multiprocessing import ProcessExitedException

from projects_ext.errors import UserError

DEBUG_VARIABLE = "PROJECTS_EXT_DEBUG"
"""Set to anything but 0 or nothing, it brings the tracebacks of user errors to the terminal."""

EXHAUSTED = {
    errno.EMFILE: "raise the limit of open files (ulimit -n) or lower num_workers",
    errno.ENFILE: "the whole machine has too many open files; end other programs",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within your quota on the disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}
"""What the system can run out of, by its error number -> what to do."""


class StoppedError(BaseException):
    """The run was asked to stop, and everything is saved that can be.

    No ``Exception``: nothing that copes with errors should hold it up.

    Args:
        sentence: what is saved and how to go on.
        signal_number: of the signal that asked for it.
    """

    def __init__(self, sentence: str, signal_number: int) -> None:
        super().__init__(sentence)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """What shells expect of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal_number


@contextmanager
def one_sentence() -> Iterator[None]:
    """Within, a user error or a stop ends the process with one sentence on stderr.

    The exit code is 1 for an error, 130 after Ctrl-C, 143 after SIGTERM. The traceback goes to the
    log file, if there is one by then; with the environment variable ``PROJECTS_EXT_DEBUG=1`` it
    comes to the terminal as usual. Where this process started others, it is they who say what is
    wrong, each inside a ``one_sentence()`` of its own.
    """
    try:
        with _sigterm_as_exception(), _exhausted_system():
            yield
    except UserError as error:
        if debugging():
            raise
        log_to_files(error)
        sys.stdout.flush()
        print(f"error: {error.sentence}", file=sys.stderr, flush=True)
        sys.exit(1)
    except StoppedError as stop:
        _end(stop)
    except KeyboardInterrupt:
        _end(_interrupted(signal.SIGINT))
    except ProcessExitedException as error:
        # It ended by itself, after its own sentence.
        sys.exit(error.exit_code if error.exit_code > 0 else 1)


@contextmanager
def _exhausted_system() -> Iterator[None]:
    """Within, what the system has run out of is the user's error; it tells by its error number."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        remedy = EXHAUSTED.get(error.errno or 0)
        if remedy is None:
            raise
        file = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{file}{error.strerror}: {remedy}") from error


@contextmanager
def enough_memory() -> Iterator[None]:
    """Within (an iteration), a batch that does not fit into the GPU's memory is a user's error."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            "the GPU's memory is too small for this batch: halve "
            "dataloader.train.total_batch_size and set train.accumulate=2 (YAML: "
            "SOLVER.IMS_PER_BATCH, SOLVER.ACCUMULATE), use mixed precision "
            "(train.amp.enabled=True; SOLVER.AMP.ENABLED True), or recompute the backbone "
            "(train.recompute=True; MODEL.RECOMPUTE True); then continue with --resume"
        ) from error


def _interrupted(number: int) -> StoppedError:
    return StoppedError("interrupted before there was anything to save", number)


def _end(stop: StoppedError) -> None:
    """Leave with the stop's sentence; or wait for the processes that this one has started.

    They save, and say so. Not each of them may have got the signal, but none minds it twice.
    """
    started = [child for child in multiprocessing.active_children() if not child.daemon]
    for child in started:
        if child.pid is not None:
            os.kill(child.pid, stop.signal_number)
    for child in started:
        child.join()
    sys.stdout.flush()
    if str(stop) and not started:
        print(stop, file=sys.stderr, flush=True)
    sys.exit(stop.exit_code)


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Within, where nobody else handles it, SIGTERM raises an exception as Ctrl-C does."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise _interrupted(number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    mine = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def debugging() -> bool:
    """Whether the user wants to see tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def log_to_files(error: BaseException) -> None:
    """Write the traceback to the log files of Detectron2's logger, and not to the terminal."""
    logger = logging.getLogger("detectron2")
    text = "".join(traceback.format_exception(error))
    record = logger.makeRecord(
        "detectron2.projects_ext", logging.ERROR, __file__, 0, text, (), None
    )
    for handler in logger.handlers:
        stream = getattr(handler, "stream", None)
        if stream is not None and stream not in (sys.stdout, sys.stderr):
            handler.handle(record)


class _WithoutUserErrors(logging.Filter):
    """Stops the tracebacks of user errors, which :func:`one_sentence` takes care of."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], UserError))


@contextmanager
def quiet_user_errors() -> Iterator[None]:
    """Within, Detectron2's training loop does not print the traceback of a user error."""
    if debugging():
        yield
        return
    logger, only_others = logging.getLogger("detectron2.engine.train_loop"), _WithoutUserErrors()
    logger.addFilter(only_others)
    try:
        yield
    finally:
        logger.removeFilter(only_others)
