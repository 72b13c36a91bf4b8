import copy
import json
import math

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_util

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.evaluation import COCOEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Boxes, BoxMode, Instances
from tests.golden_files import DATA, load_golden_json

VAL = DATA / "coco/annotations/instances_val2017.json"


def to_instances(results, size, to_class=lambda x: x, masks=True):
    """Results of one image in COCO's format as a model would answer them."""
    instances = Instances(size)
    boxes = torch.tensor([r["bbox"] for r in results], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    instances.pred_boxes = Boxes(boxes)
    instances.scores = torch.tensor([r["score"] for r in results], dtype=torch.float64)
    classes = [to_class(r["category_id"]) for r in results]
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if masks:
        decoded = [mask_util.decode(r["segmentation"]) for r in results]
        stacked = np.stack(decoded) if decoded else np.zeros((0, *size))
        instances.pred_masks = torch.from_numpy(stacked.astype(bool))
    return instances


@pytest.fixture
def coco_val(register):
    """The name of the real validation part, registered; its classes are contiguous."""
    dicts = []
    name = register(dicts, json_file=str(VAL), evaluator_type="coco")
    dicts += load_coco_json(str(VAL), "", name)
    return name


def feed(evaluator, name, predictions):
    to_class = MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id.__getitem__
    evaluator.reset()
    for record in DatasetCatalog.get(name):
        own = [p for p in predictions if p["image_id"] == record["image_id"]]
        instances = to_instances(own, (record["height"], record["width"]), to_class)
        evaluator.process([record], [{"instances": instances}])


@pytest.mark.parametrize("use_fast_impl", [True, False])
def test_real_predictions_score_as_upstream(coco_val, tmp_path, use_fast_impl):
    evaluator = COCOEvaluator(coco_val, output_dir=str(tmp_path), use_fast_impl=use_fast_impl)
    feed(evaluator, coco_val, load_golden_json("d2_evaluation_coco_predictions"))
    results = evaluator.evaluate()
    expected = load_golden_json("d2_evaluation")["coco"]
    assert list(results) == list(expected) == ["bbox", "segm"]
    for task, metrics in expected.items():
        assert list(results[task]) == list(metrics)
        wanted = [math.nan if value is None else value for value in metrics.values()]
        np.testing.assert_allclose(list(results[task].values()), wanted, rtol=0, atol=2e-6)


def test_files_are_written(coco_val, tmp_path):
    predictions = load_golden_json("d2_evaluation_coco_predictions")
    evaluator = COCOEvaluator(coco_val, output_dir=str(tmp_path / "new" / "folder"))
    feed(evaluator, coco_val, predictions)
    evaluator.evaluate()
    written = json.loads((tmp_path / "new/folder/coco_instances_results.json").read_text())
    key = {(p["image_id"], p["category_id"], round(p["score"], 6)) for p in predictions}
    assert {(p["image_id"], p["category_id"], round(p["score"], 6)) for p in written} == key
    assert set(written[0]) == {"image_id", "category_id", "bbox", "score", "segmentation"}
    kept = torch.load(tmp_path / "new/folder/instances_predictions.pth", weights_only=True)
    assert len(kept) == 39


def test_selected_images_only(coco_val):
    predictions = load_golden_json("d2_evaluation_coco_predictions")
    image_id = predictions[0]["image_id"]
    evaluator = COCOEvaluator(coco_val, tasks=("bbox",))
    feed(evaluator, coco_val, predictions)
    one = evaluator.evaluate(img_ids=[image_id])
    assert list(one) == ["bbox"]
    counted = [v for k, v in one["bbox"].items() if k.startswith("AP-") and not math.isnan(v)]
    annotations = json.loads(VAL.read_text())["annotations"]
    own = [a for a in annotations if a["image_id"] == image_id]
    present = {a["category_id"] for a in own if not a["iscrowd"]}
    assert len(counted) == len(present)


@pytest.mark.core_only(reason="upstream changes the class ids of its predictions")
def test_evaluating_twice(coco_val):
    evaluator = COCOEvaluator(coco_val, tasks=("bbox",))
    feed(evaluator, coco_val, load_golden_json("d2_evaluation_coco_predictions"))
    first, second = evaluator.evaluate(), evaluator.evaluate()
    np.testing.assert_equal(dict(first), dict(second))


@pytest.mark.core_only(reason="upstream answers nan or nothing")
@pytest.mark.parametrize("empty_outputs", [True, False])
def test_no_prediction_is_a_score_of_zero(coco_val, empty_outputs):
    evaluator = COCOEvaluator(coco_val)
    if empty_outputs:
        feed(evaluator, coco_val, [])
    else:
        evaluator.reset()
    results = evaluator.evaluate()
    assert list(results) == (["bbox", "segm"] if empty_outputs else ["bbox"])
    expected = load_golden_json("d2_evaluation")["coco"]
    for task, metrics in results.items():
        for name, value in metrics.items():
            if expected[task][name] is None:
                assert math.isnan(value), name
            else:
                assert value == 0, name


@pytest.fixture
def tiny(tmp_path, register):
    """Two images with three classes of square objects, one of them a crowd: name and json."""
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    rows = [(1, 1, [10, 10, 30, 30]), (1, 2, [50, 50, 20, 20]), (2, 1, [0, 0, 60, 60])]
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
        | {"area": box[2] * box[3], "segmentation": square}
        for i, (image, category, box) in enumerate(rows, start=1)
    ]
    content = {
        "images": [{"id": i, "width": 100, "height": 80, "file_name": f"{i}.png"} for i in (1, 2)],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in ((1, "a"), (2, "b"), (3, "c"))],
    }
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(content))
    metadata = {"json_file": str(path), "thing_classes": ["a", "b", "c"]}
    metadata["thing_dataset_id_to_contiguous_id"] = {1: 0, 2: 1, 3: 2}
    name = register([{"file_name": "1.png", "image_id": 1}], **metadata)
    return name, content


def predict(evaluator, content, image_id, scores=None, shift=0.0):
    """Feed the ground truth of an image as prediction."""
    own = [copy.deepcopy(a) for a in content["annotations"] if a["image_id"] == image_id]
    for i, annotation in enumerate(own):
        annotation["score"] = 0.9 - 0.1 * i if scores is None else scores[i]
        annotation["bbox"][0] += shift
    instances = to_instances(own, (80, 100), lambda x: x - 1, masks=False)
    evaluator.process([{"image_id": image_id}], [{"instances": instances}])


def test_json_without_info_and_licenses(tiny):
    name, content = tiny
    evaluator = COCOEvaluator(name)
    evaluator.reset()
    for image_id in (1, 2):
        predict(evaluator, content, image_id)
    results = evaluator.evaluate()
    assert list(results) == ["bbox"]
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["bbox"]["AP-a"] == pytest.approx(100)
    assert results["bbox"]["AP-b"] == pytest.approx(100)
    assert math.isnan(results["bbox"]["AP-c"])
    assert math.isnan(results["bbox"]["APl"])


def test_overlap_decides_thresholds(tiny):
    name, content = tiny
    evaluator = COCOEvaluator(name)
    evaluator.reset()
    # Moved by 10 px the boxes of 30, 20 and 60 px overlap by 1/2, 1/3 and 5/7.
    for image_id in (1, 2):
        predict(evaluator, content, image_id, shift=10.0)
    results = evaluator.evaluate()["bbox"]
    # Score 0.9 both: at 0.5 both of class a match, at 0.55 to 0.7 one of two.
    assert results["AP50"] == pytest.approx(50)
    assert results["AP-b"] == 0
    assert 0 < results["AP-a"] < 100
    assert results["AP75"] == 0


@pytest.mark.core_only(reason="upstream takes a limit below 10 for 10")
def test_limit_on_detections(tiny):
    name, content = tiny
    wrong = Instances((80, 100))
    wrong.pred_boxes = Boxes(torch.tensor([[70.0, 0, 90, 20], [0.0, 0, 60, 60]]))
    wrong.scores = torch.tensor([0.9, 0.8])
    wrong.pred_classes = torch.tensor([0, 0])
    scores = []
    for limit in (1, 2):
        evaluator = COCOEvaluator(name, max_dets_per_image=limit)
        evaluator.reset()
        predict(evaluator, content, 1)
        evaluator.process([{"image_id": 2}], [{"instances": wrong}])
        scores.append(evaluator.evaluate()["bbox"]["AP-a"])
    assert scores[0] < scores[1]


def test_class_out_of_range_is_refused(tiny):
    name, _ = tiny
    evaluator = COCOEvaluator(name)
    evaluator.reset()
    instances = Instances((80, 100), pred_boxes=Boxes(torch.tensor([[0.0, 0, 9, 9]])))
    instances.scores, instances.pred_classes = torch.tensor([0.5]), torch.tensor([3])
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    with pytest.raises(AssertionError, match="class=3.*3 classes"):
        evaluator.evaluate()


@pytest.mark.core_only(reason="refused in a sentence of core's own")
def test_wrong_use_is_refused_in_a_sentence(tiny):
    name, content = tiny
    with pytest.raises(ValueError, match="not supported: keypoints"):
        COCOEvaluator(name, tasks=("bbox", "keypoints"))
    with pytest.raises(ValueError, match="keypoint"):
        COCOEvaluator(name, kpt_oks_sigmas=(0.1, 0.2))
    evaluator = COCOEvaluator(name, tasks=("segm",))
    predict(evaluator, content, 1)
    with pytest.raises(ValueError, match="segm needs masks"):
        evaluator.evaluate()
    evaluator = COCOEvaluator(name)
    instances = to_instances([content["annotations"][0] | {"score": 1}], (80, 100), masks=False)
    evaluator.process([{"image_id": 77}], [{"instances": instances}])
    with pytest.raises(ValueError, match="images, 77 among them"):
        evaluator.evaluate()


def test_data_set_without_json_is_converted(register, tmp_path):
    annotation = {"bbox": [10, 10, 40, 40], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1}
    dicts = [{"file_name": "x.png", "image_id": 5, "height": 80, "width": 100}]
    dicts[0]["annotations"] = [annotation]
    name = register(dicts, thing_classes=["a", "b"])
    with pytest.raises(ValueError, match="output_dir"):
        COCOEvaluator(name)
    evaluator = COCOEvaluator(name, output_dir=str(tmp_path))
    evaluator.reset()
    instances = Instances((80, 100), pred_boxes=Boxes(torch.tensor([[10.0, 10, 40, 40]])))
    instances.scores, instances.pred_classes = torch.tensor([0.5]), torch.tensor([1])
    evaluator.process([{"image_id": 5}], [{"instances": instances}])
    results = evaluator.evaluate()["bbox"]
    assert results["AP"] == pytest.approx(100)
    assert results["AP-b"] == pytest.approx(100)
    assert math.isnan(results["AP-a"])


def test_ground_truth_without_annotations_only_writes(register, tmp_path):
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}]}))
    evaluator = COCOEvaluator(register([], json_file=str(path)), output_dir=str(tmp_path))
    evaluator.reset()
    instances = Instances((80, 100), pred_boxes=Boxes(torch.tensor([[10.0, 10, 40, 40]])))
    instances.scores, instances.pred_classes = torch.tensor([0.5]), torch.tensor([1])
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    assert len(evaluator.evaluate()) == 0
    assert len(json.loads((tmp_path / "coco_instances_results.json").read_text())) == 1


def test_box_proposals_have_average_recall(tiny, tmp_path):
    name, _ = tiny
    evaluator = COCOEvaluator(name, output_dir=str(tmp_path))
    evaluator.reset()
    for image_id, box in ((1, [10.0, 10, 40, 40]), (2, [0.0, 0, 60, 48])):
        proposals = Instances((80, 100), proposal_boxes=Boxes(torch.tensor([box, [0, 0, 5, 5]])))
        proposals.objectness_logits = torch.tensor([1.0, 2.0])
        evaluator.process([{"image_id": image_id}], [{"proposals": proposals}])
    results = evaluator.evaluate()["box_proposals"]
    # Three objects: found exactly, missed, and overlapped by 0.8 (7 of 10 thresholds).
    assert results["AR@100"] == pytest.approx(100 * 1.7 / 3, abs=1e-4)
    assert results["ARs@1000"] == pytest.approx(50, abs=1e-4)
    assert (tmp_path / "box_proposals.pkl").exists()


def test_instances_to_json():
    mask = torch.zeros(2, 20, 30, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    instances = Instances((20, 30), pred_boxes=Boxes(torch.tensor([[3.0, 2, 9, 5], [0, 0, 1, 2]])))
    instances.scores, instances.pred_classes = torch.tensor([0.5, 0.25]), torch.tensor([7, 0])
    instances.pred_masks = mask
    first, second = instances_to_coco_json(instances, 42)
    assert first["bbox"] == [3, 2, 6, 3]
    assert (first["image_id"], first["category_id"], first["score"]) == (42, 7, 0.5)
    assert second["bbox"] == [0, 0, 1, 2]
    json.dumps([first, second])
    assert np.array_equal(mask_util.decode(first["segmentation"]), mask[0].numpy())
    assert instances_to_coco_json(instances[:0], 42) == []
