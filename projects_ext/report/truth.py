"""The ground truth that a run was evaluated on, as its config names it."""

from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from projects_ext.data import dataset_errors
from projects_ext.engine.config_files import load_config
from projects_ext.errors import UserError

from .run import CONFIG, Run


def truth_of(run: Run) -> tuple[str, str]:
    """Annotation file and folder of images of the data set that a run was evaluated on.

    Raises:
        UserError: the config's data set is not there any more, or it is not in COCO format.
    """
    from projects_ext.engine.main import trainer_for  # which may ask for a report

    config_file = str(run.folder / CONFIG)
    cfg = load_config(config_file, [])
    trainer: Any = trainer_for(cfg)
    with dataset_errors():
        names = trainer.test_sets(cfg)
    remedy = "name the ground truth with --truth FILE and --images FOLDER"
    if not names:
        raise UserError(f"{config_file} names no data set to evaluate on: {remedy}")
    # Of several sets the last one's results are those that were not overwritten.
    metadata = MetadataCatalog.get(names[-1])
    json_file = metadata.get("json_file")
    if not json_file or not Path(json_file).is_file():
        raise UserError(f"{config_file}: the data set {names[-1]} has no COCO file here: {remedy}")
    return str(json_file), str(metadata.get("image_root", ""))
