import json
import math
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.evaluation import SemSegEvaluator
from detectron2.evaluation.sem_seg_evaluation import load_image_into_numpy_array
from tests.golden_files import DATA, load_golden_json

LABELS = DATA / "coco_semseg/labels_supercategory/val"


def one_hot(labels, num_classes):
    return torch.nn.functional.one_hot(torch.from_numpy(labels), num_classes).permute(2, 0, 1)


def test_real_labels_score_as_upstream(register):
    paths = sorted(LABELS.glob("*.png"))
    dicts = [{"file_name": p.name, "sem_seg_file_name": str(p)} for p in paths]
    name = register(dicts, stuff_classes=[str(i) for i in range(13)], ignore_label=255)
    evaluator = SemSegEvaluator(name)
    evaluator.reset()
    for path, record in zip(paths, dicts, strict=True):
        labels = np.array(Image.open(path)).astype(np.int64)
        labels[labels == 255] = 0
        random = np.random.RandomState(zlib.crc32(f"eval/{path.name}".encode()))
        wrong = random.uniform(size=labels.shape) < 0.2
        labels[wrong] = (labels[wrong] + 1) % 13
        evaluator.process([record], [{"sem_seg": one_hot(labels, 13)}])
    results = evaluator.evaluate()["sem_seg"]
    expected = load_golden_json("d2_evaluation")["sem_seg"]
    assert list(results) == list(expected)
    np.testing.assert_allclose(list(results.values()), list(expected.values()), rtol=0, atol=1e-5)


@pytest.fixture
def small(register, tmp_path):
    """``small(label map, **metadata)`` gives a data set of one image "x.jpg" with three classes."""

    def make(labels, **metadata):
        path = tmp_path / "x.png"
        Image.fromarray(np.asarray(labels, dtype=np.uint8)).save(path)
        defaults = {"stuff_classes": ["a", "b", "c"], "ignore_label": 255}
        dicts = [{"file_name": "x.jpg", "sem_seg_file_name": str(path)}]
        return register(dicts, **{**defaults, **metadata})

    return make


def evaluate(name, prediction, num_outputs=3, **arguments):
    evaluator = SemSegEvaluator(name, **arguments)
    evaluator.reset()
    prediction = np.asarray(prediction, dtype=np.int64)
    evaluator.process([{"file_name": "x.jpg"}], [{"sem_seg": one_hot(prediction, num_outputs)}])
    return evaluator.evaluate()["sem_seg"]


def test_figures_by_hand(small):
    truth = [[0, 0, 1, 1], [0, 0, 1, 255]]
    results = evaluate(small(truth), [[0, 0, 1, 0], [0, 0, 0, 2]])
    assert results["IoU-a"] == pytest.approx(100 * 4 / 6)
    assert results["IoU-b"] == pytest.approx(100 / 3)
    assert math.isnan(results["IoU-c"])
    assert results["mIoU"] == pytest.approx(50)
    assert results["fwIoU"] == pytest.approx(100 * (4 / 6 * 4 + 1 / 3 * 3) / 7)
    assert results["ACC-b"] == pytest.approx(100 / 3)
    assert results["pACC"] == pytest.approx(100 * 5 / 7)
    assert results["mACC"] == pytest.approx(100 * (1 + 1 / 3) / 2)


def test_perfect_prediction(small):
    labels = np.repeat(np.repeat([[0, 1], [2, 0]], 20, 0), 20, 1)
    results = evaluate(small(labels), labels)
    assert all(value == pytest.approx(100) for value in results.values())


def test_nothing_to_count_is_nan_without_warnings(small):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        results = evaluate(small(np.full((4, 4), 1)), np.full((4, 4), 1))
    assert results["mIoU"] == results["pACC"] == 100
    assert math.isnan(results["ACC-a"])


def test_files_are_written(small, tmp_path):
    truth = [[0, 0, 1, 1], [0, 0, 1, 255]]
    name = small(truth, stuff_dataset_id_to_contiguous_id={10: 0, 20: 1, 30: 2})
    evaluate(name, [[0, 0, 1, 1], [0, 0, 1, 1]], output_dir=str(tmp_path / "out"))
    written = json.loads((tmp_path / "out/sem_seg_predictions.json").read_text())
    assert [row["category_id"] for row in written] == [10, 20]
    assert {row["file_name"] for row in written} == {"x.jpg"}
    assert written[0]["segmentation"]["size"] == [2, 4]
    assert (tmp_path / "out/sem_seg_evaluation.pth").exists()


def test_own_loader_and_ignore_label(small):
    name = small([[0, 0, 1, 1]])
    calls = []

    def load(path, dtype=None):
        calls.append(path)
        return np.array([[0, 0, 2, 2]], dtype=dtype)

    results = evaluate(name, [[0, 0, 1, 1]], sem_seg_loading_fn=load, ignore_label=2)
    assert len(calls) == 1
    assert results["mIoU"] == pytest.approx(100)
    assert math.isnan(results["IoU-b"])


def test_number_of_classes_has_to_agree(small):
    name = small([[0]])
    SemSegEvaluator(name, num_classes=3)
    with pytest.raises(AssertionError):
        SemSegEvaluator(name, num_classes=4)


@pytest.mark.core_only(reason="sentences of core's own")
def test_bad_input_is_named(small):
    with pytest.raises(ValueError, match=r"x\.png has shape \(1, 3\)"):
        evaluate(small([[0, 1, 2]]), [[0, 1]])
    with pytest.raises(ValueError, match=r"x\.png has the labels \[7\]"):
        evaluate(small([[0, 7]]), [[0, 1]])
    with pytest.raises(ValueError, match="only 3 classes"):
        evaluate(small([[0, 1]]), [[0, 4]], num_outputs=5)
    evaluator = SemSegEvaluator(small([[0, 1]]))
    with pytest.raises(ValueError, match=r"other\.jpg is not an image"):
        evaluator.process([{"file_name": "other.jpg"}], [{"sem_seg": torch.zeros(3, 1, 2)}])


@pytest.mark.core_only(reason="a part of core's own")
@pytest.mark.parametrize("shape", [(7, 9), (40, 300), (64, 64)])
def test_erosion_against_its_definition(small, shape):
    evaluator = SemSegEvaluator(small([[0]]))
    labels = np.random.RandomState(3).randint(0, 4, shape).astype(np.uint8)
    labels[: shape[0] // 2] = 3
    eroded = labels
    for _ in range(max(1, round(0.02 * math.hypot(*shape)))):
        padded = np.pad(eroded, 1)
        rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
        eroded = np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    np.testing.assert_array_equal(evaluator._mask_to_boundary(labels), labels - eroded)


def test_label_files_are_read_as_they_are(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(labels).save(tmp_path / "x.png")
    read = load_image_into_numpy_array(str(tmp_path / "x.png"), dtype=int)
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, labels)
