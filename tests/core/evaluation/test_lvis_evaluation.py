"""LVIS's metrics on a made file; figures are upstream's answers (NumPy 2 patched by hand there)."""

import importlib.util
import math

import pytest
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_lvis_instances
from detectron2.evaluation import LVISEvaluator
from detectron2.structures import Boxes, Instances
from tests.core.data.test_lvis import write_lvis

SIZES = {4: (60, 50), 9: (40, 50)}
FIGURES = {
    "bbox": {
        "AP": 71.79867986798678,
        "AP50": 91.74917491749174,
        "AP75": 91.74917491749174,
        "APs": 71.79867986798678,
        "APc": 70.0,
        "APf": 73.59735973597358,
    },
    "segm": {
        "AP": 57.62376237623761,
        "AP50": 91.74917491749174,
        "AP75": 41.749174917491736,
        "APs": 57.62376237623761,
        "APc": 50.0,
        "APf": 65.24752475247524,
    },
}
has_lvis = importlib.util.find_spec("lvis") is not None


@pytest.fixture
def data_set(tmp_path):
    register_lvis_instances("test_lvis", {}, write_lvis(tmp_path / "lvis.json"), "")
    yield "test_lvis"
    DatasetCatalog.remove("test_lvis")
    MetadataCatalog.remove("test_lvis")


def instances(image: int, masks: bool = True) -> Instances:
    """Predictions that find some of the image's objects, more or less."""
    rows = {
        4: [([20, 30, 30, 42], 0.9, 0), ([6, 6, 15, 17], 0.8, 1), ([30, 2, 44, 22], 0.95, 2)],
        9: [([3, 3, 12, 16], 0.7, 0), ([25, 10, 40, 20], 0.85, 0), ([1, 1, 9, 9], 0.6, 1)],
    }[image]
    found = Instances(SIZES[image])
    found.pred_boxes = Boxes(torch.tensor([row[0] for row in rows], dtype=torch.float32))
    found.scores = torch.tensor([row[1] for row in rows])
    found.pred_classes = torch.tensor([row[2] for row in rows])
    if masks:
        found.pred_masks = torch.zeros(len(rows), *SIZES[image], dtype=torch.bool)
        for mask, ((x0, y0, x1, y1), _, _) in zip(found.pred_masks, rows, strict=True):
            mask[y0:y1, x0 + 1 : x1] = True
    return found


@pytest.mark.skipif(has_lvis, reason="the lvis package is installed")
@pytest.mark.core_only("a missing package is named")
def test_without_the_package(data_set):
    with pytest.raises(ImportError, match="pip install lvis"):
        LVISEvaluator(data_set)


@pytest.mark.skipif(not has_lvis, reason="needs the package lvis")
class TestWithThePackage:
    def test_figures(self, data_set, tmp_path):
        evaluator = LVISEvaluator(data_set, output_dir=str(tmp_path / "out"))
        evaluator.reset()
        for image in SIZES:
            evaluator.process([{"image_id": image}], [{"instances": instances(image)}])
        figures = evaluator.evaluate()
        for task, expected in FIGURES.items():
            assert set(figures[task]) == {*expected, "APm", "APl", "APr"}
            for name, value in expected.items():
                assert figures[task][name] == pytest.approx(value), (task, name)
            # Upstream gives -100 where there is no ground truth.
            assert not figures[task]["APr"] >= 0
        assert (tmp_path / "out/lvis_instances_results.json").exists()

    def test_proposals(self, data_set):
        evaluator = LVISEvaluator(data_set)
        evaluator.reset()
        for image in SIZES:
            found = instances(image)
            proposals = Instances(SIZES[image])
            proposals.proposal_boxes = found.pred_boxes
            proposals.objectness_logits = found.scores
            evaluator.process([{"image_id": image}], [{"proposals": proposals}])
        figures = evaluator.evaluate()["box_proposals"]
        assert figures["AR@100"] == figures["ARs@1000"] == pytest.approx(80)
        assert math.isnan(figures["ARl@100"])

    def test_no_predictions(self, data_set):
        evaluator = LVISEvaluator(data_set)
        evaluator.reset()
        assert evaluator.evaluate() == {}
        nothing = instances(4)[torch.zeros(3, dtype=torch.bool)]
        evaluator.process([{"image_id": 4}], [{"instances": nothing}])
        assert math.isnan(evaluator.evaluate()["bbox"]["AP"])

    @pytest.mark.core_only("upstream takes the boxes for masks")
    def test_masks_are_asked_for_and_missing(self, data_set):
        evaluator = LVISEvaluator(data_set, tasks=("bbox", "segm"))
        evaluator.process([{"image_id": 4}], [{"instances": instances(4, masks=False)}])
        with pytest.raises(ValueError, match="segm needs masks"):
            evaluator.evaluate()
