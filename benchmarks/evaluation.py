"""COCO's metrics from many detections: hotcoco, which core uses, and pycocotools, in turns.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --images 5000 --truths 7.2 --detections 20

The first measures 2,000 images of 100 detections, the second a set as large as COCO's val2017. The
curves of both ways are compared bit by bit.
"""

import argparse
import contextlib
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.measure import environment, measure_in_turns, table
from detectron2.evaluation.coco_evaluation import _evaluate_predictions_on_coco
from detectron2.evaluation.fast_eval_api import COCOeval_opt

HEIGHT, WIDTH, CLASSES = 240, 320, 80
TASKS = ("bbox", "segm")
HEADERS = ["task", "hotcoco s", "pycocotools s", "ratio", "MiB", "pycocotools MiB", "equal"]
Record = dict[str, Any]


def make_data(images: int, truths: float, detections: int) -> tuple[Record, list[Record]]:
    """A ground truth, and results of which two in five lie near an object of the same class."""
    rng = np.random.default_rng(0)
    content: Record = {
        "images": [{"id": i, "width": WIDTH, "height": HEIGHT} for i in range(images)],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
        "annotations": [],
    }
    results = []
    for image in range(images):
        objects = [_random_object(rng) for _ in range(rng.poisson(truths))]
        for box, category in objects:
            annotation = _record(image, box, category)
            annotation |= {"id": len(content["annotations"]) + 1, "area": box[2] * box[3]}
            content["annotations"].append(annotation | {"iscrowd": int(rng.random() < 0.02)})
        for _ in range(detections):
            box, category = _random_object(rng)
            if objects and rng.random() < 0.4:
                box, category = objects[rng.integers(len(objects))]
                box = np.maximum(box + rng.normal(0, 3, 4), (0, 0, 1, 1))
            score = float(np.round(rng.random(), 3))  # with ties
            results.append(_record(image, box, category) | {"score": score})
    return content, results


def _random_object(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    width, height = rng.uniform(4, 150, 2)
    corner = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    return np.array([*corner, width, height]), int(rng.integers(CLASSES)) + 1


def _record(image: int, box: np.ndarray, category: int) -> Record:
    x, y, width, height = (int(value) for value in box)
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    pixels[y : y + height + 1, x : x + width + 1] = 1
    mask = mask_util.encode(pixels)
    mask["counts"] = mask["counts"].decode()
    return {"image_id": image, "category_id": category, "bbox": box.tolist(), "segmentation": mask}


def compare(images: int, truths: float, detections: int, repeat: int) -> list[list[Any]]:
    """Rows as :data:`HEADERS`: seconds and peak memory of both ways, and whether they agree."""
    content, results = make_data(images, truths, detections)
    truth = COCO()
    truth.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    rows = []
    for task in TASKS:
        curves: dict[type[COCOeval], Any] = {}

        def run(kind: type[COCOeval], task: str = task, curves: Any = curves) -> None:
            evaluation = _evaluate_predictions_on_coco(truth, results, task, cocoeval_fn=kind)
            curves[kind] = evaluation.eval

        ways = {kind.__name__: partial(run, kind) for kind in (COCOeval_opt, COCOeval)}
        ours, theirs = measure_in_turns(ways, warmup=0, repeat=repeat)
        same = all(
            np.array_equal(curves[COCOeval_opt][name], curves[COCOeval][name])
            for name in ("precision", "recall", "scores")
        )
        memory = round(ours.peak_mib), round(theirs.peak_mib)
        ratio = ours.seconds / theirs.seconds
        rows.append([task, ours.seconds, theirs.seconds, ratio, *memory, same])
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--truths", type=float, default=18, help="objects per image, on average")
    parser.add_argument("--detections", type=int, default=100, help="per image")
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args(words)
    rows = compare(given.images, given.truths, given.detections, given.repeat)
    print(environment(), table(rows, HEADERS), sep="\n\n")


if __name__ == "__main__":
    main()
