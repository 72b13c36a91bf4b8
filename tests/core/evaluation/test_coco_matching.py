"""The vectorised matching against pycocotools' own loops."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

pytestmark = pytest.mark.core_only(reason="a part of core's own")


def _index(content):
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _random_case(seed):
    """Crowded images: equal scores, equal boxes, crowds, objects of all sizes, empty images."""
    rng = np.random.RandomState(seed)
    images = [{"id": i, "width": 300, "height": 300} for i in range(1, 9)]
    categories = [{"id": i, "name": str(i)} for i in (1, 3, 9)]
    truths, results = [], []
    for image in images[:-1]:
        for _ in range(rng.randint(0, 7)):
            box = (rng.randint(0, 12, 4) * 12 + (0, 0, 8, 8)).tolist()
            truth = {"id": len(truths) + 1, "image_id": image["id"], "bbox": box}
            truth |= {"category_id": int(rng.choice([1, 3])), "area": box[2] * box[3]}
            truths.append(truth | {"iscrowd": int(rng.uniform() < 0.2)})
            for _ in range(rng.randint(0, 5)):
                moved = np.maximum(np.array(box) + rng.randint(-3, 4, 4) * 4, 4).tolist()
                result = {"image_id": image["id"], "category_id": int(rng.choice([1, 3, 9]))}
                results.append(result | {"bbox": moved, "score": float(rng.randint(1, 6)) / 5})
    return {"images": images, "categories": categories, "annotations": truths}, results


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [2, 100])
def test_same_curves_as_pycocotools(seed, limit):
    from detectron2.evaluation._coco_matching import VectorizedCOCOeval

    content, results = _random_case(seed)
    curves = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(content)
        for implementation in (COCOeval, VectorizedCOCOeval):
            found = truth.loadRes([dict(result) for result in results])
            evaluation = implementation(truth, found, "bbox")
            evaluation.params.maxDets = [1, 2, limit]
            evaluation.evaluate()
            evaluation.accumulate()
            curves.append(evaluation.eval)
    for field in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(curves[1][field], curves[0][field])
    assert (curves[0]["precision"] > 0).any()


def _match(overlaps, ignored, crowd, threshold=0.5):
    from detectron2.evaluation._coco_matching import _greedy_match

    matched, to_ignored = _greedy_match(
        np.array(overlaps), np.array([ignored]), np.array(crowd), np.array([threshold])
    )
    return matched[0, 0].tolist(), to_ignored[0, 0].tolist()


def test_each_object_is_found_once():
    assert _match([[0.9], [0.8]], [False], [False]) == ([True, False], [False, False])


def test_crowd_absorbs_any_number():
    assert _match([[0.9], [0.8]], [True], [True]) == ([True, True], [True, True])


def test_object_that_counts_is_preferred_to_an_ignored_one():
    assert _match([[0.95, 0.6]], [True, False], [False, False]) == ([True], [False])
    assert _match([[0.95, 0.4]], [True, False], [False, False]) == ([True], [True])


def test_no_objects():
    assert _match(np.zeros((2, 0)), np.zeros(0, bool), np.zeros(0, bool)) == ([False] * 2,) * 2


@pytest.mark.parametrize("first_id", [0, 1])
def test_annotation_id_zero_counts(first_id):
    from detectron2.evaluation._coco_matching import VectorizedCOCOeval

    box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50]}
    content = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}]}
    content["annotations"] = [box | {"id": first_id, "area": 2500, "iscrowd": 0}]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _index(content)
        evaluation = VectorizedCOCOeval(truth, truth.loadRes([box | {"score": 1.0}]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    assert evaluation.eval["precision"][:, :, 0, 0, -1].mean() == pytest.approx(1)
