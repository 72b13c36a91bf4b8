"""The files that ``demo/demo.py`` writes have the metrics of ``train_net.py --eval-only``."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from projects_ext.engine.arguments import parse_arguments as training_arguments
from projects_ext.engine.main import run as train_net
from projects_ext.prediction import main as program
from projects_ext.prediction.arguments import parse_arguments
from tests.projects_ext.prediction.models import (
    SEMANTIC,
    config_path,
    every_score,
    label_keys,
    write_checkpoint,
)

EVAL = ["--eval-only", "train.device=cpu", "dataloader.test.num_workers=0"]


def evaluate(config: str, folder: Path, *keys: str) -> dict[str, dict[str, float]]:
    """The metrics of an evaluation."""
    words = ["--config-file", config, *EVAL, f"train.output_dir={folder}", *keys]
    train_net(training_arguments(words))
    metrics: dict[str, dict[str, float]] = json.loads((folder / "evaluation.json").read_text())[
        "metrics"
    ]
    return metrics


def predict(config: str, weights: str, images: Path, output: Path, *words: str) -> None:
    given = ["--config-file", config, "--weights", weights, "--device", "cpu"]
    given += ["--input", str(images), "--output", str(output), *words]
    assert program.run(parse_arguments(given)) == 0


def truth_from(found: Path, truth: Path, target: Path) -> None:
    """A data set whose objects are some of those that a model has found, so that AP is above 0.

    Args:
        found: the output folder of the demo.
        truth: the annotations of the images.
        target: the new annotations.
    """
    content = json.loads(truth.read_text())
    ids = {Path(image["file_name"]).name: image for image in content["images"]}
    images = {x["id"]: ids[Path(x["file_name"]).name] for x in read(found / "coco_images.json")}
    annotations: list[dict[str, Any]] = []
    for row in json.loads((found / "coco_instances_results.json").read_text())[::3]:
        image = images[row["image_id"]]
        x, y, width, height = row["bbox"]
        x1, y1 = min(x + width, image["width"]), min(y + height, image["height"])
        one = {"category_id": row["category_id"], "image_id": image["id"], "iscrowd": 0}
        if "segmentation" in row:
            one["segmentation"] = row["segmentation"]
            one["bbox"] = mask_util.toBbox(row["segmentation"]).tolist()
            one["area"] = float(mask_util.area(row["segmentation"]))
        else:
            one["segmentation"] = [[x, y, x1, y, x1, y1, x, y1]]
            one["bbox"], one["area"] = [x, y, x1 - x, y1 - y], (x1 - x) * (y1 - y)
        if one["area"] > 16 and min(one["bbox"][2:]) > 2:
            annotations.append({"id": len(annotations) + 1, **one})
    target.write_text(json.dumps({**content, "annotations": annotations}))


def read(path: Path) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = json.loads(path.read_text())["images"]
    return images


def average_precision(truth: Path, found: Path, kind: str) -> list[float]:
    """AP, AP50 and AP75 of the demo's results, by pycocotools alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(str(truth))
        ids = {Path(image["file_name"]).name: key for key, image in data.imgs.items()}
        images = {x["id"]: ids[Path(x["file_name"]).name] for x in read(found / "coco_images.json")}
        rows = json.loads((found / "coco_instances_results.json").read_text())
        results = data.loadRes([{**row, "image_id": images[row["image_id"]]} for row in rows])
        evaluation = COCOeval(data, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(x) for x in evaluation.stats[:3]]


@pytest.mark.parametrize("name", ["mask", "condinst", "grid"])
def test_average_precision(
    name: str, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    config, weights = config_path(name), write_checkpoint(name, tmp_path, shapes_overrides)
    found, truth = tmp_path / "found", tmp_path / "truth.json"
    words = ["--save", "coco", "--confidence-threshold", "0", "--batch-size", "3"]
    predict(config, weights, shapes / "val", found, *words)
    truth_from(found, shapes / "annotations" / "instances_val.json", truth)
    metrics = evaluate(
        config, tmp_path / "run", *shapes_overrides, f"data.val_json={truth}",
        f"train.init_checkpoint={weights}", every_score(name),
    )  # fmt: skip
    assert set(metrics) == ({"bbox"} if name == "grid" else {"bbox", "segm"})
    # Random weights of CondInst give masks that are elsewhere than their boxes.
    assert 1 < max(values["AP"] for values in metrics.values()) < 99
    for kind, values in metrics.items():
        expected = [values[key] for key in ("AP", "AP50", "AP75")]
        # Scores are written with 6 digits, so that the order of very similar ones may change.
        assert average_precision(truth, found, kind) == pytest.approx(expected, abs=0.05)


def test_mean_iou(shapes: Path, tmp_path: Path) -> None:
    weights, found = write_checkpoint(SEMANTIC, tmp_path, label_keys(shapes)), tmp_path / "found"
    key = "model.predict_multi_scale=False"
    words = ["--save", "label-maps", "--opts", key]
    predict(config_path(SEMANTIC), weights, shapes / "val", found, *words)
    init = f"train.init_checkpoint={weights}"
    metrics = evaluate(config_path(SEMANTIC), tmp_path / "run", *label_keys(shapes), key, init)
    counts = np.zeros((6, 6))
    for path in sorted((shapes / "labels" / "val").iterdir()):
        labels, truth = (
            np.asarray(Image.open(x)) for x in (found / "label_maps" / path.name, path)
        )
        known = truth < 6
        np.add.at(counts, (truth[known], labels[known]), 1)
    both = np.diag(counts)
    iou = 100 * both / (counts.sum(axis=0) + counts.sum(axis=1) - both)
    assert iou.max() > 1
    assert metrics["sem_seg"]["mIoU"] == pytest.approx(iou.mean())
    assert metrics["sem_seg"]["pACC"] == pytest.approx(100 * both.sum() / counts.sum())
