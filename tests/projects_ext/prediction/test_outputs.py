"""Results in files: read back by pycocotools, csv and Pillow."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from projects_ext.errors import UserError
from projects_ext.prediction.inputs import Input
from projects_ext.prediction.jobs import Job
from projects_ext.prediction.objects import Objects
from projects_ext.prediction.outputs import CocoOutput, LabelMapOutput, TableOutput
from tests.projects_ext.prediction.scenes import CLASS_NAMES, ColourDetector, Truth, scene


def found_in(image: Image.Image) -> Objects:
    model = ColourDetector()
    return Objects.of(model.predict([model.prepare(image)])[0], image.height, image.width)


def jobs() -> list[tuple[Job, Truth]]:
    """An image, two frames and an image without objects."""
    result = []
    for index, (source, frame) in enumerate(
        [("a/x.jpg", None), ("c.mp4", 0), ("c.mp4", 1), ("a/y.jpg", None)]
    ):
        sizes = [20, 30, 12] if index < 3 else []
        image, truth = scene(70, 90, sizes, seed=index)
        job = Job(Input("image", source, source), frame)
        job.found = found_in(image)
        result.append((job, truth))
    return result


def test_coco_loads_and_scores_the_results(tmp_path: Path) -> None:
    with CocoOutput(tmp_path, CLASS_NAMES) as output:
        for job, _ in jobs():
            output.write(job)
    truth = COCO(tmp_path / "coco_images.json")
    assert [image["file_name"] for image in truth.imgs.values()] == [
        "a/x.jpg", "c.mp4", "c.mp4", "a/y.jpg"
    ]  # fmt: skip
    assert [image.get("frame_index") for image in truth.imgs.values()] == [None, 0, 1, None]
    assert [c["name"] for c in truth.loadCats([1, 2])] == CLASS_NAMES
    results = truth.loadRes(str(tmp_path / "coco_instances_results.json"))
    found = list(results.anns.values())
    expected = [mask for _, masks in jobs() for mask in masks.values()]
    assert len(found) == len(expected) > 5
    decoded = [results.annToMask(one).astype(bool) for one in found]
    assert all(np.array_equal(a, b) for a, b in zip(decoded, expected, strict=True))
    truth.dataset["annotations"] = [
        {**one, "iscrowd": 0, "area": float(mask.sum())}
        for one, mask in zip(found, expected, strict=True)
    ]
    truth.createIndex()
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(truth, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)


def test_coco_of_no_images_is_valid(tmp_path: Path) -> None:
    with CocoOutput(tmp_path, CLASS_NAMES):
        pass
    assert json.loads((tmp_path / "coco_instances_results.json").read_text()) == []
    assert json.loads((tmp_path / "coco_images.json").read_text())["images"] == []


def test_a_row_per_object(tmp_path: Path) -> None:
    with TableOutput(tmp_path, ["disc, round", "bar"]) as output:
        for job, _ in jobs():
            output.write(job)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [(job, value, m) for job, masks in jobs() for value, m in masks.items()]
    assert len(rows) == len(truth)
    for row, (job, value, mask) in zip(rows, truth, strict=True):
        assert row["file"] == job.input.source
        assert row["frame"] == ("" if job.frame is None else str(job.frame))
        assert row["class"] == ("bar" if value % 2 else "disc, round")
        assert float(row["score"]) == pytest.approx(0.9 - value / 1000, abs=1e-4)
        columns = np.flatnonzero(mask.any(axis=0))
        assert (float(row["x0"]), float(row["x1"])) == (columns[0], columns[-1] + 1)
        assert int(row["mask_area"]) == mask.sum()


def test_models_without_masks(tmp_path: Path) -> None:
    image, _ = scene(70, 90, [20], seed=0)
    model = ColourDetector(with_masks=False)
    job = Job(Input("image", "x", "x"))
    job.found = Objects.of(model.predict([model.prepare(image)])[0], 70, 90)
    with TableOutput(tmp_path, CLASS_NAMES) as table, CocoOutput(tmp_path, CLASS_NAMES) as coco:
        table.write(job)
        coco.write(job)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1].endswith(",")
    (result,) = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert "segmentation" not in result


@pytest.mark.parametrize(("classes", "mode"), [(256, "L"), (300, "I;16")])
def test_label_maps_have_the_classes_as_values(tmp_path: Path, classes: int, mode: str) -> None:
    labels = np.arange(12, dtype=np.int64).reshape(3, 4) + classes - 12
    with LabelMapOutput(tmp_path, classes) as output:
        output.write(Job(Input("image", "b/x.jpg", "b/x"), found=labels))
        output.write(Job(Input("video", "c.mp4", "c"), frame=7, found=labels))
    for name in ("b/x.png", "c/000007.png"):
        image = Image.open(tmp_path / "label_maps" / name)
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), labels)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"predictions.csv cannot be written .*--output"):
        TableOutput(tmp_path / "nowhere", CLASS_NAMES)
