"""Config values and command lines that cannot be: a sentence with the key, before any training.

Nothing is trained here. Each row goes through what ``train_net.py`` does before its first
iteration, until something is refused.
"""

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from projects_ext.engine import load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.config_check import check_config
from projects_ext.engine.config_errors import apply_lazy_overrides
from projects_ext.engine.inputs import require_truth
from projects_ext.engine.main import check, trainer_for
from projects_ext.errors import UserError
from tests.projects_ext.faults.runs import CONFIG, ROOT, SHORT

RIGHT = 4 + len(SHORT) + 1
"""How many keys the fixture `lazy` gives."""

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


def refusal(command: list[str]) -> str:
    """The sentence that a command line ends with, somewhere before the first iteration."""
    with pytest.raises(UserError) as caught:
        until_the_first_iteration(command)
    return caught.value.sentence


@functools.cache
def loaded(*words: str) -> DictConfig:
    return load_config(CONFIG, words)


def until_the_first_iteration(command: list[str]) -> None:
    arguments = parse_arguments(command)
    if arguments.config_file == CONFIG:
        # All commands begin with the keys of the one that works: the file is read once.
        right, wrong = arguments.opts[:RIGHT], arguments.opts[RIGHT:]
        cfg: Any = apply_lazy_overrides(copy.deepcopy(loaded(*right)), wrong)
    else:
        cfg = load_config(arguments.config_file, arguments.opts)
    check(cfg, arguments)
    # Each trainer class takes its own kind of config.
    trainer: Any = trainer_for(cfg)
    model = trainer.build_model(cfg)
    trainer.build_lr_scheduler(cfg, trainer.build_optimizer(cfg, model))
    require_truth(model, trainer.build_train_loader(cfg))
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
    "train.output_dir": "null | '' | 5 | true | [a] | out/a.txt | out/run.log",
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
    "train.ema": "{enabled: true, decay: 0} | {enabled: true, decay: 1.0}",
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
    "dataloader.train.mapper.use_instance_mask": "abc | 3 | False",
    "dataloader.train.mapper": "null",
    "dataloader.test.mapper": "null",
    "model.roi_heads.mask_head": "null",
    "model.roi_heads.mask_pooler": "null",
    "dataloader.train.mapper.image_format": "XYZ | BGR",
    "dataloader.train.mapper.instance_mask_format": "rle",
    "dataloader.test.num_workers": "abc | -1 | 0.5",
    "dataloader.test.mapper.image_format": "BGR",
    "dataloader.test": "5 | null",
    "dataloader.evaluator": "5 | null",
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
    "model.proposal_generator.batch_size_per_image": "0",
    "model.proposal_generator.positive_fraction": "1.5",
    "model.roi_heads.batch_size_per_image": "0",
    "model.roi_heads.positive_fraction": "1.5 | -0.5",
    "model.roi_heads.box_predictor.test_score_thresh": "2",
    "model.input_format": "BGR",
    "data.masks": "null",
    "data.kind": "foo",
    "data": "null",
    "model.pixel_mean": "abc | 5 | [a,b,c]",
    "model.pixel_std": "[0.0,1.0,1.0] | [1.0,-1.0,1.0]",
}  # fmt: skip

# The same without the comparison of the command line: what a config file could hold.
FORCED_VALUES = {
    "train.max_iter": "abc | true | [1] | {a: 1}",
    "train.amp.enabled": "abc | 1",
    "train.device": "0 | true",
    "train.output_dir": "5 | [a]",
    "train.checkpointer": "5",
    "dataloader.train.total_batch_size": "abc | true",
    "dataloader.train.num_workers": "abc | true",
    "dataloader.train.mapper.use_instance_mask": "abc",
    "optimizer.lr": "abc | true",
    "lr_multiplier.warmup_length": "abc",
    "model.backbone.out_channels": "abc | true | [64]",
    "model.backbone.bottom_up.stem.norm": "5",
    "model.roi_heads.box_predictor.box_reg_loss_type": "xx",
    "model.roi_heads.box_predictor.test_topk_per_image": "0",
    "model.roi_heads.box_predictor.test_nms_thresh": "-1",
    "model.pixel_mean": "abc | 5 | [a,b,c]",
}

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
    "OUTPUT_DIR": "None | 5 | out/a.txt | run.log",
    "MODEL.DEVICE": "nonsense | cuda | cuda:9 | mps | 5",
    "MODEL.META_ARCHITECTURE": "Nothing | 5",
    "MODEL.BACKBONE.NAME": "build_nothing",
    "MODEL.ROI_HEADS.NAME": "NoHeads",
    "MODEL.ROI_HEADS.NUM_CLASSES": "abc | 1.5",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": "0 | -1 | None",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": "0 | -1 | abc",
    "MODEL.FPN.OUT_CHANNELS": "0 | -64 | abc",
    "MODEL.RESNETS.DEPTH": "17 | -1 | abc",
    "MODEL.RESNETS.NORM": "XX",
    "MODEL.PIXEL_MEAN": "abc | ('a','b','c')",
    "MODEL.ROI_HEADS": "5 | {'NUM_CLASSES': 3}",
    "MODEL": "None",
    "MODEL.PIXEL_STD": "[0.0,1.0,1.0]",
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": "0",
    "MODEL.RPN.POSITIVE_FRACTION": "1.5",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "2.0",
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": "1.5",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": "xx",
    "MODEL.LOAD_PROPOSALS": "True",
    "INPUT.MIN_SIZE_TEST": "-1 | abc",
    "INPUT.FORMAT": "XYZ",
    "INPUT.MASK_FORMAT": "rle",
    "INPUT.RANDOM_FLIP": "diagonal",
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "nope | range",
    "INPUT.CROP": "5",
    "INPUT.CROP.TYPE": "foo",
    "FLOAT32_PRECISION": "nope",
    "DATALOADER.SAMPLER_TRAIN": "nope | RandomSubsetTrainingSampler",
    "TEST.DETECTIONS_PER_IMAGE": "0",
    "TEST.EXPECTED_RESULTS": "[5] | [['bbox','AP',1]]",
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


def names(sentence: str, key: str) -> bool:
    """Whether the sentence names the key, or the part that is built from it and its last name."""
    part, _, last = key.rpartition(".")
    return key in sentence or (part in sentence and f"{last}=" in sentence)


@no_gpu
@pytest.mark.parametrize(("key", "value"), rows(LAZY_VALUES))
def test_lazy_values(key: str, value: str, lazy: list[str]) -> None:
    assert names(refusal([*lazy, f"{key}={value}"]), key)


@pytest.mark.parametrize(("key", "value"), rows(FORCED_VALUES))
def test_values_that_a_config_file_could_hold(key: str, value: str, lazy: list[str]) -> None:
    # What the command line replaces is not compared with what was there.
    assert names(refusal([*lazy, f"++{key}={value}"]), key)


@no_gpu
@pytest.mark.parametrize(("key", "value"), rows(YAML_VALUES))
def test_yaml_values(key: str, value: str, yaml: list[str]) -> None:
    sentence = refusal([*yaml, key, value])
    # Of what Detectron2 builds from several keys it is the section that is known.
    assert key in sentence or sentence.startswith(f"{key.partition('.')[0]} cannot be built")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--num-gpus 1000", "--num-gpus 1000: the run is on the CPU, and this machine has"),
        ("--num-gpus 0", "at least 1 of each"),
        ("--num-gpus -3", "at least 1 of each"),
        ("--num-machines 0", "at least 1 of each"),
        ("--machine-rank 5", "--machine-rank 5"),
        ("--num-machines 2 --dist-url somewhere", "--dist-url somewhere is no place to meet"),
        ("--num-machines 2 --dist-url tcp://host", "tcp://HOST:PORT"),
        ("--num-machines 2 --dist-url tcp://host:port", "tcp://HOST:PORT"),
        ("--num-machines 2 --dist-url tcp://host:99999", "tcp://HOST:PORT"),
        (
            "--num-gpus 2 dataloader.train.total_batch_size=3",
            "dataloader.train.total_batch_size is 3, which 2 processes cannot share equally",
        ),
        ("train.max_iter", "write key=value"),
        ("train.max_iter 5", "write key=value"),
        ("=5", "cannot read '=5'"),
        ("train.max_iter=[1", "cannot read"),
        ("train..max_iter=5", "cannot read"),
        ("train.max_iter=1,2", "gives several values"),
        ("train.max_iter.deeper=1", "has no key train.max_iter.deeper"),
        ("+train.max_iter.deeper=1", "train.max_iter"),
        ("~train", "cannot be deleted"),
        ("train.max_iter=${train.max_iter}", "train.max_iter is '${train.max_iter}', which leads"),
        ("train.max_iter=${nothing.here}", "train.max_iter is '${nothing.here}', which leads"),
        ("++optimizer.lr=???", "optimizer.lr has no value yet"),
        ("optimizer.lr=${optimizer.lr}", "optimizer.lr is '${optimizer.lr}', which leads"),
        ("model.backbone.out_channels=${train.nothing}", "which leads to no value"),
        ("+optimizer.nothing=5", "optimizer (AdamW) takes no nothing"),
        ("+model.backbone.nothing=5", "model.backbone (FPN) takes no nothing"),
        ("+model.extra.nothing=5", "model (GeneralizedRCNN) takes no extra"),
        ("data.masks=null", "data.masks is null: it can be True or False"),
        ("data.kind=foo", "data.kind is 'foo': it can be masks_True or masks_False"),
        ("data=null", "data is null: leave it as it was"),
    ],
)  # fmt: skip
def test_lazy_command_lines(words: str, message: str, lazy: list[str]) -> None:
    assert message in refusal([*lazy, *words.split(" ")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("SOLVER.MAX_ITER", "SOLVER.MAX_ITER has no value"),
        ("SOLVER.MAX_ITER=", "SOLVER.MAX_ITER cannot be"),
        ("SOLVER.MAX_ITER.DEEPER 5", "no key SOLVER.MAX_ITER.DEEPER"),
        ("train.max_iter=5", "no key train.max_iter"),
        ("=5", "no key"),
        ("DATASETS.TRAIN (", "DATASETS.TRAIN cannot be"),
        ("SOLVER.IMS_PER_BATCH=3 --num-gpus 2", "SOLVER.IMS_PER_BATCH is 3, which 2 processes"),
        ("SOLVER.MAX_ITER 1e3", "e.g. 1000"),
        ("SOLVER.BASE_LR 1", "e.g. 1.0"),
        (
            "MODEL.META_ARCHITECTURE SemanticSegmentor",
            "the model trains on label maps, but the record of",
        ),
        ("DATASETS.COCO_FORMAT.TRAIN_JSON nope.json", "DATASETS.COCO_FORMAT.*_JSON"),
        ("DATASETS.COCO_FORMAT.VAL_JSON=", "DATASETS.COCO_FORMAT.VAL_JSON …"),
        ("DATASETS.COCO_FORMAT.VAL_IMAGES nope", "DATASETS.COCO_FORMAT.TRAIN_IMAGES or VAL_IMAGES"),
    ],
)
def test_yaml_command_lines(words: str, message: str, yaml: list[str]) -> None:
    assert message in refusal([*yaml, *words.split(" ")])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--config-file"],
        ["--config-file", CONFIG, "--nothing"],
        ["--config-file", CONFIG, "--num-gpus", "two"],
        ["--config-file", CONFIG, "--machine-rank", "1.5"],
        ["--config-file", CONFIG, "--resume=yes"],
    ],
)
def test_options_are_argparse_s_own_errors(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(words)
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "config", "config.txt", "nowhere.py", "nowhere.yaml", "."])
def test_config_files_that_are_none(name: str) -> None:
    assert "config file" in refusal(["--config-file", name])


def without(cfg: DictConfig, key: str) -> None:
    parent, _, last = key.rpartition(".")
    del (OmegaConf.select(cfg, parent) if parent else cfg)[last]


@pytest.mark.parametrize(
    "key",
    [
        *("train", "model", "dataloader", "optimizer", "lr_multiplier"),
        *("dataloader.train", "dataloader.test", "dataloader.evaluator"),
        *("dataloader.train.dataset", "dataloader.test.dataset", "dataloader.train.mapper"),
        *("train.output_dir", "train.max_iter", "train.eval_period", "train.log_period"),
        *("train.device", "train.init_checkpoint", "model._target_", "optimizer._target_"),
        *("dataloader.train._target_", "dataloader.train.total_batch_size"),
        *("model.backbone", "model.proposal_generator", "model.roi_heads.box_pooler"),
    ],
)
def test_configs_without_a_part(key: str, lazy: list[str]) -> None:
    cfg = copy.deepcopy(loaded(*lazy[2:]))
    without(cfg, key)
    with pytest.raises(UserError) as caught:
        check_config(cfg, training=True)
    part, _, last = key.rpartition(".")
    assert part in caught.value.sentence
    assert last in caught.value.sentence


def test_what_only_training_needs_can_be_left_out_of_an_evaluation(lazy: list[str]) -> None:
    cfg = load_config(lazy[1], lazy[2:])
    del cfg["optimizer"], cfg["lr_multiplier"]
    check_config(cfg, training=False)


def test_a_bug_keeps_its_traceback(lazy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is built from the config's values is the config's fault."""

    def broken(*args: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("projects_ext.engine.base.plain_norms_where_alone", broken)
    with pytest.raises(TypeError, match="a bug"):
        until_the_first_iteration(lazy)


def test_a_failure_in_a_constructor_keeps_its_cause(lazy: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        until_the_first_iteration([*lazy, "model.backbone.bottom_up.stem.norm=XX"])
    assert isinstance(caught.value.__cause__, KeyError)
