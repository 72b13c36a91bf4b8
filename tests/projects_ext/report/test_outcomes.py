"""What is wrong with a detection is named right, on scenes with one known mistake each."""

from pathlib import Path

import numpy as np
import pytest

from projects_ext.report.analysis import analyse
from projects_ext.report.errors import confusion, error_costs, errors_by_class, most_confused
from projects_ext.report.evaluation import evaluate
from projects_ext.report.images import fair_choice, image_scores, worst_images
from projects_ext.report.outcomes import Kind, Outcomes, outcomes
from projects_ext.report.scores import score_curve

from .scenes import Thing, random_scene, scene

CAT, DOG, OTHER = range(3)
BOX = (10.0, 10.0, 40.0, 40.0)


def look(folder: Path, objects: list[Thing], detections: list[Thing], masks: bool) -> Outcomes:
    results = scene(folder, objects, detections, masks=masks)
    return outcomes(evaluate(results, results.tasks[-1]))


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((0, CAT, BOX, 0.6), Kind.DUPLICATE),
        ((0, DOG, (12.0, 10.0, 40.0, 40.0), 0.6), Kind.CLASS),
        ((0, CAT, (30.0, 30.0, 40.0, 40.0), 0.6), Kind.LOCATION),
        ((0, DOG, (30.0, 30.0, 40.0, 40.0), 0.6), Kind.BOTH),
        ((0, CAT, (70.0, 70.0, 20.0, 20.0), 0.6), Kind.BACKGROUND),
        ((1, CAT, BOX, 0.6), Kind.BACKGROUND),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, detection: Thing, kind: Kind, masks: bool) -> None:
    # The image with the object has another, right detection.
    found = look(tmp_path, [(0, CAT, BOX)], [(0, CAT, BOX, 0.9), detection], masks)
    assert found.kind.tolist() == [Kind.RIGHT, kind]
    assert found.target.tolist() == [0, -1 if kind == Kind.BACKGROUND else 0]
    assert found.overlap[0] == 1
    assert not found.missed(0.5).any()
    assert found.missed(0.95).all()
    assert found.wrong(0.5).tolist() == [False, True]


def test_what_hits_a_crowd_is_no_mistake_anywhere(tmp_path: Path) -> None:
    objects = [(0, CAT, (0.0, 0.0, 90.0, 90.0)), (1, CAT, BOX)]
    detections = [(0, CAT, BOX, 0.9), (1, CAT, BOX, 0.8)]
    results = scene(tmp_path, objects, detections, crowds=[0])
    evaluation = evaluate(results, "bbox")
    found = outcomes(evaluation)
    assert found.kind.tolist() == [Kind.IGNORED, Kind.RIGHT]
    assert not found.missed(0.5).any()
    assert confusion(found, 0.5, 3).sum() == 1
    assert image_scores(found, 0.5, 2).errors.tolist() == [0, 0]


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_tide(tmp_path: Path, seed: int, masks: bool) -> None:
    results = scene(tmp_path, *random_scene(seed), masks=masks)
    evaluation = evaluate(results, results.tasks[-1])
    found = outcomes(evaluation)
    costs = error_costs(evaluation, found, 0.0)
    assert [one.count for one in costs] == [one.count_sure for one in costs]
    assert sum(one.count for one in costs) > 20
    assert [one.cost for one in costs] == sorted((one.cost for one in costs), reverse=True)


def test_the_costliest_error_is_the_one_that_was_made(tmp_path: Path) -> None:
    objects = [(k, CAT, BOX) for k in range(5)]
    detections = [(k, DOG if k < 3 else CAT, BOX, 0.9) for k in range(5)]
    results = scene(tmp_path, objects, detections)
    evaluation = evaluate(results, "bbox")
    found = outcomes(evaluation)
    first, *others = error_costs(evaluation, found, 0.5)
    assert (first.kind, first.count) == (Kind.CLASS, 3)
    # Two of five are found: with the others right, all would be.
    assert first.cost == pytest.approx(100 - 100 * 41 / 101)
    assert all(one.count == 0 for one in others)
    by_class = errors_by_class(found, 0.5, 3)
    assert by_class[CAT, Kind.CLASS] == by_class[DOG, Kind.CLASS] == 3
    assert by_class.sum() == 6


def test_a_class_confused_on_purpose_shows_up_in_the_matrix(tmp_path: Path) -> None:
    objects = [(0, CAT, BOX), (1, CAT, BOX), (2, DOG, BOX), (3, OTHER, BOX)]
    detections = [
        (0, DOG, BOX, 0.9),
        (1, CAT, BOX, 0.9),
        (2, DOG, BOX, 0.9),
        (2, OTHER, (70.0, 70.0, 20.0, 20.0), 0.9),
        (3, OTHER, BOX, 0.3),
    ]
    evaluation = evaluate(scene(tmp_path, objects, detections), "bbox")
    matrix = confusion(outcomes(evaluation), 0.5, 3)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    (pair,) = most_confused(matrix, evaluation.results.classes, np.array([2, 1, 1]))
    assert (pair.actual, pair.said) == evaluation.results.classes[:2]
    assert (pair.count, pair.total) == (1, 2)


def test_an_object_that_is_found_is_on_the_diagonal_whatever_else_hits_it(tmp_path: Path) -> None:
    objects = [(k, CAT, BOX) for k in range(10)]
    detections = [(k, DOG, (10.0, 10.0, 40.0, 24.0), 0.9) for k in range(10)]
    detections += [(k, CAT, BOX, 0.8) for k in range(10)]
    analysis = analyse(scene(tmp_path, objects, detections), "bbox")
    assert analysis.by_class[CAT].AP == 100
    assert analysis.confusion.tolist() == [[10, 10, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert "wrong class (10), mostly with " + analysis.classes[DOG] == analysis.main_error(CAT)


@pytest.mark.parametrize("seed", range(4))
def test_the_matrix_agrees_with_the_tables(tmp_path: Path, seed: int) -> None:
    analysis = analyse(scene(tmp_path, *random_scene(seed), crowds=[2]), "bbox")
    matrix, found = analysis.confusion, analysis.found
    objects = np.bincount(found.object_label[~found.crowd], minlength=3)
    points = [score_curve(found, k).at(analysis.threshold) for k in range(3)]
    np.testing.assert_allclose(np.diag(matrix)[:3], [p.recall for p in points] * objects)
    errors = {one.kind: one.count_sure for one in analysis.costs}
    inner = matrix[:3, :3]
    assert inner.sum() - np.trace(inner) == errors[Kind.CLASS]
    assert matrix[3].sum() == sum(errors.values()) - errors[Kind.CLASS] - errors[Kind.MISSED]
    assert (
        matrix[:, :3].sum()
        == ((found.score >= analysis.threshold) & (found.kind != Kind.IGNORED)).sum()
    )


def test_images_are_ranked_by_their_errors(tmp_path: Path) -> None:
    objects = [(0, CAT, BOX), (1, CAT, BOX), (2, CAT, BOX)]
    detections = [(0, CAT, BOX, 0.9), (1, DOG, BOX, 0.9), (3, DOG, BOX, 0.2)]
    found = look(tmp_path, objects, detections, masks=False)
    scores = image_scores(found, 0.5, 4)
    assert scores.right.tolist() == [1, 0, 0, 0]
    assert scores.wrong.tolist() == [0, 1, 0, 0]
    assert scores.missed.tolist() == [0, 1, 1, 0]
    assert scores.f1.tolist() == [1, 0, 0, 1]
    assert worst_images(scores, 5).tolist() == [1, 2]
    assert worst_images(scores, 1).tolist() == [1]


def test_no_class_is_left_out_of_a_gallery() -> None:
    value, label = np.array([9.0, 8, 7, 6, 5, 1]), np.array([0, 0, 0, 0, 0, 1])
    assert fair_choice(value, label, 3, each=2).tolist() == [0, 1, 5]
    assert fair_choice(value, label, 4, each=2).tolist() == [0, 1, 2, 5]
    assert fair_choice(value[:0], label[:0], 4).tolist() == []
