"""``projects_ext.Predictor``: the results of an evaluation, for every system."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

import projects_ext
from detectron2.structures import Instances
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from projects_ext.prediction.predictor import batches
from projects_ext.zoo import get_config
from tests.projects_ext.prediction.models import (
    CLASSES,
    DETECTORS,
    SEMANTIC,
    config_path,
    every_score,
    label_keys,
    write_checkpoint,
)

EVAL = ["train.device=cpu", "dataloader.test.num_workers=0", "train.seed=0"]


def evaluate(name: str, folder: Path, *keys: str) -> None:
    """``train_net.py --eval-only``, into the folder."""
    words = ["--config-file", config_path(name), "--eval-only", *EVAL]
    run(parse_arguments([*words, f"train.output_dir={folder}", *keys]))


def image_files(shapes: Path) -> dict[int, Path]:
    """The validation images by their id."""
    content = json.loads((shapes / "annotations" / "instances_val.json").read_text())
    return {image["id"]: shapes / "val" / image["file_name"] for image in content["images"]}


def as_coco(instances: Instances, image_id: int) -> list[dict[str, Any]]:
    """What COCOEvaluator writes of the instances."""
    boxes = instances.pred_boxes.tensor.clone()
    boxes[:, 2:] -= boxes[:, :2]
    rows = []
    for index, box in enumerate(boxes.tolist()):
        row = {
            "image_id": image_id,
            "category_id": int(instances.pred_classes[index]) + 1,
            "bbox": box,
            "score": float(instances.scores[index]),
        }
        if instances.has("pred_masks"):
            mask = np.asfortranarray(instances.pred_masks[index].numpy().astype(np.uint8))
            code = mask_util.encode(mask)
            row["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
        rows.append(row)
    return rows


@pytest.mark.parametrize("name", DETECTORS)
def test_detections_are_those_of_the_evaluation(
    name: str, shapes: Path, shapes_overrides: list[str], tmp_path: Path
) -> None:
    weights = write_checkpoint(name, tmp_path, shapes_overrides)
    init = f"train.init_checkpoint={weights}"
    evaluate(name, tmp_path, *shapes_overrides, init, every_score(name))
    written = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert written
    # No path of data is given: the classes are those of the weights.
    config = config_path(name)
    predictor = projects_ext.Predictor(config, weights, "cpu", confidence_threshold=0.0)
    assert (predictor.kind, predictor.class_names) == ("instances", CLASSES)
    files = image_files(shapes)
    found = predictor(list(files.values()))
    rows = [row for key, one in zip(files, found, strict=True) for row in as_coco(one, key)]
    assert len(rows) == len(written)
    for row, expected in zip(rows, written, strict=True):
        assert row == expected


@pytest.mark.parametrize(
    "keys",
    [
        ["model.predict_multi_scale=False"],
        [
            "model.predict_multi_scale=False",
            "model.inference.crop=[64,64]",
            "model.inference.stride=[40,40]",
        ],
        ["model.predict_multi_scale=True", "model.multi_scale.scales=[0.5,1.0]"],
    ],
    ids=["whole", "slide", "multi-scale"],
)
def test_label_maps_are_those_of_the_evaluation(
    keys: list[str], shapes: Path, tmp_path: Path
) -> None:
    weights = write_checkpoint(SEMANTIC, tmp_path, label_keys(shapes))
    init = f"train.init_checkpoint={weights}"
    evaluate(SEMANTIC, tmp_path, *label_keys(shapes), init, *keys)
    several = "True" in keys[0]
    folder = tmp_path / "multi_scale_flip" if several else tmp_path
    written = json.loads((folder / "sem_seg_predictions.json").read_text())
    predictor = projects_ext.Predictor(config_path(SEMANTIC), weights, "cpu", opts=keys)
    assert predictor.kind == "semantic"
    assert predictor.class_names == ["background", *CLASSES]
    seen = set()
    for row in written:
        labels = predictor(row["file_name"])
        assert labels.dtype == torch.int64
        mask = mask_util.decode(row["segmentation"]).astype(bool)
        assert labels.shape == mask.shape
        assert np.array_equal(labels.numpy() == row["category_id"], mask)
        seen.add(row["category_id"])
    assert len(seen) > 1


@pytest.fixture(scope="module")
def small(shapes_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small Mask R-CNN that shows everything."""
    weights = write_checkpoint("mask", tmp_path_factory.mktemp("weights"), shapes_overrides)
    return projects_ext.Predictor(config_path("mask"), weights, "cpu", confidence_threshold=0.0)


def same(one: Instances, other: Instances) -> bool:
    return all(
        torch.equal(getattr(value, "tensor", value), getattr(other.get(name), "tensor", None))
        if hasattr(value, "tensor")
        else torch.equal(value, other.get(name))
        for name, value in one.get_fields().items()
    )


def test_a_list_gives_what_its_images_give(small: Any, shapes: Path) -> None:
    """Of several sizes, more than are in memory at a time, in the order given."""
    images = []
    for index, path in enumerate([*image_files(shapes).values()] * 3):
        side = 144 - 8 * (index % 3)
        images.append(np.asarray(Image.open(path).convert("RGB"))[:side, : 144 - side % 5])
    found = small(images)
    assert len(found) == len(images) == 12
    for image, one in zip(images, found, strict=True):
        assert one.image_size == image.shape[:2]
        assert len(one)
        assert same(one, small(image))


def test_batches_are_padded_as_if_alone(small: Any, shapes: Path) -> None:
    """What is a batch on a GPU, on the CPU here."""
    images = [np.asarray(Image.open(path).convert("RGB")) for path in image_files(shapes).values()]
    images = [images[0], images[1][:100], images[2][:, :140], images[3][:99]]
    inputs = [small.prepare(image) for image in images]
    groups = batches([given["image"].shape[-2:] for given in inputs], 32)
    assert groups == [[0, 2], [1, 3]]
    with torch.no_grad():
        for group in groups:
            outputs = small.model([inputs[index] for index in group])
            for index, output in zip(group, outputs, strict=True):
                alone = small.predict([inputs[index]])[0]
                together = output["instances"]
                assert torch.allclose(together.scores, alone.scores, atol=1e-5)
                gap = together.pred_boxes.tensor - alone.pred_boxes.tensor
                assert gap.abs().max() < 1e-2


def test_a_lower_threshold_shows_more(shapes: Path, small: Any) -> None:
    image = next(iter(image_files(shapes).values()))
    middle = float(small(image).scores.median())
    key = f"model.roi_heads.box_predictor.test_score_thresh={middle}"
    predictor = projects_ext.Predictor(config_path("mask"), small.weights, "cpu", opts=[key])
    own = predictor(image)
    assert predictor.confidence_threshold is None
    assert 0 < len(own) < len(small(image))
    predictor.confidence_threshold = 0.0
    assert same(predictor(image), small(image))
    higher = float(own.scores.median())
    predictor.confidence_threshold = higher
    assert len(predictor(image)) == int((own.scores >= higher).sum())
    predictor.confidence_threshold = None
    assert same(predictor(image), own)


def test_metadata_are_what_the_visualizer_draws_with(small: Any, shapes: Path) -> None:
    from detectron2.utils.visualizer import Visualizer

    path = next(iter(image_files(shapes).values()))
    image = np.asarray(Image.open(path).convert("RGB"))
    drawn = Visualizer(image, small.metadata).draw_instance_predictions(small(path))
    assert drawn.get_image().shape == image.shape
    assert small.metadata.thing_classes == CLASSES
    assert len(small.metadata.thing_colors) == len(CLASSES)


def test_a_loaded_config_is_not_changed(small: Any, shapes_overrides: list[str]) -> None:
    cfg = get_config("quickstart/mask_rcnn_shapes")
    before = str(cfg)
    predictor = projects_ext.Predictor(cfg, small.weights, opts=["train.seed=3"])
    assert str(cfg) == before
    assert predictor.class_names == CLASSES
