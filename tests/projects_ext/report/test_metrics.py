"""The figures are those of pycocotools, and of counting by hand."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from projects_ext.report.evaluation import evaluate, metrics, object_counts
from projects_ext.report.outcomes import outcomes
from projects_ext.report.results import read_results
from projects_ext.report.scores import calibration, precision_recall, score_curve

from .scenes import random_scene, scene, write_scene


def reference(results: Path, truth: Path, task: str) -> Any:
    """pycocotools' evaluation."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(truth))
        entries = json.loads(results.read_text())
        if task == "segm":  # or the area of the box would count
            entries = [{k: v for k, v in one.items() if k != "bbox"} for one in entries]
        found = ground_truth.loadRes(entries)
        evaluation = COCOeval(ground_truth, found, task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_metrics_equal_those_of_pycocotools(tmp_path: Path, task: str) -> None:
    files = write_scene(tmp_path, *random_scene(3), masks=True, crowds=[2, 9])
    expected = reference(files[0], files[1], task)
    evaluation = evaluate(read_results(*files), task)
    measured = metrics(evaluation)
    places = {"AP": 0, "AP50": 1, "AP75": 2, "APs": 3, "APm": 4, "AR": 8}
    for name, place in places.items():
        assert getattr(measured, name) == pytest.approx(100 * expected.stats[place]), name
    assert np.isnan(measured.APl)
    by_class = expected.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    for place, value in enumerate(by_class):
        measured = metrics(evaluation, place)
        assert pytest.approx(100 * float(value)) == measured.AP
    curves = precision_recall(evaluation)
    np.testing.assert_array_equal(curves.by_class, expected.eval["precision"][0, :, :, 0, -1])
    np.testing.assert_allclose(
        curves.by_overlap["mean of 0.5 to 0.95"],
        expected.eval["precision"][..., 0, -1].mean(axis=(0, 2)),
    )


def test_more_than_a_hundred_detections_count(tmp_path: Path) -> None:
    box = (10.0, 10.0, 20.0, 20.0)
    wrong = [(0, 0, (60.0, 60.0, 20.0, 20.0), 0.9)] * 120
    results = scene(tmp_path, [(0, 0, box)], [*wrong, (0, 0, box, 0.1)])
    assert metrics(evaluate(results, "bbox")).AR == 100


def test_thresholds_by_hand(tmp_path: Path) -> None:
    box, far = (10.0, 10.0, 20.0, 20.0), (60.0, 60.0, 20.0, 20.0)
    objects = [(k, 0, box) for k in range(4)]
    detections = [(0, 0, box, 0.9), (1, 0, box, 0.8), (1, 0, far, 0.7), (2, 0, box, 0.6)]
    detections += [(3, 0, far, 0.2), (2, 0, far, 0.2)]
    evaluation = evaluate(scene(tmp_path, objects, detections), "bbox")
    curve = score_curve(outcomes(evaluation))
    assert curve.threshold.tolist() == [0.2, 0.6, 0.7, 0.8, 0.9]
    assert curve.precision.tolist() == [3 / 6, 3 / 4, 2 / 3, 1, 1]
    assert curve.recall.tolist() == [3 / 4, 3 / 4, 2 / 4, 2 / 4, 1 / 4]
    assert (curve.best.threshold, curve.best.f1) == (0.6, 0.75)
    assert curve.at(0.65).precision == 2 / 3
    assert curve.at(0.95).recall == 0
    assert score_curve(outcomes(evaluation), 1).best.f1 == 0
    measured = calibration(evaluation)
    assert measured is not None
    assert measured.count.tolist() == [0, 0, 2, 0, 0, 0, 1, 1, 1, 1]
    assert measured.accuracy[[2, 6, 7, 8, 9]].tolist() == [0, 1, 0, 1, 1]
    gaps = 2 * 0.2 + 0.4 + 0.7 + 0.2 + 0.1
    assert measured.error == pytest.approx(gaps / 6)


def test_objects_are_counted_by_size(tmp_path: Path) -> None:
    objects = [(0, 0, (0.0, 0.0, 10.0, 10.0)), (0, 1, (0.0, 0.0, 50.0, 50.0))]
    objects += [(0, 1, (0.0, 0.0, 99.0, 99.0)), (0, 1, (0.0, 0.0, 99.0, 99.0))]
    results = scene(tmp_path, objects, [], crowds=[3])
    assert object_counts(results).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("masks", [False, True])
def test_no_detections_are_a_result_of_zero(tmp_path: Path, masks: bool) -> None:
    results = scene(tmp_path, [(0, 0, (10.0, 10.0, 20.0, 20.0))], [], masks=masks)
    evaluation = evaluate(results, results.tasks[-1])
    assert metrics(evaluation).AP == 0
    curve = score_curve(outcomes(evaluation))
    assert curve.best.f1 == 0
    assert outcomes(evaluation).missed(0.5).all()
