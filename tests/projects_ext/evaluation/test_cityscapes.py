"""The official Cityscapes metrics, by class, on either Detectron2."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import CityscapesSemSegEvaluator
from projects_ext.data.preparation import prepare
from projects_ext.errors import MissingFileError, UserError
from projects_ext.evaluation import CityscapesSemanticEvaluator
from projects_ext.evaluation import cityscapes as module
from tests.conftest import ROOT, load_script
from tests.semantic_trees import cityscapes_tree, registered_below

pytest.importorskip("cityscapesscripts")
NAME = "cityscapes_fine_sem_seg_val"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A prepared tree with three validation pictures, registered."""
    cityscapes_tree(tmp_path, train=0, val=3)
    script = load_script(ROOT / "datasets" / "prepare_cityscapes.py")
    (tmp_path / "cityscapes/leftImg8bit/train").mkdir()
    prepare(
        script.find_parts(tmp_path, any_count=True),
        MetadataCatalog.get(NAME).stuff_classes,
        script.convert,
        problems_file=tmp_path / "problems.txt",
        any_count=True,
    )
    with registered_below(tmp_path):
        yield tmp_path


def scores(record: dict[str, Any], shift: int) -> torch.Tensor:
    """The ground truth moved to the right."""
    labels = np.array(Image.open(record["sem_seg_file_name"])).astype(np.int64)
    labels[labels == 255] = 0
    moved = torch.from_numpy(np.roll(labels, shift, axis=1))
    return torch.nn.functional.one_hot(moved, 19).permute(2, 0, 1).float()


def evaluate(evaluator: Any, indices: Any = range(3), shift: int = 4) -> dict | None:
    records = DatasetCatalog.get(NAME)
    evaluator.reset()
    for index in indices:
        answer = [{"sem_seg": scores(records[index], shift)}]
        evaluator.process([records[index]], answer)
    return evaluator.evaluate()


@pytest.mark.core_only(reason="upstream main imports an unpublished module here")
def test_metrics_are_detectron2s(tree: Path) -> None:
    expected = evaluate(CityscapesSemSegEvaluator(NAME))["sem_seg"]
    metrics = evaluate(CityscapesSemanticEvaluator(NAME))["sem_seg"]
    assert 0 < expected["IoU"] < 100
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_figures_by_hand(tree: Path) -> None:
    evaluator = CityscapesSemanticEvaluator(NAME)
    perfect = evaluate(evaluator, shift=0)["sem_seg"]
    assert perfect["IoU"] == perfect["mACC"] == perfect["pACC"] == pytest.approx(100)
    assert perfect["IoU-road"] == pytest.approx(100)
    assert np.isnan(perfect["IoU-train"])
    assert list(perfect)[:4] == ["IoU", "iIoU", "IoU_sup", "iIoU_sup"]
    moved = evaluate(evaluator, shift=4)["sem_seg"]
    agreeing = truth = union = 0
    for record in DatasetCatalog.get(NAME):
        labels = np.array(Image.open(record["sem_seg_file_name"]))
        predicted = scores(record, 4).argmax(0).numpy()
        kept = labels != 255
        agreeing += ((labels == 13) & (predicted == 13)).sum()
        truth += (labels == 13).sum()
        union += (((labels == 13) | (predicted == 13)) & kept).sum()
    assert moved["IoU-car"] == pytest.approx(100 * agreeing / union)
    assert moved["ACC-car"] == pytest.approx(100 * agreeing / truth)
    assert 0 < moved["iIoU-car"] < 100
    assert moved["IoU"] == pytest.approx(
        np.nanmean([moved[f"IoU-{name}"] for name in MetadataCatalog.get(NAME).stuff_classes])
    )


def _work(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    # One process has two pictures, the other one.
    answer = evaluate(CityscapesSemanticEvaluator(NAME), range(rank, 3, 2))
    Path(f"{folder}/answer{rank}.json").write_text(json.dumps(answer))
    torch.distributed.destroy_process_group()


def test_two_processes_answer_as_one(tree: Path) -> None:
    torch.multiprocessing.start_processes(_work, args=(str(tree),), nprocs=2, start_method="fork")
    main, other = (json.loads((tree / f"answer{i}.json").read_text()) for i in (0, 1))
    assert other is None
    alone = evaluate(CityscapesSemanticEvaluator(NAME))["sem_seg"]
    assert main["sem_seg"] == pytest.approx(alone, nan_ok=True)


def test_what_does_not_fit_is_named(tree: Path) -> None:
    evaluator = CityscapesSemanticEvaluator(NAME)
    evaluator.reset()
    record = DatasetCatalog.get(NAME)[0]
    with pytest.raises(UserError, match="the model predicts 5 classes, but .* has 19"):
        evaluator.process([record], [{"sem_seg": torch.zeros(5, 48, 80)}])
    with pytest.raises(UserError, match="is 80 x 48 .*, but the prediction 40 x 24"):
        evaluator.process([record], [{"sem_seg": torch.zeros(19, 24, 40)}])
    instances = Path(record["sem_seg_file_name"].replace("labelTrainIds", "instanceIds"))
    instances.write_bytes(b"no image")
    with pytest.raises(UserError, match="cityscapesscripts cannot use the ground truth"):
        evaluator.process([record], [{"sem_seg": torch.zeros(19, 48, 80)}])
    instances.unlink()
    with pytest.raises(MissingFileError, match=r"_instanceIds\.png of .* does not exist"):
        evaluator.process([record], [{"sem_seg": torch.zeros(19, 48, 80)}])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(module.importlib, "import_module", refuse)
    with pytest.raises(UserError, match="run `pip install cityscapesscripts`"):
        CityscapesSemanticEvaluator(NAME)


def test_the_scripts_own_state_stays_as_it_was(tree: Path) -> None:
    """Another evaluation in the same process must not see this one's arguments."""
    script = module.cityscapes_module(module.SCRIPT)
    before = {**vars(script.args)}, script.np
    evaluate(CityscapesSemanticEvaluator(NAME))
    assert vars(script.args) == before[0]
    assert script.np is before[1]


def test_what_a_report_needs_is_written(tree: Path) -> None:
    metrics = evaluate(CityscapesSemanticEvaluator(NAME, str(tree / "out")))["sem_seg"]
    content = json.loads((tree / "out" / "sem_seg_report.json").read_text())
    matrix = np.array(content["confusion"])
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    road = content["classes"].index("road")
    assert 100 * matrix[road, road] / union[road] == pytest.approx(metrics["IoU-road"])
    assert 100 * np.trace(matrix) / matrix.sum() == pytest.approx(metrics["pACC"])
    assert len(content["images"]) == 3
    # Training ids, as the model predicts them.
    stored = np.asarray(Image.open(tree / "out" / content["images"][0]["prediction"]))
    assert stored.max() < 19
