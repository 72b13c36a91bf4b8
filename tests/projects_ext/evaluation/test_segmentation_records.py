"""What a run keeps of its evaluation for the report."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects_ext.evaluation import SemanticEvaluator, segmentation_records
from projects_ext.evaluation.segmentation_records import FILE, FOLDER, SegmentationRecords
from projects_ext.evaluation.semantic_pictures import image_score

from .conftest import CLASSES, logits, semantic_records, spoiled

SHARES = (0.5, 0.0, 1.0, 0.25)  # worst to best: 2, 0, 3, 1


def evaluate(folder: Path, register: Callable[..., str], as_labels: bool = False) -> dict:
    records = semantic_records(folder)
    evaluator = SemanticEvaluator(register(records), str(folder / "out"))
    evaluator.reset()
    for share, record in zip(SHARES, records, strict=True):
        scores = logits(spoiled(record["labels"], share))
        evaluator.process([record], [{"sem_seg": scores.argmax(0) if as_labels else scores}])
    metrics = evaluator.evaluate()["sem_seg"]
    return {**json.loads((folder / "out" / FILE).read_text()), "metrics": metrics}


@pytest.mark.parametrize("as_labels", [False, True])
def test_figures_and_worst_images(
    tmp_path: Path, register: Callable[..., str], monkeypatch: pytest.MonkeyPatch, as_labels: bool
) -> None:
    monkeypatch.setattr(SegmentationRecords.__init__, "__defaults__", (2,))
    found = evaluate(tmp_path, register, as_labels)
    assert found["classes"] == CLASSES
    assert len(found["colours"]) == 3
    matrix = np.array(found["confusion"])
    iou = 100 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert iou.mean() == pytest.approx(found["metrics"]["mIoU"])
    # Rows are the ground truth.
    truth = np.concatenate([record["labels"].ravel() for record in semantic_records(tmp_path)])
    assert matrix.sum(axis=1).tolist() == np.bincount(truth, minlength=256)[:3].tolist()
    images = {Path(entry["file_name"]).stem: entry for entry in found["images"]}
    for index, (share, record) in enumerate(zip(SHARES, semantic_records(tmp_path), strict=True)):
        prediction = spoiled(record["labels"], share)
        entry, known = images[str(index)], record["labels"] != 255
        assert entry["mean_iou"] == pytest.approx(image_score(prediction, record["labels"]))
        assert entry["pixels"] == known.sum()
        assert entry["wrong"] == (known & (prediction != record["labels"])).sum()
        assert entry["label_file"] == record["sem_seg_file_name"]
    kept = {name: entry["prediction"] for name, entry in images.items() if "prediction" in entry}
    assert kept == {"2": f"{FOLDER}/001.png", "0": f"{FOLDER}/002.png"}
    stored = np.asarray(Image.open(tmp_path / "out" / kept["2"]))
    assert np.array_equal(stored, spoiled(semantic_records(tmp_path)[2]["labels"], 1.0))


def test_predictions_of_an_earlier_evaluation_go(
    tmp_path: Path, register: Callable[..., str]
) -> None:
    folder = tmp_path / "out" / FOLDER
    folder.mkdir(parents=True)
    for name in ("077.png", "notes.txt"):
        (folder / name).write_text("")
    evaluate(tmp_path, register)
    assert sorted(path.name for path in folder.iterdir()) == [
        "001.png",
        "002.png",
        "003.png",
        "004.png",
        "notes.txt",
    ]


def test_two_processes_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each would send, gathered here; one image was evaluated by both."""
    colours, labels = np.zeros((2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    parts = []
    monkeypatch.setattr(segmentation_records.comm, "gather", lambda part: parts.append(part) or [])
    monkeypatch.setattr(segmentation_records.comm, "is_main_process", lambda: False)
    for names in ("ab", "bc"):
        records = SegmentationRecords(["x", "y"], colours, most=2)
        for name in names:
            wrong = "abc".index(name)
            matrix = np.array([[4 - wrong, 0, 0], [wrong, 0, 0], [0, 0, 0]])
            records.add(name, f"{name}.png", labels, matrix)
        records.write(tmp_path, "two")
    monkeypatch.setattr(segmentation_records.comm, "gather", lambda part: parts)
    monkeypatch.setattr(segmentation_records.comm, "is_main_process", lambda: True)
    records.write(tmp_path, "two")
    found = json.loads((tmp_path / FILE).read_text())
    assert [entry["file_name"] for entry in found["images"]] == ["a", "b", "c"]
    assert [entry.get("prediction") for entry in found["images"]] == [
        None,
        f"{FOLDER}/002.png",
        f"{FOLDER}/001.png",
    ]
    assert found["confusion"] == [[12, 4], [0, 0]]


def test_ignored_images_have_no_score() -> None:
    matrix = np.zeros((3, 3), dtype=int)
    matrix[1, 2] = 9
    records = SegmentationRecords(["x", "y"], np.zeros((2, 3), np.uint8))
    records.add("a", "a.png", np.zeros((3, 3), np.uint8), matrix)
    assert segmentation_records.mean_iou(matrix) is None
