"""Hands what a run records to an experiment tracker."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.engine import HookBase
from projects_ext.errors import UserError

from ..options import EndedEarly
from .trackers import Tracker

RUNS = "tracking.json"
"""In the output folder: by tracker, the id of the run there, which ``--resume`` continues."""


class TrackMetrics(HookBase):
    """Records scalars with a tracker, as ``metrics.json`` has them. For the main process.

    Register it last, so that it also records what the other hooks measured.

    Args:
        tracker: of one service.
        period: iterations between two writes.
        config: of the run, for the tracker's own table.
        folder: the run's output folder.
    """

    def __init__(
        self, tracker: Tracker, period: int, config: Mapping[str, Any], folder: Path
    ) -> None:
        self._tracker, self._period, self._config = tracker, period, config
        self._record = folder / RUNS
        self._last = -1
        self._started = False

    def before_train(self) -> None:
        """Start a run there, or continue the one of a resumed run.

        Raises:
            UserError: the service cannot be reached or does not accept the run.
        """
        known = _read(self._record)
        name = self._tracker.name
        run_id = known.get(name) if self.trainer.start_iter > 0 else None
        self._last = self.trainer.start_iter - 1
        try:
            known[name] = self._tracker.start(self._config, run_id)
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            sentence = f"{name} cannot record this run ({reason}): {self._tracker.remedy}"
            raise UserError(sentence) from error
        self._started = True
        self._record.write_text(json.dumps(known, indent=2) + "\n")

    def after_step(self) -> None:
        """Record when it is time."""
        if (self.trainer.iter + 1) % self._period == 0:
            self._write()

    def after_train(self) -> None:
        """Record the rest, and say how the run ended."""
        if not self._started:
            return
        self._write()
        error = sys.exc_info()[0]
        self._tracker.finish(failed=error is not None and not issubclass(error, EndedEarly))

    def _write(self) -> None:
        by_iteration: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in self.trainer.storage.latest_with_smoothing_hint(20).items():
            if iteration > self._last:
                by_iteration[iteration][name] = value
        for iteration, scalars in sorted(by_iteration.items()):
            self._tracker.log(iteration, scalars)
            self._last = iteration


def _read(record: Path) -> dict[str, str]:
    if not record.is_file():
        return {}
    known: dict[str, str] = json.loads(record.read_text())
    return known
