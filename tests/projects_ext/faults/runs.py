"""Short training runs for the tests of this folder."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils.env import seed_all_rng
from projects_ext.engine import load_config
from projects_ext.engine.main import main, trainer_for

ROOT = Path(__file__).parents[3]
CONFIG = str(ROOT / "configs" / "quickstart" / "mask_rcnn_coco_format.py")

# The smallest run in which something random happens: two sizes, flips, sampled proposals.
SHORT = [
    "train.max_iter=4",
    "train.eval_period=0",
    "train.log_period=1",
    "train.checkpointer.period=2",
    "train.device=cpu",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.mapper.augmentations.0.short_edge_length=[64,96]",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    "model.proposal_generator.post_nms_topk=[20,20]",
    "model.roi_heads.batch_size_per_image=8",
]


def short_run(shapes_overrides: list[str], output: Path, *more: str) -> list[str]:
    """The command line of a run, without ``train_net.py``."""
    keys = [*shapes_overrides, *SHORT, f"train.output_dir={output}", *more]
    return ["--config-file", CONFIG, *keys]


def end_of(command: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and standard error of ``train_net.py``, run in this process."""
    stderr = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["train_net.py", *command])
        patch.setattr(sys, "stderr", stderr)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), stderr.getvalue()
    return 0, stderr.getvalue()


class Losses(HookBase):
    """All losses of each iteration."""

    def __init__(self) -> None:
        self.of: dict[int, dict[str, float]] = {}

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        now = {name: value for name, (value, at) in latest.items() if at == self.trainer.iter}
        self.of[self.trainer.iter] = {name: v for name, v in now.items() if "loss" in name}


def trainer_with_losses(command: list[str], *hooks: HookBase) -> tuple[Any, Losses]:
    """A trainer for the command line, seeded as ``train_net.py`` would, and what it will record."""
    cfg = load_config(command[1], command[2:])
    seed_all_rng(cfg.SEED if isinstance(cfg, CfgNode) else cfg.train.seed)
    trainer, losses = trainer_for(cfg)(cfg), Losses()
    trainer.register_hooks([*hooks, losses])
    trainer._hooks.insert(0, trainer._hooks.pop())  # before the one that stops the run
    return trainer, losses


def weights_in(file: Path) -> dict[str, Tensor]:
    return torch.load(file, weights_only=True)["model"]


def same_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
