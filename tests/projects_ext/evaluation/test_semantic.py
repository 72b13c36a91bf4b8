"""Detectron2's metrics of label maps with a table by class."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from projects_ext.errors import MissingFileError, UserError
from projects_ext.evaluation import SemanticEvaluator
from projects_ext.evaluation.class_table import class_table, summary_line
from projects_ext.evaluation.semantic import ground_truth_files

from .conftest import CLASSES, logits, semantic_records, spoiled


def test_metrics_are_detectron2s(
    tmp_path: Path, register: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    records = semantic_records(tmp_path)
    name = register(records, ignore_label=255)
    evaluators = [SemanticEvaluator(name, str(tmp_path / "out")), SemSegEvaluator(name)]
    caplog.set_level(logging.INFO, "detectron2.projects_ext")
    logger = logging.getLogger("detectron2.projects_ext")
    logger.addHandler(caplog.handler)
    try:
        found = []
        for evaluator in evaluators:
            evaluator.reset()
            for share, record in zip((0, 0.2, 0.5, 1), records, strict=True):
                scores = logits(spoiled(record["labels"], share))
                evaluator.process([record], [{"sem_seg": scores}])
            found.append(evaluator.evaluate()["sem_seg"])
    finally:
        logger.removeHandler(caplog.handler)
    np.testing.assert_equal(found[0], found[1])
    assert 0 < found[0]["mIoU"] < 100
    assert (tmp_path / "out" / "sem_seg_predictions.json").is_file()
    line = next(line for line in caplog.text.splitlines() if line.startswith("road "))
    assert line.split()[1:3] == [f"{found[0]['IoU-road']:.2f}", f"{found[0]['ACC-road']:.2f}"]
    assert f"mIoU {found[0]['mIoU']:.2f}, fwIoU" in caplog.text


def test_figures_by_hand(tmp_path: Path, register: Callable[..., str]) -> None:
    record = semantic_records(tmp_path, 1)[0]
    truth = record["labels"]
    evaluator = SemanticEvaluator(register([record]))
    evaluator.reset()
    evaluator.process([record], [{"sem_seg": logits(np.zeros_like(truth))}])
    metrics = evaluator.evaluate()["sem_seg"]
    labelled = (truth != 255).sum()
    assert metrics["IoU-sky"] == pytest.approx(100 * (truth == 0).sum() / labelled)
    assert metrics["mIoU"] == pytest.approx(metrics["IoU-sky"] / 3)
    assert metrics["ACC-sky"] == pytest.approx(100)
    assert metrics["ACC-car"] == 0


def test_classes_that_never_occur_are_named(
    tmp_path: Path, register: Callable[..., str], project_log: pytest.LogCaptureFixture
) -> None:
    (record,) = semantic_records(tmp_path, 1)
    for classes, absent in ((CLASSES, ""), ([*CLASSES, "tree"], "tree")):
        evaluator = SemanticEvaluator(register([record], stuff_classes=classes))
        evaluator.reset()
        evaluator.process([record], [{"sem_seg": logits(record["labels"], len(classes))}])
        metrics = evaluator.evaluate()["sem_seg"]
        assert math.isfinite(metrics["mIoU"])
        assert ("1 of the 4 classes have no pixel in the ground truth" in project_log.text) == bool(
            absent
        )
    assert "mIoU: tree" in project_log.text


def test_bad_ground_truth_is_named(tmp_path: Path, register: Callable[..., str]) -> None:
    record, other = semantic_records(tmp_path, 2)
    two_classes = register([record, other], stuff_classes=["sky", "road"])
    evaluator = SemanticEvaluator(two_classes)
    evaluator.reset()
    with pytest.raises(UserError, match=r"labels/0\.png has the labels 2 \(\d+ pixels\)"):
        evaluator.process([record], [{"sem_seg": torch.zeros(2, 48, 80)}])
    Path(other["sem_seg_file_name"]).unlink()
    with pytest.raises(MissingFileError, match=r"no label map at .*labels/1\.png"):
        evaluator.process([other], [{"sem_seg": torch.zeros(2, 48, 80)}])


def test_models_and_data_sets_that_do_not_fit(tmp_path: Path, register: Callable[..., str]) -> None:
    records = semantic_records(tmp_path, 1)
    name = register(records)
    evaluator = SemanticEvaluator(name)
    evaluator.reset()
    with pytest.raises(UserError, match=rf"the model predicts 4 classes, but {name} has 3"):
        evaluator.process(records, [{"sem_seg": torch.zeros(4, 48, 80)}])
    with pytest.raises(UserError, match="has no stuff_classes in its metadata"):
        SemanticEvaluator(register(records, stuff_classes=[]))
    with pytest.raises(UserError, match="has no label maps"):
        ground_truth_files(register([{"file_name": "x.jpg"}]))


@pytest.mark.parametrize(("count", "blocks"), [(3, 1), (26, 2), (150, 3)])
def test_many_classes_stand_side_by_side(count: int, blocks: int) -> None:
    classes = [f"class {index}" for index in range(count)]
    metrics = {f"IoU-{name}": float(index) for index, name in enumerate(classes)}
    metrics["IoU-class 1"] = math.nan
    lines = class_table(metrics, classes, {"IoU": "IoU", "accuracy": "ACC"}).splitlines()
    assert lines[0].split() == ["class", "IoU"] * blocks
    assert len(lines) == 2 + -(-count // blocks)
    text = "\n".join(lines[2:])
    assert all(name in text for name in classes)
    assert lines[3].split()[:3] == ["class", "1", "-"]
    assert max(map(len, lines)) < 100


def test_synonyms_are_left_out_where_the_first_one_is_enough() -> None:
    classes = ["person, individual, soul", "screen, silver", "screen, glass", "x" * 30]
    metrics = {f"IoU-{name}": 1.0 for name in classes}
    lines = class_table(metrics, classes, {"IoU": "IoU"}).splitlines()[2:]
    names = [line.rsplit(None, 1)[0].strip() for line in lines]
    assert names == ["person", "screen, silver", "screen, glass", f"{'x' * 19}…"]


def test_summary_has_no_class() -> None:
    assert summary_line({"mIoU": 50.0, "IoU-a": 1.0, "pACC": math.nan}) == "mIoU 50.00, pACC -"


def _work(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    # Files of its own: the other process reads while this one writes.
    answer = _evaluate(Path(folder) / f"rank{rank}", range(rank, 4, 2))
    Path(f"{folder}/answer{rank}.json").write_text(json.dumps(answer))
    torch.distributed.destroy_process_group()


def _evaluate(folder: Path, indices: range) -> dict | None:
    records = semantic_records(folder)
    DatasetCatalog.register("test_two_processes", lambda: records)
    MetadataCatalog.get("test_two_processes").set(stuff_classes=CLASSES)
    evaluator = SemanticEvaluator("test_two_processes")
    evaluator.reset()
    for index in indices:
        scores = logits(spoiled(records[index]["labels"], index / 4))
        evaluator.process([records[index]], [{"sem_seg": scores}])
    answer = evaluator.evaluate()
    DatasetCatalog.remove("test_two_processes")
    MetadataCatalog.remove("test_two_processes")
    return answer


def test_two_processes_answer_as_one(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(
        _work, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    main, other = (json.loads((tmp_path / f"answer{i}.json").read_text()) for i in (0, 1))
    assert other is None
    alone = _evaluate(tmp_path, range(4))
    assert 0 < alone["sem_seg"]["mIoU"] < 100
    np.testing.assert_equal(main, json.loads(json.dumps(alone)))
