"""The ground truth that a run was evaluated on, as its config names it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from projects_ext.data import dataset_errors
from projects_ext.engine.config_files import load_config
from projects_ext.errors import MissingFileError, UserError

from .run import CONFIG, Run, config_value

REMEDY = "name the ground truth with --truth FILE and --images FOLDER"


def truth_of(run: Run, images: str = "") -> tuple[str, str]:
    """Annotation file and folder of images of the data set that a run was evaluated on.

    Args:
        run: with a config.
        images: the folder, in place of the one that the config names.

    Raises:
        UserError: the config's data set is not there any more, or it is not in COCO format.
    """
    config_file = str(run.folder / CONFIG)
    try:
        names = _test_sets(run, config_file, images)
    except MissingFileError as error:
        reason = error.sentence.rpartition(": ")[0] or error.sentence
        raise MissingFileError(
            f"{config_file}: its data are not here, {reason}: {REMEDY}"
        ) from error
    if not names:
        raise UserError(f"{config_file} names no data set to evaluate on: {REMEDY}")
    # Of several sets the last one's results are those that were not overwritten.
    metadata = MetadataCatalog.get(names[-1])
    json_file = metadata.get("json_file")
    if not json_file or not Path(json_file).is_file():
        raise UserError(f"{config_file}: the data set {names[-1]} has no COCO file here: {REMEDY}")
    return str(json_file), images or str(metadata.get("image_root", ""))


def images_of(run: Run, truth_file: str) -> str:
    """The folder of images that a run's config names; that of the ground truth if it is gone."""
    named = config_value(run, "data.val_images", "DATASETS.COCO_FORMAT.VAL_IMAGES")
    if not isinstance(named, str) or not named:
        try:
            named = truth_of(run)[1]
        except UserError:
            named = ""
    return named if named and Path(named).is_dir() else str(Path(truth_file).parent)


def _test_sets(run: Run, config_file: str, images: str) -> Sequence[str]:
    from projects_ext.engine.main import trainer_for  # which may ask for a report

    overrides = []
    if images and config_value(run, "DATASETS.COCO_FORMAT.VAL_IMAGES"):
        parts = ("TRAIN_IMAGES", "VAL_IMAGES")
        overrides = [word for x in parts for word in (f"DATASETS.COCO_FORMAT.{x}", images)]
    cfg: Any = load_config(config_file, overrides)
    if images and config_value(run, "data.val_images"):
        cfg.data.val_images = images
    trainer: Any = trainer_for(cfg)
    with dataset_errors():
        return trainer.test_sets(cfg)
