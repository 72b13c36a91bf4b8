"""Runs whose losses do not depend on how a batch is dealt out to processes."""

import json
from pathlib import Path
from typing import Any

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.launch import launch
from tests.projects_ext.engine.programs import train_and_evaluate

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


def one_object_each(json_file: Path, output: Path) -> str:
    """Write a copy of a data set that has only the first object of each image."""
    content = json.loads(json_file.read_text())
    content["annotations"] = [
        annotation
        for image in content["images"]
        for annotation in [
            one
            for one in content["annotations"]
            if one["image_id"] == image["id"] and not one["iscrowd"]
        ][:1]
    ]
    output.write_text(json.dumps(content))
    return str(output)


def write_config(name: str, folder: Path, shapes: Path, overrides: list[str]) -> str:
    """Change a config so that nothing is drawn at random or normalised over the batch.

    Detectron2 averages some losses over a process's RoIs: every image must have as many of them,
    and as many positive ones.
    """
    cfg = LazyConfig.apply_overrides(LazyConfig.load(str(CONFIGS / name)), overrides)
    train_json = shapes / "annotations" / "instances_train.json"
    cfg.data.train_json = one_object_each(train_json, folder / "one_object_each.json")
    bottom_up, heads = cfg.model.backbone.bottom_up, cfg.model.roi_heads
    bottom_up.stem.norm = "FrozenBN"
    for stage in bottom_up.stages:
        stage.norm = "FrozenBN"
    cfg.model.proposal_generator.update(
        batch_size_per_image=10000, positive_fraction=1.0, post_nms_topk=(20, 20)
    )
    heads.update(batch_size_per_image=21, positive_fraction=1.0)
    heads.proposal_matcher.thresholds = [0.99]  # the ground truth itself is the only positive RoI
    if "grid_head" in heads:
        heads.jitter = 0.0
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


def train(config_file: str, output: Path, processes: int) -> Path:
    """Run a config in so many processes on the CPU; returns its output folder."""
    words = ["--config-file", config_file, f"train.output_dir={output}"]
    arguments = parse_arguments([*words, "--num-gpus", str(processes)])
    launch(train_and_evaluate, arguments, on_gpu=False)
    return output


def losses(output: Path) -> list[dict[str, Any]]:
    """All losses of each iteration."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    lines = [line for line in lines if "total_loss" in line]
    return [{name: value for name, value in line.items() if "loss" in name} for line in lines]
