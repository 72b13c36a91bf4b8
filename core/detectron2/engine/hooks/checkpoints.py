"""Hooks that save checkpoints: the periodic ones, the last one and the best one."""

import math
import re
from pathlib import PurePath
from typing import Literal

import torch
from fvcore.common.checkpoint import Checkpointer
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer

from ..train_loop import HookBase
from ._common import is_due, is_last, logger


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """Saves a checkpoint every ``period`` iterations and ``<file_prefix>_final`` after the last.

    With ``max_to_keep`` only so many periodic checkpoints stay. An old one is deleted after the
    new one is complete on the disk, so a crash or a full disk leaves at least one; those of the
    run that is resumed count too. Arguments as for fvcore's ``PeriodicCheckpointer``.
    """

    def before_train(self) -> None:
        """Learn where training ends, and which checkpoints the resumed run left."""
        self.max_iter = self.trainer.max_iter
        if self.max_to_keep is not None and self.trainer.start_iter > 0:
            self.recent_checkpoints = self._earlier_checkpoints()

    def after_step(self) -> None:
        """Save when it is time."""
        self.step(self.trainer.iter)

    def _earlier_checkpoints(self) -> list[str]:
        """This run's periodic checkpoints of iterations before its start, the oldest first."""
        if not self.path_manager.isdir(self.checkpointer.save_dir):
            return []
        pattern = re.compile(rf"{re.escape(self.file_prefix)}_(\d{{7,}})\.pth")
        found = {}
        for path in self.checkpointer.get_all_checkpoint_files():
            match = pattern.fullmatch(PurePath(path).name)
            if match and int(match[1]) < self.trainer.start_iter:
                found[int(match[1])] = path
        return [found[iteration] for iteration in sorted(found)]


class BestCheckpointer(HookBase):
    """Keeps the checkpoint with the best value of a metric in ``<file_prefix>.pth``.

    Register it after the hook that records the metric (:class:`EvalHook`). Saving the best does not
    change which checkpoint is the last one, from which a run resumes; and a resumed run goes on
    from the best value so far, which is kept in the file itself.

    Args:
        eval_period: look at the metric every so many iterations, as often as it is computed.
        checkpointer: what to save with.
        val_metric: the metric's name in the event storage, e.g. ``"bbox/AP50"``.
        mode: whether ``"max"`` or ``"min"`` is best.
        file_prefix: the file's name without ``.pth``.

    Raises:
        ValueError: if ``mode`` is unknown.
    """

    def __init__(
        self, eval_period: int, checkpointer: Checkpointer, val_metric: str,
        mode: Literal["max", "min"] = "max", file_prefix: str = "model_best",
    ) -> None:  # fmt: skip
        if mode not in ("max", "min"):
            raise ValueError(f"The mode of BestCheckpointer is {mode!r}; it is 'max' or 'min'.")
        self._period, self._val_metric, self._mode = eval_period, val_metric, mode
        self._checkpointer, self._file_prefix = checkpointer, file_prefix
        self.best_metric: float | None = None
        self.best_iter: int | None = None

    def before_train(self) -> None:
        """In a resumed run, read the best value so far from the file."""
        if self.trainer.start_iter == 0 or not self._checkpointer.save_dir:
            return
        path = str(PurePath(self._checkpointer.save_dir) / f"{self._file_prefix}.pth")
        if not self._checkpointer.path_manager.isfile(path):
            return
        local = self._checkpointer.path_manager.get_local_path(path)
        # mmap: the weights in it are not read.
        saved = torch.load(local, map_location="cpu", weights_only=True, mmap=True)
        if saved.get("best_metric_name") == self._val_metric:
            self.best_metric, self.best_iter = saved["best_metric"], saved["iteration"]
            logger.info(
                f"Best {self._val_metric} so far: {self.best_metric:0.5f} "
                f"@ iteration {self.best_iter}, from {path}"
            )

    def after_step(self) -> None:
        """Look at the metric when it is time; after the last iteration :meth:`after_train` does."""
        if is_due(self, self._period) and not is_last(self):
            self._best_checking()

    def after_train(self) -> None:
        """Look at the metric once more, unless training broke off."""
        if is_last(self):
            self._best_checking()

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best_metric is None:
            return True
        return value > self.best_metric if self._mode == "max" else value < self.best_metric

    def _best_checking(self) -> None:
        """Save if the latest value is the best."""
        latest = self.trainer.storage.latest().get(self._val_metric)
        if latest is None:
            logger.warning(
                f"The metric {self._val_metric} has not been recorded, so there is no best "
                f"checkpoint by it yet. Does the evaluation compute it, and before this hook?"
            )
            return
        value, iteration = latest
        if not self._is_better(value):
            logger.info(
                f"{self._val_metric} is {value:0.5f} @ iteration {iteration}, not better than "
                f"{self.best_metric} @ iteration {self.best_iter}: not saved."
            )
            return
        logger.info(
            f"{self._val_metric} is {value:0.5f} @ iteration {iteration}, the best so far "
            f"(before: {self.best_metric} @ iteration {self.best_iter}): saving it."
        )
        self.best_metric, self.best_iter = float(value), iteration
        self._save()

    def _save(self) -> None:
        checkpointer = self._checkpointer
        last = checkpointer.get_checkpoint_file() if checkpointer.has_checkpoint() else ""
        checkpointer.save(
            self._file_prefix,
            iteration=self.best_iter,
            best_metric=self.best_metric,
            best_metric_name=self._val_metric,
        )
        # Saving also marks the file as the last checkpoint; resuming from it would go back in time.
        if last and checkpointer.save_to_disk:
            checkpointer.tag_last_checkpoint(PurePath(last).name)
