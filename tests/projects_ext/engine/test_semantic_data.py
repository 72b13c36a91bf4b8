"""``--eval-only`` on trees in the official formats, through preparation and the real evaluators.

The last layer of each model names one class for every pixel, whatever lies before it: all metrics
are known.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detectron2.config import LazyConfig
from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.data.labels import read_label_map
from projects_ext.data.preparation import prepare
from projects_ext.engine import load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from projects_ext.errors import UserError
from tests.conftest import ROOT, load_script
from tests.semantic_trees import (
    ade20k_tree,
    blocks,
    cityscapes_tree,
    registered_below,
    voc_tree,
    write_image,
    write_png,
)

CONFIGS = ROOT / "configs" / "gcnet" / "semantic"
SMALL = [
    "dataloader.test.num_workers=0",
    "dataloader.test.mapper.augmentations=[]",
    "train.device=cpu",
    "train.seed=1",
]

# The weights of these tests are those of the last layer.
PREDICTOR_ALONE = "train.allow_missing_weights=True"


def write_weights(file: Path, classes: int, answer: int, channels: int = 512) -> str:
    """The last layer of a model, which answers with the one class."""
    bias = torch.zeros(classes)
    bias[answer] = 1.0
    weight = torch.zeros(classes, channels, 1, 1)
    names = {"sem_seg_head.predictor.weight": weight, "sem_seg_head.predictor.bias": bias}
    torch.save(names, file)
    return str(file)


def words(config: str, folder: Path, *more: str) -> list[str]:
    """The command line of an evaluation."""
    keys = [f"train.output_dir={folder / 'output'}", *SMALL, *more]
    return ["--eval-only", "--config-file", str(CONFIGS / config), *keys]


def metrics_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "output" / "evaluation.json").read_text())["metrics"]


def expected(dataset: str, answer: int) -> dict[str, Any]:
    """What naming one class for every pixel scores."""
    counts = np.zeros(256, dtype=np.int64)
    for record in DatasetCatalog.get(dataset):
        labels = read_label_map(record["sem_seg_file_name"])
        counts += np.bincount(labels.reshape(-1), minlength=256)
    classes = MetadataCatalog.get(dataset).stuff_classes
    present = [index for index in range(len(classes)) if counts[index]]
    share = 100 * counts[answer] / counts[: len(classes)].sum()
    return {
        "mean": share / len(present),
        "share": share,
        "name": classes[answer],
        "other": next(classes[index] for index in present if index != answer),
        "absent": next(name for index, name in enumerate(classes) if not counts[index]),
    }


def check(found: dict[str, Any], wanted: dict[str, Any], mean: str = "mIoU") -> None:
    assert found[mean] == pytest.approx(wanted["mean"])
    assert found["pACC"] == pytest.approx(wanted["share"])
    assert found[f"IoU-{wanted['name']}"] == pytest.approx(wanted["share"])
    assert found[f"ACC-{wanted['name']}"] == pytest.approx(100)
    assert found[f"IoU-{wanted['other']}"] == found[f"ACC-{wanted['other']}"] == 0
    assert found[f"IoU-{wanted['absent']}"] is None


def test_ade20k(tmp_path: Path) -> None:
    script = load_script(ROOT / "datasets" / "prepare_ade20k.py")
    ade20k_tree(tmp_path)
    with registered_below(tmp_path):
        prepare(
            script.find_parts(tmp_path, any_count=True),
            MetadataCatalog.get("ade20k_sem_seg_val").stuff_classes,
            script.convert,
            problems_file=tmp_path / "problems.txt",
            any_count=True,
        )
        weights = write_weights(tmp_path / "w.pth", 150, 12)
        more = [
            f"train.init_checkpoint={weights}",
            PREDICTOR_ALONE,
            "dataloader.evaluator.1.count=1",
        ]
        run(parse_arguments(words("gcnet_r50_d8_512x512_80k_ade20k.py", tmp_path, *more)))
        wanted = expected("ade20k_sem_seg_val", 12)
    assert wanted["name"] == "person"
    check(metrics_in(tmp_path)["sem_seg"], wanted)
    pictures = sorted(path.name[:9] for path in (tmp_path / "output" / "pictures").iterdir())
    assert pictures == ["best_01_A", "worst_01_"]


def test_voc12aug_with_multiple_scales_and_flips(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    script = load_script(ROOT / "datasets" / "prepare_voc12aug.py")
    voc_tree(tmp_path)
    with registered_below(tmp_path):
        prepare(
            script.find_parts(tmp_path),
            MetadataCatalog.get("voc12aug_sem_seg_val").stuff_classes,
            script.convert,
            problems_file=tmp_path / "problems.txt",
            any_count=True,
        )
        weights = write_weights(tmp_path / "w.pth", 21, 15)
        more = [
            f"train.init_checkpoint={weights}",
            PREDICTOR_ALONE,
            "model.predict_multi_scale=True",
        ]
        run(parse_arguments(words("gcnet_r50_d8_512x512_20k_voc12aug.py", tmp_path, *more)))
        wanted = expected("voc12aug_sem_seg_val", 15)
    assert wanted["name"] == "person"
    for column in ("sem_seg", "sem_seg_ms_flip"):
        check(metrics_in(tmp_path)[column], wanted)


def test_cityscapes_as_programs(tmp_path: Path) -> None:
    """Nothing of this process takes part: both programs, the second one with a sliding window."""
    cityscapes_tree(tmp_path)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DETECTRON2_DATASETS": str(tmp_path), "PYTHONPATH": path}
    weights = write_weights(tmp_path / "w.pth", 19, 0)
    more = [
        f"train.init_checkpoint={weights}",
        PREDICTOR_ALONE,
        "model.inference.crop=[32,48]",
        "model.inference.stride=[16,32]",
    ]
    evaluation = words("gcnet_r50_d8_769x769_40k_cityscapes.py", tmp_path, *more)
    for command in (
        ["datasets/prepare_cityscapes.py", "--any-count", "--workers", "1"],
        ["train_net.py", *evaluation],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    with registered_below(tmp_path):
        wanted = expected("cityscapes_fine_sem_seg_val", 0)
    found = metrics_in(tmp_path)["sem_seg"]
    check(found, wanted, mean="IoU")
    assert found["iIoU"] == 0
    assert math.isclose(found["IoU_sup"], wanted["share"] / 4)  # flat, sky, vehicle, human
    # The table by class reaches the terminal.
    assert any(line.split()[:1] == ["road"] for line in done.stdout.splitlines())


def label_folders(root: Path, values: list[int]) -> list[str]:
    """Two images for training and validation; the keys that name them."""
    keys = ["data.classes=[a,b,c]"]
    for part in ("train", "val"):
        for index in range(2):
            write_image(root / part / f"{index}.jpg", index, (64, 96))
            write_png(root / f"{part}_labels" / f"{index}.png", blocks(values, index, (64, 96)))
        keys += [f"data.{part}_images={root / part}", f"data.{part}_labels={root / part}_labels"]
    return keys


def test_any_two_folders_train_and_evaluate(tmp_path: Path) -> None:
    keys = label_folders(tmp_path, [0, 1, 2, 255])
    keys += ["train.max_iter=1", "train.eval_period=0", "train.device=cpu", "train.seed=1"]
    keys += ["dataloader.train.num_workers=0", "dataloader.test.num_workers=0"]
    keys += ["dataloader.train.total_batch_size=2", f"train.output_dir={tmp_path / 'output'}"]
    run(parse_arguments(["--config-file", str(CONFIGS / "gcnet_label_folders.py"), *keys]))
    found = metrics_in(tmp_path)["sem_seg"]
    assert {"mIoU", "IoU-a", "IoU-b", "IoU-c", "ACC-c"} <= set(found)
    log = (tmp_path / "output" / "log.txt").read_text()
    assert "Training set: 2 images, 2 label maps; 1 iterations of 2 images" in log


def test_labels_that_are_no_class_stop_the_run(tmp_path: Path) -> None:
    keys = label_folders(tmp_path, [0, 1, 3])
    keys.append(f"train.output_dir={tmp_path / 'output'}")
    arguments = ["--config-file", str(CONFIGS / "gcnet_label_folders.py"), *keys]
    with pytest.raises(UserError, match=r"0\.png has the labels 3 \(\d+ pixels\), but the 3 cl"):
        run(parse_arguments(arguments))


def test_labels_of_a_named_data_set_are_checked_before_training(tmp_path: Path) -> None:
    """Someone has copied the official label maps of ADE20K, in which 150 is a class."""
    ade20k_tree(tmp_path)
    base = tmp_path / "ADEChallengeData2016"
    (base / "annotations").rename(base / "annotations_detectron2")
    config = str(CONFIGS / "gcnet_r50_d8_512x512_80k_ade20k.py")
    small = LazyConfig.load(str(CONFIGS / "gcnet_label_folders.py")).model
    cfg = LazyConfig.load(config)
    cfg.model = small
    cfg.model.sem_seg_head.num_classes = 150
    if "auxiliary_head" in cfg.model and cfg.model.auxiliary_head is not None:
        cfg.model.auxiliary_head.num_classes = 150
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    keys = ["train.device=cpu", f"train.output_dir={tmp_path / 'output'}", "train.init_checkpoint="]
    with registered_below(tmp_path), pytest.raises(UserError, match="has the labels 150"):
        run(parse_arguments(["--config-file", str(tmp_path / "config.yaml"), *keys]))


def test_folders_by_yaml_keys(tmp_path: Path) -> None:
    label_folders(tmp_path, [0, 1, 2])
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    yaml = tmp_path / "config.yaml"
    for classes in ("[a, b, c]", f"['{tmp_path}/names.txt']"):
        yaml.write_text(
            f"DATASETS:\n  LABEL_FOLDERS:\n    TRAIN_IMAGES: {tmp_path}/train\n"
            f"    TRAIN_LABELS: {tmp_path}/train_labels\n    VAL_IMAGES: {tmp_path}/val\n"
            f"    VAL_LABELS: {tmp_path}/val_labels\n    CLASSES: {classes}\n"
        )
        cfg = load_config(str(yaml), [])
        assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3
        assert len(DatasetCatalog.get(cfg.DATASETS.TRAIN[0])) == 2
        assert MetadataCatalog.get(cfg.DATASETS.TEST[0]).stuff_classes == ["a", "b", "c"]
    with pytest.raises(UserError, match=r"DATASETS\.LABEL_FOLDERS"):
        load_config(str(yaml), ["DATASETS.LABEL_FOLDERS.VAL_IMAGES", ""])
