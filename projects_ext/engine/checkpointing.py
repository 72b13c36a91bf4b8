"""Checkpoints that are there whole or not at all, and from which only the same model resumes."""

import errno
import os
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detectron2.checkpoint import DetectionCheckpointer
from projects_ext.checkpoint.class_order import same_names
from projects_ext.checkpoint.conventions import INPUT_KEY, describe_input
from projects_ext.checkpoint.detectron2_names import CLASSES_KEY
from projects_ext.checkpoint.files import read_file
from projects_ext.checkpoint.key_map import Target
from projects_ext.checkpoint.values import require_finite_state, require_usable_values
from projects_ext.checkpoint.writing import UNFINISHED, write_whole
from projects_ext.errors import MissingFileError, NonFiniteError, UserError, user_errors

from .ema import CHECKPOINT_KEY
from .faults import EXHAUSTED
from .resuming import as_initial_weights, not_continuable, require_whole_state


class AtomicCheckpointer(DetectionCheckpointer):
    """DetectionCheckpointer for training: a full disk, a kill or NaN cost no earlier checkpoint.

    A checkpoint is written beside its place, forced to the disk and renamed; only then it becomes
    the last one. Weights that are infinite or NaN are not saved.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        classes: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Track a model and other objects with a state.

        Args:
            model: the model, wrapped in DistributedDataParallel or not.
            save_dir: where checkpoints are saved and looked for.
            classes: the names of the model's classes in order, which checkpoints carry; None if
                nobody knows.
            options: of DetectionCheckpointer.
        """
        super().__init__(model, save_dir, **options)
        self.classes = list(classes or ())

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``name.pth`` into the output folder and make it the last checkpoint.

        Args:
            name: file name without ``.pth``.
            kwargs: further values to store, e.g. ``iteration=99``.

        Raises:
            NonFiniteError: a weight is infinite or NaN.
            UserError: the file cannot be written, e.g. because the disk is full.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        require_finite_weights(self.model, f"{name}.pth is not saved")
        content: dict[str, Any] = {"model": self.model.state_dict()}
        seen = describe_input(self.model)
        if seen is not None:
            content[INPUT_KEY] = seen
        if self.classes:
            content[CLASSES_KEY] = self.classes
        for key, tracked in self.checkpointables.items():
            content[key] = _plain(tracked.state_dict())
        content.update(_plain(kwargs))
        folder = Path(self.save_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in folder.glob(f"*{UNFINISHED}"):
            left_by_a_kill.unlink()
        path = folder / f"{name}.pth"
        self.logger.info(f"Saving checkpoint to {path}")
        try:
            write_whole(path, lambda file: torch.save(content, file))
            self.tag_last_checkpoint(path.name)
        except OSError as error:
            raise UserError(self._not_written(path, error)) from error

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Write the name into the file ``last_checkpoint``."""
        name = last_filename_basename.encode()
        write_whole(Path(self.save_dir) / "last_checkpoint", lambda file: file.write(name))

    def _not_written(self, path: Path, error: OSError) -> str:
        last = self.get_checkpoint_file() if self.has_checkpoint() else ""
        remedy = f"{last} is whole, go on from it with --resume" if last else "then start again"
        room = EXHAUSTED[errno.EFBIG] if error.errno == errno.EFBIG else "make room there"
        return f"{path} could not be written ({error.strerror or error}): {room}; {remedy}"

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Load everything of the last checkpoint, or the weights of ``path`` if there is none.

        Raises:
            UserError: the last checkpoint is missing or damaged, or holds another model or
                optimiser than this one.
        """
        if not (resume and self.has_checkpoint()):
            return super().resume_or_load(path, resume=False)
        file = self.get_checkpoint_file()
        if not os.path.isfile(file):
            others = sorted(entry.name for entry in Path(self.save_dir).glob("*.pth"))
            there = f"write one of {', '.join(others)} into it" if others else "start without it"
            raise MissingFileError(
                f"--resume: {self.save_dir}/last_checkpoint names {os.path.basename(file)}, which "
                f"is not there: {there}"
            )
        try:
            with user_errors((ValueError,), where=f"--resume: {file} does not fit the config"):
                return self.load(file)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            # The state of a hook, whose form is the hook's own affair.
            cause = f"an entry {error}" if isinstance(error, KeyError) else str(error)
            what = "lacks" if isinstance(error, KeyError) else "is of another form:"
            raise not_continuable(file, f"the state of its run {what} {cause}") from error

    def _load_file(self, filename: str) -> dict[str, Any]:
        """The file's content, read without running code in it."""
        with user_errors(where="--resume"):
            content = read_file(filename)
        # An average begins anew where there is none; the iteration, the optimizer cannot.
        needed = {"model", *self.checkpointables} - {CHECKPOINT_KEY}
        entries = content.items() if isinstance(content, dict) else ()
        found = {key for key, value in entries if isinstance(value, dict)}
        lacking = sorted(needed - found)
        if lacking:
            raise UserError(
                f"--resume: {filename} is no checkpoint of a training run (it has no "
                f"{', '.join(lacking)}): give it as initial weights "
                f"{as_initial_weights(filename)}"
            )
        tracked = {key: self.checkpointables[key] for key in needed - {"model"}}
        require_whole_state(content, tracked, filename)
        return content

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        """Load the weights, after a check that they are this model's and can be resumed from."""
        file, own = self.get_checkpoint_file(), Target(self.model).state
        weights = checkpoint["model"]
        differences = list(_differences(weights, own))
        if differences:
            more = f" ({len(differences) - 1} more differ)" if len(differences) > 1 else ""
            raise UserError(
                f"--resume: {file} holds another model than the config "
                f"describes: {differences[0]}{more}; give the config that it was trained with, or "
                "another output folder (train.output_dir; YAML: OUTPUT_DIR)"
            )
        self._require_same_classes(checkpoint.get(CLASSES_KEY), file)
        with user_errors(where="--resume"):
            require_usable_values(
                {name: weights[name] for name in own if name in weights}, own, file
            )
            states = {key: checkpoint[key] for key in self.checkpointables if key in checkpoint}
            require_finite_state(states, file)
        return super()._load_model(checkpoint)

    def _require_same_classes(self, theirs: Any, file: str) -> None:
        """Refuse to continue a run on classes of other names, or in another order."""
        if not theirs or not self.classes or same_names(theirs, self.classes):
            return
        pairs = zip_longest(theirs, self.classes, fillvalue="none")
        place, (there, here) = next(
            (place, pair)
            for place, pair in enumerate(pairs)
            if not same_names(*([x] for x in pair))
        )
        raise UserError(
            f"--resume: {file} was trained on other classes than the data set has, or in another "
            f"order: class {place} is '{there}' there and '{here}' here; give the data set that it "
            f"was trained on, or start another run with these weights "
            f"{as_initial_weights(file)}"
        )


def _differences(theirs: dict[str, Any], own: dict[str, torch.Tensor]) -> Iterable[str]:
    """In what the names and shapes of two state dicts differ; what a model computes is left out."""
    for name in sorted({*theirs, *own}):
        if "cell_anchors" in name or name.startswith("pixel_"):
            continue
        if name not in theirs:
            yield f"it has no {name}"
        elif name not in own:
            yield f"the config's model has no {name}"
        elif theirs[name].shape != own[name].shape:
            shapes = (
                "x".join(map(str, x.shape)) or "one number" for x in (theirs[name], own[name])
            )
            yield f"{name} is {' there and '.join(shapes)} here"


@torch.no_grad()
def require_finite_weights(model: nn.Module, consequence: str) -> None:
    """Refuse weights that are infinite or NaN.

    Args:
        model: the model.
        consequence: what does not happen because of it; the message begins with it.

    Raises:
        NonFiniteError: with the name of the first such weight.
    """
    parameters = dict(model.named_parameters())
    if not parameters:
        return
    sums = torch.stack([p.sum(dtype=torch.float64).cpu() for p in parameters.values()])
    broken = [name for name, total in zip(parameters, sums, strict=True) if not total.isfinite()]
    if broken:
        raise NonFiniteError(
            f"{consequence}: training has diverged and {broken[0]} is not finite; lower the "
            "learning rate (optimizer.lr; YAML: SOLVER.BASE_LR), warm up for longer or clip the "
            "gradient, and go on from the last checkpoint with --resume"
        )


def _plain(value: Any) -> Any:
    """``value`` with Python's numbers in place of NumPy's, which safe loading refuses."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value
