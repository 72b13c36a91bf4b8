"""Two processes train as one does: losses are averaged over the positives of all of them."""

from pathlib import Path

import pytest

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from tests.two_processes import CONFIGS, losses, train


def write_config(folder: Path, overrides: list[str]) -> str:
    """The config for the shapes data with nothing that is normalised or drawn over a batch."""
    path = CONFIGS / "condinst" / "condinst_shapes.py"
    cfg = LazyConfig.apply_overrides(LazyConfig.load(str(path)), overrides)
    bottom_up = cfg.model.backbone.bottom_up
    bottom_up.stem.norm = "FrozenBN"
    for stage in bottom_up.stages:
        stage.norm = "FrozenBN"
    cfg.model.mask_branch.norm = "FrozenBN"
    cfg.model.criterion.max_masks = 10000
    # Images of one size need no padding, which convolutions would see.
    cfg.dataloader.train.mapper.augmentations = [L(T.Resize)(shape=(128, 128))]
    cfg.dataloader.train.update(total_batch_size=2, num_workers=0, aspect_ratio_grouping=False)
    cfg.dataloader.test.num_workers = 0
    cfg.dataloader.evaluator = cfg.dataloader.evaluator[0]
    cfg.optimizer = LazyConfig.load(str(CONFIGS / "common" / "optim.py")).SGD
    cfg.optimizer.lr = 0.01
    cfg.lr_multiplier.warmup_length = 0.0
    cfg.train.update(device="cpu", max_iter=3, log_period=1, eval_period=0, seed=1)
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    return str(folder / "config.yaml")


def test_two_processes_give_the_losses_of_one(shapes_overrides: list[str], tmp_path: Path) -> None:
    config_file = write_config(tmp_path, shapes_overrides)
    expected = losses(train(config_file, tmp_path / "one", 1))
    found = losses(train(config_file, tmp_path / "two", 2))
    assert len(expected) == len(found) == 3
    for one, two in zip(expected, found, strict=True):
        assert one["loss_mask"] > 0
        assert two == pytest.approx(one, rel=1e-4)
    assert expected[2]["loss_cls"] != pytest.approx(expected[0]["loss_cls"], rel=1e-2)
