"""One sweep over every config: it loads, is small, instantiates, saves and reloads."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import ListConfig, OmegaConf

from detectron2.config import LazyConfig, instantiate
from tests.configs.semantic_sets import folder_keys, is_semantic, name_keys

ROOT = Path(__file__).parents[2]
LEAVES = sorted(path for path in (ROOT / "configs").rglob("*.py") if "common" not in path.parts)
NAMES = [str(path.relative_to(ROOT / "configs")) for path in LEAVES]
KEYS = {"model", "optimizer", "lr_multiplier", "dataloader", "train"}


def load(path: Path, shapes: Path, shapes_overrides: list[str]) -> Any:
    """The config, pointed to the small shapes data set where it wants paths or label maps."""
    cfg = LazyConfig.load(str(path))
    if is_semantic(cfg):
        keys = folder_keys(shapes) if "data" in cfg else name_keys(cfg, shapes)
        return LazyConfig.apply_overrides(cfg, keys)
    if cfg.dataloader.test.dataset.names == "coco_2017_val":
        # Loaders look at the images; of the validation part most are not in the repository.
        cfg.dataloader.test.dataset.names = "coco_2017_train"
    return LazyConfig.apply_overrides(cfg, shapes_overrides) if "data" in cfg else cfg


def test_there_are_configs() -> None:
    assert len(LEAVES) >= 3


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_leaf_is_short_documented_and_without_lambdas(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    documentation = ast.get_docstring(tree)
    assert documentation, f"{path} has no docstring"
    statements = text.splitlines()[len(documentation.splitlines()) + 1 :]
    assert sum(bool(line.strip()) for line in statements) <= 40
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_detections_are_written_into_the_output_folder(path: Path) -> None:
    cfg = LazyConfig.load(str(path))
    if not is_semantic(cfg):
        nodes = cfg.dataloader.evaluator
        first = nodes[0] if isinstance(nodes, ListConfig) else nodes
        assert first.output_dir == cfg.train.output_dir


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_config_builds_model_optimizer_and_loaders(
    path: Path, shapes: Path, shapes_overrides: list[str]
) -> None:
    cfg = load(path, shapes, shapes_overrides)
    assert set(cfg) >= KEYS
    model = build(cfg)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)
    multiplier = instantiate(cfg.lr_multiplier)
    assert 0 <= multiplier(0.999) <= multiplier(0.3) <= 1
    assert isinstance(cfg.train.init_checkpoint, str)
    for part in ("train", "test"):
        cfg.dataloader[part].num_workers = 0
        assert instantiate(cfg.dataloader[part]) is not None


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_images_are_read_as_the_model_wants_them(path: Path) -> None:
    cfg = LazyConfig.load(str(path))
    for part in ("train", "test"):
        assert cfg.dataloader[part].mapper.image_format == cfg.model.input_format


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_config_saves_and_reloads(
    path: Path, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    cfg = load(path, shapes, shapes_overrides)
    saved = tmp_path / "config.yaml"
    LazyConfig.save(cfg, str(saved))
    again = LazyConfig.load(str(saved))
    assert state_shapes(again) == state_shapes(cfg)
    assert OmegaConf.to_container(again.train) == OmegaConf.to_container(cfg.train)


def build(cfg: Any) -> Any:
    """The model in its shapes alone: initial values take seconds where there are many."""
    with torch.device("meta"):
        return instantiate(cfg.model)


def state_shapes(cfg: Any) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in build(cfg).state_dict().items()}
