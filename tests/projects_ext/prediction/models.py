"""Small models of every system with random weights, as a config file and a checkpoint."""

from pathlib import Path

import torch

from detectron2.config import LazyConfig
from projects_ext.engine.instantiation import build
from tests.configs.semantic_sets import folder_keys
from tests.conftest import ROOT

CLASSES = ["disc", "box", "triangle", "star", "cross"]
DETECTORS = {
    "mask": "quickstart/mask_rcnn_shapes.py",
    "groie": "groie/mask_rcnn_groie_shapes.py",
    "gcb": "gcnet/mask_rcnn_gcb_shapes.py",
    "carafe": "carafe/mask_rcnn_carafe_shapes.py",
    "grid": "grid_rcnn/grid_rcnn_shapes.py",
    "condinst": "condinst/condinst_shapes.py",
}
SEMANTIC = "gcnet/semantic/gcnet_shapes.py"
EVERY_SCORE = {
    "condinst": "model.selection.score_thresh",
    "": "model.roi_heads.box_predictor.test_score_thresh",
}
"""The key of the score that a detection needs: random models have low ones."""


def config_path(name: str) -> str:
    return str(ROOT / "configs" / DETECTORS.get(name, name))


def every_score(name: str) -> str:
    """The override that lets all detections through; some configs leave the key out."""
    return f"++{EVERY_SCORE.get(name, EVERY_SCORE[''])}=0.0"


def write_checkpoint(name: str, folder: Path, keys: list[str]) -> str:
    """A checkpoint of random weights, with the names of its classes; returns its path."""
    cfg = LazyConfig.apply_overrides(LazyConfig.load(config_path(name)), keys)
    torch.manual_seed(0)
    model = build(cfg.model, "model")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # As after some training: otherwise all features are about the same.
            module.running_var.uniform_(0.5, 1.5)
    classes = ["background", *CLASSES] if name == SEMANTIC else CLASSES
    path = folder / "model_final.pth"
    torch.save({"model": model.state_dict(), "classes": classes}, path)
    return str(path)


def label_keys(shapes: Path) -> list[str]:
    """The overrides that point the semantic config to the shapes."""
    return folder_keys(shapes)
