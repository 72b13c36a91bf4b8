"""What ``--resume`` continues from: refused where it would begin anew or with a broken state."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from projects_ext.errors import UserError

from .output_folder import KEYS

_OPTIONAL = ("hooks", "grad_scaler")
"""Parts of a run's state that come and go with the config; whoever lacks them begins anew."""


def as_initial_weights(file: str) -> str:
    """How to start another run with the weights of a checkpoint, for messages."""
    return (
        f"(train.init_checkpoint={file}; YAML: MODEL.WEIGHTS {file}) without --resume, and another "
        "output folder"
    )


def require_last_checkpoint(folder: str) -> None:
    """Refuse a folder with checkpoints none of which is the last one.

    A run that is to be resumed there would begin anew, and write over them.

    Args:
        folder: the output folder; it need not exist.

    Raises:
        UserError: with the names of the checkpoints.
    """
    place = Path(folder)
    if (place / "last_checkpoint").is_file():
        return
    found = sorted(file.name for file in place.glob("model_*.pth"))
    if found:
        one = "model_final.pth" if "model_final.pth" in found else found[-1]
        raise UserError(
            f"--resume: {folder} has checkpoints ({_some(found)}), but no file last_checkpoint "
            f"that names the one to continue from: write its name there (echo {one} > "
            f"{place / 'last_checkpoint'}), or give its weights as train.init_checkpoint="
            f"{place / one} (YAML: MODEL.WEIGHTS {place / one}) without --resume, and to train "
            f"another folder by {KEYS}"
        )


def require_whole_state(content: Mapping[str, Any], tracked: Mapping[str, Any], file: str) -> None:
    """Refuse a checkpoint whose state of the run lacks a part, or counts no iterations.

    Args:
        content: of the file.
        tracked: what takes over its states, by their keys in the file.
        file: its path, for messages.

    Raises:
        UserError: with the first such part.
    """
    for key, taker in tracked.items():
        own = taker.state_dict()
        for fault in _faults(own, content.get(key, own), key):
            raise not_continuable(file, fault)


def not_continuable(file: str, fault: str) -> UserError:
    """The sentence on a checkpoint whose weights may be whole, but not the state of the run."""
    return UserError(
        f"--resume: {file} cannot be continued from, because {fault}: resume from another "
        "checkpoint, by writing its name into the file last_checkpoint, or start another run with "
        f"its weights {as_initial_weights(file)}"
    )


def _faults(own: Mapping[str, Any], theirs: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, value in own.items():
        if key in _OPTIONAL:
            continue
        if key not in theirs:
            yield f"it has no {place}.{key}"
            continue
        found = theirs[key]
        if key == "iteration" and (type(found) is not int or found < 0):
            yield f"{place}.{key} is {found!r}, which is no number of an iteration"
        elif isinstance(value, Mapping):
            if isinstance(found, Mapping):
                yield from _faults(value, found, f"{place}.{key}")
            else:
                yield f"{place}.{key} is no table of values"


def _some(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
