"""One sweep over every YAML config: it loads, says what it is, and builds model and loaders."""

from pathlib import Path

import pytest

from detectron2.config import CfgNode
from projects_ext.engine import YamlTrainer, load_config

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "configs").rglob("*.yaml"))
NAMES = [str(path.relative_to(ROOT / "configs")) for path in PATHS]


def test_there_are_configs() -> None:
    assert PATHS


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_config_builds_model_optimizer_and_loaders(path: Path, shapes: Path) -> None:
    assert path.read_text().startswith("# "), f"{path} does not say what it is"
    keys = ["MODEL.DEVICE=cpu", "DATALOADER.NUM_WORKERS=0"]
    if "COCO_FORMAT" in path.read_text():
        for part in ("train", "val"):
            key = f"DATASETS.COCO_FORMAT.{part.upper()}"
            keys.append(f"{key}_JSON={shapes / 'annotations' / f'instances_{part}.json'}")
            keys.append(f"{key}_IMAGES={shapes / part}")
    cfg = load_config(str(path), keys)
    assert isinstance(cfg, CfgNode)
    model = YamlTrainer.build_model(cfg)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = YamlTrainer.build_optimizer(cfg, model)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)
    assert YamlTrainer.build_lr_scheduler(cfg, optimizer) is not None
    assert YamlTrainer.build_train_loader(cfg) is not None
    for name in cfg.DATASETS.TEST:
        assert YamlTrainer.build_test_loader(cfg, name) is not None
        assert YamlTrainer.build_evaluator(cfg, name) is not None
