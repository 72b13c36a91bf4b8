"""Two processes train and evaluate as one does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.launch import launch
from tests.projects_ext.engine.programs import train_and_evaluate

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs"
LOSSES = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc", "total_loss")


@pytest.fixture(scope="module")
def config_file(shapes: Path, shapes_overrides: list[str], tmp_path_factory: Any) -> str:
    """A config whose losses do not depend on how a batch is dealt out to processes.

    Detectron2 averages some losses over a process's RoIs: every image must have as many of them,
    and as many positive ones. Nothing may be drawn at random or normalised over the batch.
    """
    folder = tmp_path_factory.mktemp("two")
    content = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    content["annotations"] = [
        annotation
        for image in content["images"]
        for annotation in [
            one
            for one in content["annotations"]
            if one["image_id"] == image["id"] and not one["iscrowd"]
        ][:1]
    ]
    (folder / "one_object_each.json").write_text(json.dumps(content))
    cfg = LazyConfig.load(str(CONFIGS / "quickstart" / "mask_rcnn_shapes.py"))
    cfg = LazyConfig.apply_overrides(cfg, shapes_overrides)
    cfg.data.train_json = str(folder / "one_object_each.json")
    bottom_up, heads = cfg.model.backbone.bottom_up, cfg.model.roi_heads
    bottom_up.stem.norm = "FrozenBN"
    for stage in bottom_up.stages:
        stage.norm = "FrozenBN"
    cfg.model.proposal_generator.update(
        batch_size_per_image=10000, positive_fraction=1.0, post_nms_topk=(20, 20)
    )
    heads.update(batch_size_per_image=21, positive_fraction=1.0)
    heads.proposal_matcher.thresholds = [0.99]  # the ground truth itself is the only positive RoI
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


@pytest.fixture(scope="module")
def one_process(config_file: str, tmp_path_factory: Any) -> Path:
    """The output folder of a single process."""
    return train(config_file, tmp_path_factory.mktemp("one_process"), 1)


def train(config_file: str, output: Path, processes: int) -> Path:
    words = ["--config-file", config_file, f"train.output_dir={output}"]
    arguments = parse_arguments([*words, "--num-gpus", str(processes)])
    launch(train_and_evaluate, arguments, on_gpu=False)
    return output


def losses(output: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [{name: line[name] for name in LOSSES} for line in lines if "total_loss" in line]


def test_two_processes_give_the_losses_and_metrics_of_one(
    config_file: str, one_process: Path, tmp_path: Path
) -> None:
    two_processes = train(config_file, tmp_path, 2)
    expected, found = losses(one_process), losses(two_processes)
    assert len(expected) == len(found) == 3
    for one, two in zip(expected, found, strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    # The weights have moved: the gradients were those of the whole batch.
    assert expected[2]["total_loss"] != pytest.approx(expected[0]["total_loss"], rel=1e-2)

    table = json.loads((one_process / "oracle.json").read_text())
    assert json.loads((two_processes / "oracle.json").read_text()) == table
    assert 1 < table["bbox"]["AP"] < 99
    assert 1 < table["segm"]["AP"] < 99
    assert "2 of them, on the CPU, connected by gloo" in (tmp_path / "log.txt").read_text()


def test_under_torchrun_nothing_is_launched_twice(
    config_file: str, one_process: Path, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", str(ROOT / "train_net.py")]
    command += ["--config-file", config_file, f"train.output_dir={tmp_path}", "train.max_iter=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path)[0] == pytest.approx(losses(one_process)[0], rel=1e-5)
    assert len(losses(tmp_path)) == 1
    assert {path.name for path in tmp_path.glob("log.txt*")} == {"log.txt", "log.txt.rank1"}
