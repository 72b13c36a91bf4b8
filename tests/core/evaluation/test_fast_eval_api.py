"""The compiled evaluation against pycocotools' own loops."""

import contextlib
import io
import multiprocessing

import numpy as np
import pytest
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

pytestmark = pytest.mark.core_only(reason="a part of core's own")

SIZE = 300


def _index(content):
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _run_lengths(box):
    x, y, width, height = (int(value) for value in box)
    pixels = np.zeros((SIZE, SIZE), np.uint8, order="F")
    pixels[y : y + height, x : x + width] = 1
    # A hole, so that a mask is not its box.
    pixels[y + height // 3 : y + height // 2, x + width // 3 : x + width // 2] = 0
    encoded = mask_util.encode(pixels)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def _polygon(box):
    x, y, width, height = (float(value) for value in box)
    return [[x, y, x + width, y, x + width, y + height], [x, y, x, y + height, x + width / 2, y]]


def _random_case(seed):
    """Crowded images: equal scores, equal boxes, crowds, objects of all sizes, empty images."""
    rng = np.random.RandomState(seed)
    images = [{"id": i, "width": SIZE, "height": SIZE} for i in range(1, 9)]
    categories = [{"id": i, "name": str(i)} for i in (9, 1, 3)]
    truths, results = [], []
    for image in images[:-1]:
        for _ in range(rng.randint(0, 7)):
            box = (rng.randint(0, 12, 4) * 12 + (0, 0, 8, 8)).tolist()
            crowd = int(rng.uniform() < 0.2)
            truth = {"id": len(truths) + 1, "image_id": image["id"], "bbox": box}
            truth |= {"category_id": int(rng.choice([1, 3])), "area": box[2] * box[3]}
            truth["segmentation"] = _run_lengths(box) if crowd else _polygon(box)
            truths.append(truth | {"iscrowd": crowd})
            for _ in range(rng.randint(0, 5)):
                moved = np.maximum(np.array(box) + rng.randint(-3, 4, 4) * 4, 4).tolist()
                result = {"image_id": image["id"], "category_id": int(rng.choice([1, 3, 9]))}
                result |= {"bbox": moved, "score": float(rng.randint(1, 6)) / 5}
                results.append(result | {"segmentation": _run_lengths(moved)})
    return {"images": images, "categories": categories, "annotations": truths}, results


def _evaluated(evaluator_class, content, results, task, **params):
    from detectron2.evaluation.coco_evaluation import _evaluate_predictions_on_coco

    return _evaluate_predictions_on_coco(
        _index(content), results, task, cocoeval_fn=evaluator_class, **params
    )


def _assert_same(ours, theirs):
    for field in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.eval[field], theirs.eval[field])
    np.testing.assert_array_equal(ours.stats, theirs.stats)


def _fast():
    from detectron2.evaluation.fast_eval_api import COCOeval_opt

    return COCOeval_opt


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [2, 100, 300])
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_same_curves_as_pycocotools(seed, limit, task):
    content, results = _random_case(seed)
    limits = {"max_dets_per_image": [1, 2, limit]}
    theirs = _evaluated(COCOeval, content, results, task, **limits)
    assert limit == 2 or (theirs.eval["precision"] > 0).any()
    _assert_same(_evaluated(_fast(), content, results, task, **limits), theirs)


def test_detections_may_be_indexed_as_for_pycocotools():
    content, results = _random_case(0)
    truth = _index(content)
    evaluations = []
    with contextlib.redirect_stdout(io.StringIO()):
        for evaluator_class in (COCOeval, _fast()):
            found = truth.loadRes([dict(result) for result in results])
            evaluation = evaluator_class(truth, found, "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            evaluations.append(evaluation)
    _assert_same(*evaluations)


@pytest.mark.parametrize("images", [[3, 1], [5], [7, 7, 2]])
def test_some_of_the_images(images):
    content, results = _random_case(1)
    parts = {"img_ids": images}
    _assert_same(
        _evaluated(_fast(), content, results, "bbox", **parts),
        _evaluated(COCOeval, content, results, "bbox", **parts),
    )


@pytest.mark.parametrize("rename", [str, lambda i: -i, lambda i: 2**70 + i])
def test_ids_that_the_library_does_not_take(rename):
    content, results = _random_case(2)
    for entry in (*content["annotations"], *results):
        entry["image_id"] = rename(entry["image_id"])
    for image in content["images"]:
        image["id"] = rename(image["id"])
    if isinstance(content["images"][0]["id"], int) and content["images"][0]["id"] > 2**63:
        # NumPy, through which pycocotools sorts ids, makes objects of such numbers.
        content["images"] = sorted(content["images"], key=lambda image: image["id"])
    _assert_same(
        _evaluated(_fast(), content, results, "bbox"),
        _evaluated(COCOeval, content, results, "bbox"),
    )


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_without_detections_or_objects(task):
    content, results = _random_case(3)
    for truths, found in ((content["annotations"], []), ([], results), ([], [])):
        part = {**content, "annotations": truths}
        _assert_same(
            _evaluated(_fast(), part, found, task), _evaluated(COCOeval, part, found, task)
        )


@pytest.mark.parametrize("first_id", [0, 1])
def test_annotation_id_zero_counts(first_id):
    box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50]}
    content = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}]}
    content["annotations"] = [box | {"id": first_id, "area": 2500, "iscrowd": 0}]
    evaluation = _evaluated(_fast(), content, [box | {"score": 1.0}], "bbox")
    assert evaluation.eval["precision"][:, :, 0, 0, -1].mean() == pytest.approx(1)


def _mean_precision_into(pipe):
    content, results = _random_case(0)
    evaluation = _evaluated(_fast(), content, results, "segm")
    pipe.send(evaluation.stats.tolist())


def test_a_process_forked_after_an_evaluation_evaluates_as_well():
    content, results = _random_case(0)
    expected = _evaluated(_fast(), content, results, "segm").stats.tolist()
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_mean_precision_into, args=(sender,), daemon=True
    )
    process.start()
    assert receiver.poll(60), "it waits for threads that it does not have"
    assert receiver.recv() == expected
    process.join()


def test_results_stay_as_they_are():
    content, results = _random_case(0)
    before = [dict(result) for result in results]
    _evaluated(_fast(), content, results, "segm")
    assert results == before


def test_keypoints_are_refused():
    with pytest.raises(ValueError, match="no keypoints"):
        _fast()(None, None, "keypoints")
