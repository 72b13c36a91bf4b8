"""Config values and command lines that cannot be: a sentence with the key, before any training.

Nothing is trained here. Each row goes through what ``train_net.py`` does before its first
iteration, until something is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from projects_ext.engine import load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import check, trainer_for
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import CONFIG, ROOT, SHORT

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


def refusal(command: list[str]) -> str:
    """The sentence that a command line ends with, somewhere before the first iteration."""
    with pytest.raises(UserError) as caught:
        until_the_first_iteration(command)
    return caught.value.sentence


def until_the_first_iteration(command: list[str]) -> None:
    arguments = parse_arguments(command)
    check(arguments)
    cfg = load_config(arguments.config_file, arguments.opts)
    # Each trainer class takes its own kind of config.
    trainer: Any = trainer_for(cfg)
    model = trainer.create_model(cfg)
    trainer.build_lr_scheduler(cfg, trainer.build_optimizer(cfg, model))
    trainer.build_train_loader(cfg)
    trainer.build_test_loader(cfg, *trainer.test_sets(cfg)[:1])
    trainer.build_evaluator(cfg, *trainer.test_sets(cfg)[:1])


def rows(table: dict[str, str]) -> Iterator[Any]:
    """Every value of the table, of which ``|`` separates several for one key."""
    for key, values in table.items():
        for value in values.split("|"):
            yield pytest.param(key, value.strip(), id=f"{key}={value.strip()}")


LAZY_VALUES = {
    "train.max_iter": "abc | nan | inf | 1.5 | 1e3 | 0 | -1 | null | true | [1] | {a: 1} | ''",
    "train.eval_period": "abc | -1 | 0.5 | null | true",
    "train.log_period": "0 | -1 | abc | null | 2.5",
    "train.checkpointer.period": "0 | -5 | abc | 1.5 | null | false",
    "train.checkpointer.max_to_keep": "0 | -1 | abc | 1.5 | true",
    "train.checkpointer": "5 | abc | null",
    "train.output_dir": "null | '' | 5 | true | [a]",
    "train.init_checkpoint": "5 | true | [a]",
    "train.trust_checkpoint": "abc | 1 | null | 0.5",
    "train.device": "nonsense | 0 | cuda | cuda:7 | mps | xpu | meta | null | '' | cpu:x",
    "train.seed": "abc | 1.5 | nan | null | true | 99999999999",
    "train.reference_batch_size": "abc | -1 | 1.5 | nan",
    "train.amp.enabled": "abc | 1 | null",
    "train.amp": "abc | true",
    "train.clip_grad.max_norm": "abc | nan | -1 | true | null | inf",
    "train.clip_grad.norm_type": "abc | 0 | -2 | nan",
    "train.ema.enabled": "yes_please | 1",
    "train.ema.decay": "abc | nan | null",
    "train.best_checkpointer.mode": "up | 5 | null",
    "train.best_checkpointer.val_metric": "5 | true",
    "train.ddp.broadcast_buffers": "abc | 3",
    "train": "5 | null | abc",
    "model": "5 | null | abc",
    "optimizer": "5 | null | abc",
    "lr_multiplier": "5 | null | abc",
    "dataloader": "5 | null",
    "dataloader.train": "5 | null | abc",
    "dataloader.train.total_batch_size": "abc | 0 | -1 | 1.5 | nan | null | true",
    "dataloader.train.num_workers": "abc | -1 | 1.5 | true | 999999999",
    "dataloader.train.dataset": "5 | abc",
    "dataloader.train.mapper.use_instance_mask": "abc | 3",
    "dataloader.test.num_workers": "abc | -1 | 0.5",
    "dataloader.test": "5 | null",
    "dataloader.evaluator": "5 | null | []",
    "optimizer.lr": "abc | nan | inf | -1 | true | ''",
    "optimizer.weight_decay": "abc | nan | -1",
    "optimizer._target_": "null | 5 | torch.nothing | no.such.module.Class",
    "lr_multiplier.warmup_length": "abc | 2 | -1 | nan",
    "lr_multiplier.warmup_factor": "abc | -1 | inf",
    "lr_multiplier.warmup_method": "sideways | 3",
    "lr_multiplier._target_": "null | torch.nowhere",
    "model._target_": "null | 5 | json | no.such.Class",
    "model.backbone": "abc | null | 5 | []",
    "model.backbone.out_channels": "abc | -1 | 0 | 1.5 | null | nan | true | [64]",
    "model.backbone.bottom_up.stem.norm": "XX | 5",
    "model.backbone.bottom_up.stages.0.out_channels": "abc | 0 | -1 | 2.5",
    "model.roi_heads.num_classes": "abc | 0 | -1 | 1.5 | null | true",
    "model.roi_heads.box_in_features": "[p9] | 3",
    "model.proposal_generator.head.num_anchors": "abc | -3",
    "model.proposal_generator.nms_thresh": "abc | nan",
    "model.pixel_mean": "abc | 5 | [a,b,c]",
}  # fmt: skip

YAML_VALUES = {
    "SOLVER.MAX_ITER": "abc | 0 | -1 | 1.5 | None | True | (1,) | {[]:1} | 1e3",
    "SOLVER.BASE_LR": "abc | nan | 1e999 | -0.1 | None | (0.1,)",
    "SOLVER.IMS_PER_BATCH": "0 | -1 | abc | 2.5 | None",
    "SOLVER.CHECKPOINT_PERIOD": "0 | -1 | abc",
    "SOLVER.STEPS": "('a',) | abc | 5 | (1,",
    "SOLVER.WEIGHT_DECAY_BIAS": "abc | -1.0",
    "SOLVER.WARMUP_FACTOR": "2.0 | -1.0 | abc",
    "SOLVER.WARMUP_ITERS": "-1 | abc",
    "SOLVER.LR_SCHEDULER_NAME": "Nothing | 5",
    "SOLVER.AMP.DTYPE": "5",
    "SOLVER.CHECKPOINTS_TO_KEEP": "-1 | abc",
    "SOLVER.MOMENTUM": "-0.5 | abc",
    "SOLVER.REFERENCE_WORLD_SIZE": "-1 | 3",
    "TEST.EVAL_PERIOD": "-1 | abc | None",
    "TEST.PICTURES": "-1 | abc",
    "TEST.BEST_METRIC_MODE": "up | 5",
    "DATALOADER.NUM_WORKERS": "-1 | abc | 1.5 | 999999999",
    "SEED": "abc | 1.5 | 99999999999",
    "OUTPUT_DIR": "None | 5",
    "MODEL.DEVICE": "nonsense | cuda | cuda:9 | mps | 5",
    "MODEL.META_ARCHITECTURE": "Nothing | 5",
    "MODEL.BACKBONE.NAME": "build_nothing",
    "MODEL.ROI_HEADS.NAME": "NoHeads",
    "MODEL.ROI_HEADS.NUM_CLASSES": "0 | -1 | abc | 1.5 | None",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": "-1 | abc",
    "MODEL.FPN.OUT_CHANNELS": "0 | -64 | abc",
    "MODEL.RESNETS.DEPTH": "17 | -1 | abc",
    "MODEL.RESNETS.NORM": "XX",
    "MODEL.PIXEL_MEAN": "abc | ('a','b','c')",
    "MODEL.ROI_HEADS": "5 | {'NUM_CLASSES': 3}",
    "MODEL": "None",
    "INPUT.MIN_SIZE_TEST": "-1 | abc",
}  # fmt: skip


@pytest.fixture(scope="module")
def lazy(shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command line of a run that would work."""
    folder = tmp_path_factory.mktemp("output")
    return ["--config-file", CONFIG, *shapes_overrides, *SHORT, f"train.output_dir={folder}"]


@pytest.fixture(scope="module")
def yaml(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same of a YAML config."""
    folder = tmp_path_factory.mktemp("output")
    data = [
        f"DATASETS.COCO_FORMAT.{part.upper()}_{what}={path}"
        for part in ("train", "val")
        for what, path in (
            ("JSON", shapes / "annotations" / f"instances_{part}.json"),
            ("IMAGES", shapes / part),
        )
    ]
    keys = [*data, "MODEL.DEVICE=cpu", "DATALOADER.NUM_WORKERS=0", f"OUTPUT_DIR={folder}"]
    return ["--config-file", YAML, *keys]


no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the values are right with a GPU")


def test_the_commands_themselves_are_right(lazy: list[str], yaml: list[str]) -> None:
    for command in (lazy, yaml):
        until_the_first_iteration(command)


@no_gpu
@pytest.mark.parametrize(("key", "value"), rows(LAZY_VALUES))
def test_lazy_values(key: str, value: str, lazy: list[str]) -> None:
    assert key in refusal([*lazy, f"{key}={value}"])


@no_gpu
@pytest.mark.parametrize(("key", "value"), rows(LAZY_VALUES))
def test_lazy_values_that_are_forced_or_written_in_the_file(
    key: str, value: str, lazy: list[str]
) -> None:
    section = key.partition(".")[0]
    assert section in refusal([*lazy, f"++{key}={value}"])


@no_gpu
@pytest.mark.parametrize(("key", "value"), rows(YAML_VALUES))
def test_yaml_values(key: str, value: str, yaml: list[str]) -> None:
    sentence = refusal([*yaml, key, value])
    section = {"MODEL.RESNETS": "MODEL", "SOLVER.WEIGHT_DECAY_BIAS": "SOLVER"}
    assert key in sentence or section.get(key, key.partition(".")[0]) in sentence
