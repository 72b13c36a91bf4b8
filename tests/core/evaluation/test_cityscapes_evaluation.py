"""Both Cityscapes evaluators on a made-up city of one small image."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.evaluation import CityscapesInstanceEvaluator, CityscapesSemSegEvaluator
from detectron2.structures import Instances

pytestmark = pytest.mark.core_only(reason="upstream main imports an unpublished module here")

STEM = "town/town_000000_000019"
ROAD, CAR = 7, 26  # Cityscapes' label ids; training classes 0 and 13
INPUT = [{"file_name": f"leftImg8bit/{STEM}_leftImg8bit.png"}]


@pytest.fixture
def town(register, tmp_path):
    """The data set's name; a road with a car on it, and labels nobody evaluates at the top."""
    pytest.importorskip("cityscapesscripts")
    labels = np.full((64, 96), ROAD, dtype=np.uint8)
    labels[:10] = 1
    labels[20:50, 30:70] = CAR
    instances = labels.astype(np.uint16)
    instances[labels == CAR] = CAR * 1000
    (tmp_path / "town").mkdir()
    Image.fromarray(labels).save(tmp_path / f"{STEM}_gtFine_labelIds.png")
    Image.fromarray(instances).save(tmp_path / f"{STEM}_gtFine_instanceIds.png")
    classes = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    return register([], gt_dir=str(tmp_path), thing_classes=classes)


def _segment(evaluator, car_columns):
    logits = torch.zeros(19, 64, 96)
    logits[0] = 1
    logits[13, 20:50, car_columns] = 2
    evaluator.reset()
    evaluator.process(INPUT, [{"sem_seg": logits}])
    return evaluator.evaluate()["sem_seg"]


def test_semantic(town):
    evaluator = CityscapesSemSegEvaluator(town)
    perfect = _segment(evaluator, slice(30, 70))
    assert set(perfect) == {"IoU", "iIoU", "IoU_sup", "iIoU_sup"}
    assert perfect["IoU"] == pytest.approx(100)
    # Half of the car: 1/2 for the car; the road has 3984 pixels and 600 too many.
    half = _segment(evaluator, slice(30, 50))
    road = 64 * 96 - 10 * 96 - 1200
    assert half["IoU"] == pytest.approx(50 * (0.5 + road / (road + 600)))


def _find(evaluator, car_columns):
    found = Instances((64, 96))
    found.scores, found.pred_classes = torch.tensor([0.9]), torch.tensor([2])
    found.pred_masks = torch.zeros(1, 64, 96, dtype=torch.bool)
    found.pred_masks[0, 20:50, car_columns] = True
    evaluator.reset()
    evaluator.process(INPUT, [{"instances": found}])
    return evaluator.evaluate()["segm"]


def test_instances(town):
    evaluator = CityscapesInstanceEvaluator(town)
    assert _find(evaluator, slice(30, 70)) == {"AP": pytest.approx(100), "AP50": pytest.approx(100)}
    part = _find(evaluator, slice(30, 59))  # overlap 0.725: 5 of 10 thresholds
    assert part == {"AP": pytest.approx(50), "AP50": pytest.approx(100)}


def test_image_without_instances(town):
    evaluator = CityscapesInstanceEvaluator(town)
    evaluator.reset()
    evaluator.process(INPUT, [{"sem_seg": None}])
    assert evaluator.evaluate()["segm"]["AP"] == pytest.approx(0)


def test_missing_package_is_named(register, monkeypatch):
    monkeypatch.setitem(sys.modules, "cityscapesscripts", None)
    monkeypatch.setitem(sys.modules, "cityscapesscripts.helpers.labels", None)
    with pytest.raises(ImportError, match="pip install cityscapesscripts"):
        CityscapesSemSegEvaluator(register([]))
