"""Which weights to predict with: those that are named, or those that belong to the config."""

from pathlib import Path

from detectron2.utils.file_io import PathManager
from projects_ext.checkpoint.detectron2_names import CLASSES_KEY
from projects_ext.checkpoint.sources import read_content
from projects_ext.engine.settings import Settings
from projects_ext.errors import MissingFileError, UserError, user_errors
from projects_ext.zoo import find
from projects_ext.zoo.download import fetch

from .configs import Source

_LAST, _FINAL = "last_checkpoint", "model_final.pth"


def find_weights(source: Source, settings: Settings, weights: str | Path | None) -> str:
    """The path or address of the weights.

    Args:
        source: where the config is from.
        settings: of the config.
        weights: a file, an address, the folder of a run, or the name of a published experiment;
            None: what an override names, the published weights of a config of the zoo, the newest
            checkpoint of the run that has written the config, or what the config itself names, in
            this order.

    Raises:
        UserError: there are none.
    """
    if weights is not None:
        if not isinstance(weights, str | Path):
            raise UserError(
                f"weights are a path, an address or a name, not a {type(weights).__name__}: save "
                "them with torch.save and give the path"
            )
        return _named(str(weights))
    own = settings.init_checkpoint
    if source.names_weights and own:
        return own
    if source.experiment is not None:
        return fetch(source.experiment)
    if source.folder is not None and (checkpoint := newest_checkpoint(source.folder)):
        return checkpoint
    if own:
        return own
    raise UserError(
        f"{source.name} names no weights: give some, a file or the name of a published experiment "
        "(`python -m projects_ext.zoo` lists them)"
    )


def _named(weights: str) -> str:
    if Path(weights).is_dir():
        checkpoint = newest_checkpoint(Path(weights))
        if not checkpoint:
            raise MissingFileError(
                f"the folder {weights} has no checkpoint (model_*.pth): give a file of weights"
            )
        return checkpoint
    if "://" in weights or PathManager.isfile(weights):
        return weights
    try:
        experiment = find(weights)
    except UserError as error:
        raise MissingFileError(
            f"there is no file {weights} with weights, nor a published experiment of this name: "
            "correct the path, or take a name from `python -m projects_ext.zoo`"
        ) from error
    return fetch(experiment)


def newest_checkpoint(folder: Path) -> str:
    """The last checkpoint of a run, by what the folder says; empty if it has none."""
    tag = folder / _LAST
    named = folder / (tag.read_text().strip() if tag.is_file() else _FINAL)
    for path in (named, folder / _FINAL):
        if path.is_file():
            return str(path)
    others = sorted(folder.glob("model_[0-9]*.pth"), key=lambda path: path.stat().st_mtime)
    return str(others[-1]) if others else ""


def classes_in(weights: str, trust: bool) -> list[str]:
    """The names of the classes that a checkpoint of this project or Detectron2 carries, if any.

    Args:
        weights: a path or an address.
        trust: let the file run the code in it.
    """
    with user_errors():
        content, _ = read_content(weights, trust)
    names = content.get(CLASSES_KEY) if isinstance(content, dict) else None
    return list(map(str, names)) if isinstance(names, list | tuple) else []
