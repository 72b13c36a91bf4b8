"""The page of an evaluation of label maps, from what an evaluator writes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from projects_ext.evaluation import SemanticEvaluator
from projects_ext.report.command import main
from projects_ext.report.semantic_page import confused_pairs, confusion_rows, error_map
from projects_ext.report.semantic_results import read_segmentation, worst_first
from tests.projects_ext.evaluation.conftest import logits, semantic_records, spoiled

CLASSES = ["sky", "<b>road</b>", "car"]
SHARES = (0.5, 0.0, 1.0, 0.25)  # worst to best: 2, 0, 3, 1


@pytest.fixture
def evaluated(tmp_path: Path) -> Iterator[Path]:
    """The folder that an evaluator has written to."""
    records = semantic_records(tmp_path)
    name = str(tmp_path)
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(stuff_classes=CLASSES)
    evaluator = SemanticEvaluator(name, str(tmp_path / "out"))
    evaluator.reset()
    for share, record in zip(SHARES, records, strict=True):
        evaluator.process([record], [{"sem_seg": logits(spoiled(record["labels"], share))}])
    metrics = evaluator.evaluate()["sem_seg"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    yield tmp_path / "out"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_figures_are_the_evaluators(evaluated: Path) -> None:
    found = read_segmentation(evaluated / "sem_seg_report.json")
    metrics = json.loads((evaluated.parent / "metrics.json").read_text())
    assert found.mean_iou == pytest.approx(metrics["mIoU"])
    assert found.accuracy == pytest.approx(metrics["pACC"])
    for index, name in enumerate(CLASSES):
        assert found.iou[index] == pytest.approx(metrics[f"IoU-{name}"])
        assert found.recall[index] == pytest.approx(metrics[f"ACC-{name}"])
    assert [one.path.stem for one in worst_first(found.images)] == ["2", "0", "3", "1"]


def test_confusions_by_hand(evaluated: Path) -> None:
    path = evaluated / "sem_seg_report.json"
    content = json.loads(path.read_text())
    content["confusion"] = [[90, 10, 0], [30, 60, 10], [0, 0, 0]]
    path.write_text(json.dumps(content))
    found = read_segmentation(path)
    assert found.iou.tolist() == pytest.approx(
        [100 * 90 / 130, 100 * 60 / 110, np.nan], nan_ok=True
    )
    assert found.precision.tolist() == pytest.approx([75, 100 * 60 / 70, np.nan], nan_ok=True)
    assert found.mean_iou == pytest.approx((90 / 130 + 60 / 110) * 50)
    assert confused_pairs(found) == [(1, 0, 30), (0, 1, 10), (1, 2, 10)]
    rows = confusion_rows(found)["rows"]
    assert [(count, right) for count, _, right in rows[1][1]] == [
        (30, False),
        (60, True),
        (10, False),
    ]


def test_page(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(evaluated)])
    assert capsys.readouterr().out == f"open {evaluated / 'report.html'}\n"
    text = (evaluated / "report.html").read_text(encoding="utf-8")
    assert "The worst class is <b>" in text
    assert "<b>road</b>" not in text.replace("<b>&lt;b&gt;road&lt;/b&gt;</b>", "")
    assert "&lt;b&gt;road&lt;/b&gt;" in text
    assert text.count('<li class="card"') == 4
    assert text.count('data-layer="errors"') == 4
    assert text.index("2.jpg") < text.index("0.jpg") < text.index("3.jpg") < text.index("1.jpg")
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_images_that_are_gone_are_named(evaluated: Path) -> None:
    (evaluated.parent / "images" / "2.jpg").unlink()
    (evaluated.parent / "labels" / "0.png").write_bytes(b"nothing")
    main([str(evaluated / "sem_seg_report.json"), "--output", str(evaluated / "x.html")])
    text = (evaluated / "x.html").read_text(encoding="utf-8")
    assert "2 images could not be read and are left out, such as 0.jpg" in text
    assert text.count('<li class="card"') == 2


def test_map_of_errors() -> None:
    pixels = np.asarray(error_map(np.array([[0, 1, 255]]), np.array([[0, 0, 1]])))
    assert pixels[0, 0, 3] == 0
    assert pixels[0, 1].tolist()[:3] == [255, 138, 61]
    assert pixels[0, 2].tolist()[:3] == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("classes"), "no 'classes'"),
        (lambda content: content.update(confusion=[[1]]), "its confusion is not that of 3 classes"),
        (lambda content: content.update(colours=[[1, 2, 3]]), "its colours are not those"),
        (lambda content: content["images"][0].pop("wrong"), "no 'wrong'"),
        (lambda content: content.update(images=3), "not iterable"),
    ],
)
def test_wrong_content_ends_in_one_sentence(
    change: Callable[[Any], Any], reason: str, evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = evaluated / "sem_seg_report.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as end:
        main([str(path)])
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path} is not what an evaluation of label maps writes")
    assert reason in said
    assert said.rstrip().endswith("evaluate the run again")


def test_two_are_not_compared(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(evaluated), str(evaluated)])
    assert "evaluations of label maps cannot be compared" in capsys.readouterr().err


def test_predictions_that_are_gone_are_said(evaluated: Path) -> None:
    content = json.loads((evaluated / "sem_seg_report.json").read_text())
    for entry in content["images"]:
        entry["prediction"] = "gone/0.png"
    (evaluated / "sem_seg_report.json").write_text(json.dumps(content))
    main([str(evaluated / "sem_seg_report.json")])
    text = (evaluated / "report.html").read_text()
    assert "the predictions are missing, such as" in text
    assert "See its images" not in text


def test_without_images_there_is_no_histogram(evaluated: Path) -> None:
    content = json.loads((evaluated / "sem_seg_report.json").read_text())
    content["images"] = []
    (evaluated / "sem_seg_report.json").write_text(json.dumps(content))
    main([str(evaluated / "sem_seg_report.json")])
    assert "Mean IoU by image" not in (evaluated / "report.html").read_text()
