"""Pictures of predictions beside the ground truth."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from projects_ext.data import register_coco_format
from projects_ext.evaluation import PredictionPictures


def predictions(height: int, width: int) -> Instances:
    mask = torch.zeros(2, height, width, dtype=torch.bool)
    mask[:, 10:60, 20:80] = True
    return Instances(
        (height, width),
        pred_boxes=Boxes(torch.tensor([[20.0, 10.0, 80.0, 60.0], [20.0, 10.0, 80.0, 60.0]])),
        pred_masks=mask,
        scores=torch.tensor([0.9, 0.1]),
        pred_classes=torch.tensor([1, 2]),
    )


def test_the_first_images_are_drawn_and_no_others(shapes: Path, tmp_path: Path) -> None:
    name = register_coco_format(
        str(shapes / "annotations" / "instances_val.json"), str(shapes / "val")
    )
    evaluator = PredictionPictures(name, str(tmp_path), count=2)
    evaluator.reset()
    records = DatasetCatalog.get(name)[:3]
    for record in records:
        output = {"instances": predictions(record["height"], record["width"])}
        evaluator.process([{"image_id": record["image_id"]}], [output])
    assert evaluator.evaluate() == {}
    written = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert written == ["000000.png", "000001.png"]
    picture = np.asarray(Image.open(tmp_path / "pictures" / "000000.png").convert("RGB"))
    scale = 480 / records[0]["width"]
    assert abs(picture.shape[1] - 968) <= 2
    assert abs(picture.shape[0] - scale * records[0]["height"]) <= 2
    # Prediction and ground truth differ, so the halves do.
    assert not np.array_equal(picture[:, :400], picture[:, -400:])


def test_nothing_is_drawn_with_count_zero(shapes: Path, tmp_path: Path) -> None:
    name = register_coco_format(
        str(shapes / "annotations" / "instances_val.json"), str(shapes / "val")
    )
    evaluator = PredictionPictures(name, str(tmp_path), count=0)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{}])
    assert list(tmp_path.iterdir()) == []


def test_a_thin_image_is_not_enlarged_without_bound(tmp_path: Path) -> None:
    """One of 2 x 3000 pixels would become one of 480 x 720,000."""
    Image.new("RGB", (2, 3000)).save(tmp_path / "thin.png")
    box = [0, 100, 2, 500]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1000, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "thin.png", "width": 2, "height": 3000}],
        "annotations": [{**annotation, "segmentation": [[0, 100, 2, 100, 2, 600, 0, 600]]}],
        "categories": [{"id": 1, "name": "line"}],
    }
    (tmp_path / "thin.json").write_text(json.dumps(content))
    name = register_coco_format(str(tmp_path / "thin.json"), str(tmp_path))
    evaluator = PredictionPictures(name, str(tmp_path))
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{"instances": predictions(3000, 2)[:0]}])
    assert Image.open(tmp_path / "pictures" / "thin.png").height <= 4096
