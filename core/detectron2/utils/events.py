"""What training code reports (``EventStorage``) and the writers that take it from there."""

import datetime
import json
import logging
import os
import time
from collections import defaultdict
from functools import cached_property
from typing import Any

import torch

from ._event_storage import (
    _CURRENT_STORAGE_STACK,  # noqa: F401
    EventStorage,
    get_event_storage,
    has_event_storage,
)
from .file_io import PathManager

__all__ = [
    "CommonMetricPrinter",
    "EventStorage",
    "EventWriter",
    "JSONWriter",
    "TensorboardXWriter",
    "get_event_storage",
    "has_event_storage",
]


class EventWriter:
    """Shows or stores what ``get_event_storage()`` holds. Base class."""

    def write(self) -> None:
        """Take what is new from the current storage."""
        raise NotImplementedError(f"{type(self).__name__} has to define write().")

    def close(self) -> None:
        """Finish the output; nothing is written afterwards."""


class JSONWriter(EventWriter):
    """Appends scalars to a file: one JSON object a line, one line an iteration."""

    def __init__(self, json_file: str | os.PathLike[str], window_size: int = 20) -> None:
        """Open the file for appending, so that a resumed training continues it.

        Args:
            json_file: path.
            window_size: iterations over which smoothed scalars take their median.
        """
        self._file = PathManager.open(os.fspath(json_file), "a")
        self._window_size = window_size
        self._last_write = -1

    def write(self) -> None:
        """Append the scalars of the iterations since the last call."""
        scalars = get_event_storage().latest_with_smoothing_hint(self._window_size)
        lines: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in scalars.items():
            if iteration > self._last_write:
                lines[iteration][name] = value
        for iteration in sorted(lines):
            self._file.write(
                json.dumps(lines[iteration] | {"iteration": iteration}, sort_keys=True)
            )
            self._file.write("\n")
            self._last_write = iteration
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorboardXWriter(EventWriter):
    """Writes scalars, images and histograms for TensorBoard."""

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs: Any) -> None:
        """Remember where to write; TensorBoard is imported at the first write.

        Args:
            log_dir: folder of the event files.
            window_size: iterations over which smoothed scalars take their median.
            kwargs: further arguments of ``torch.utils.tensorboard.SummaryWriter``.
        """
        self._window_size = window_size
        self._writer_args: dict[str, Any] = {"log_dir": log_dir, **kwargs}
        self._last_write = -1

    @cached_property
    def _writer(self) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorboardXWriter needs the package 'tensorboard': install it, or leave the "
                "writer out."
            ) from error
        return SummaryWriter(**self._writer_args)

    def write(self) -> None:
        """Write the scalars since the last call, and all pending images and histograms."""
        storage = get_event_storage()
        newest = self._last_write
        for name, (value, step) in storage.latest_with_smoothing_hint(self._window_size).items():
            if step > self._last_write:
                self._writer.add_scalar(name, value, step)
                newest = max(newest, step)
        self._last_write = newest
        for title, image, step in storage._vis_data:
            self._writer.add_image(title, image, step)
        for histogram in storage._histograms:
            self._writer.add_histogram_raw(**histogram)
        storage.clear_images()
        storage.clear_histograms()

    def close(self) -> None:
        """Close the event file, where one was begun."""
        if "_writer" in vars(self):
            self._writer.close()


class CommonMetricPrinter(EventWriter):
    """Logs one line: time left, iteration, losses, times, learning rate, GPU memory.

    Besides scalars with "loss" in their names it shows those with "[metric]" in them.
    """

    def __init__(self, max_iter: int | None = None, window_size: int = 20) -> None:
        """Prepare the printer.

        Args:
            max_iter: the training's length, for the time left; None shows none.
            window_size: iterations over which losses take their median.
        """
        self.logger = logging.getLogger("detectron2.utils.events")
        self._max_iter = max_iter
        self._window_size = window_size
        # Iteration and time of the last line: the estimate where "time" is not reported.
        self._last_write: tuple[int, float] | None = None

    def _get_eta(self, storage: EventStorage) -> str | None:
        """The time left as text; None where it cannot be known."""
        if self._max_iter is None:
            return None
        iterations_left = self._max_iter - storage.iter - 1
        if "time" in storage.histories():
            seconds = float(storage.history("time").median(1000)) * iterations_left
            storage.put_scalar("eta_seconds", seconds, smoothing_hint=False)
            return str(datetime.timedelta(seconds=int(seconds)))
        now, before = time.perf_counter(), self._last_write
        self._last_write = (storage.iter, now)
        if before is None or storage.iter == before[0]:
            return None
        seconds = (now - before[1]) / (storage.iter - before[0]) * iterations_left
        return str(datetime.timedelta(seconds=int(seconds)))

    def _medians(self, storage: EventStorage, part: str) -> str:
        return "  ".join(
            f"{name}: {history.median(storage.count_samples(name, self._window_size)):.4g}"
            for name, history in storage.histories().items()
            if part in name
        )

    def _times(self, storage: EventStorage) -> str:
        known = storage.histories()
        text = ""
        if "time" in known:
            history = known["time"]
            text += f"time: {history.global_avg():.4f}  last_time: {history.latest():.4f}  "
        if "data_time" in known:
            history = known["data_time"]
            mean = history.avg(storage.count_samples("data_time", self._window_size))
            text += f"data_time: {mean:.4f}  last_data_time: {history.latest():.4f}  "
        return text

    def write(self) -> None:
        """Log the line; nothing at the very end, which the training loop reports."""
        storage = get_event_storage()
        if storage.iter == self._max_iter:
            return
        eta = self._get_eta(storage)
        known = storage.histories()
        fields = [
            f"eta: {eta}" if eta else "",
            f"iter: {storage.iter}",
            self._medians(storage, "loss"),
            self._medians(storage, "[metric]"),
            self._times(storage)
            + "lr: "
            + (f"{known['lr'].latest():.5g}" if "lr" in known else "N/A"),
        ]
        if torch.cuda.is_available():
            fields.append(f"max_mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}M")
        self.logger.info(" " + "  ".join(field for field in fields if field))
