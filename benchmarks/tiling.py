"""Prediction in tiles: recall, precision and time, compared with sahi on the same weights.

    pip install sahi
    python -m benchmarks.tiling --config-file output/shapes/config.yaml --size 3000 --tile 512

The scene is composed of images of the shapes data, some of them enlarged, so that their objects are
larger than the overlap or than a tile. Without sahi only our own figures are printed. The network
and the images are the same for both. sahi takes the boxes from the masks, we take those that the
network gives: the rows "bbox of masks" compare like with like. With ``--peak`` the peak memory of
our run alone is printed.
"""

import argparse
import contextlib
import io
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.measure import environment, table, time_once
from projects_ext import Predictor
from projects_ext.prediction.objects import MaskCrop, Objects
from projects_ext.prediction.outputs import coco_result
from projects_ext.prediction.tiling import TiledPrediction

SHAPES = Path(__file__).parents[1] / "datasets" / "shapes"
SCORE = 0.5
ENLARGED = (4, 6)
"""Factors of the images with large objects."""
MANY = 100_000
"""Detections per image that count: all."""


def compose(size: int, large: int) -> tuple[Image.Image, dict[str, Any]]:
    """A square scene of validation images, and its ground truth as a COCO data set.

    Args:
        size: of its edges, in pixels.
        large: how many enlarged images lie in it, at random places.
    """
    truth = COCO(SHAPES / "annotations" / "instances_val.json")
    random = np.random.RandomState(0)
    scene = Image.new("RGB", (size, size), (128, 128, 128))
    taken = np.zeros((size // 180 + 1, size // 180 + 1), dtype=bool)
    annotations: list[dict[str, Any]] = []
    ids = truth.getImgIds()

    def paste(index: int, x: int, y: int, factor: int) -> None:
        record = truth.imgs[ids[index % len(ids)]]
        image = Image.open(SHAPES / "val" / record["file_name"]).convert("RGB")
        scene.paste(image.resize((image.width * factor, image.height * factor), 3), (x, y))
        for one in truth.imgToAnns[record["id"]]:
            mask = truth.annToMask(one).astype(bool).repeat(factor, 0).repeat(factor, 1)
            crop = MaskCrop.of(mask, x, y)
            x0, y0, x1, y1 = crop.corners
            annotations.append({
                "id": len(annotations) + 1, "image_id": 1, "category_id": one["category_id"],
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": crop.area,
                "iscrowd": one["iscrowd"], "segmentation": crop.run_lengths(size, size),
            })  # fmt: skip

    for number in range(large):
        cells = ENLARGED[number % len(ENLARGED)]
        if cells * 180 > size:
            continue
        row, column = random.randint(0, len(taken) - cells, 2).tolist()
        if taken[row : row + cells, column : column + cells].any():
            continue
        taken[row : row + cells, column : column + cells] = True
        paste(int(random.randint(len(ids))), column * 180, row * 180, cells)
    for number, (row, column) in enumerate(np.argwhere(~taken)):
        x, y = column * 180 + random.randint(20), row * 180 + random.randint(4)
        if x + 160 <= size and y + 176 <= size:
            paste(number, int(x), int(y), 1)
    data = {"images": [{"id": 1, "height": size, "width": size}], "annotations": annotations,
            "categories": list(truth.cats.values())}  # fmt: skip
    return scene, data


def scores(data: dict[str, Any], results: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """Recall and AP at IoU 0.5, of objects of all sizes and of those below 160 pixels.

    Args:
        data: the ground truth.
        results: in COCO's form.
        kind: "bbox" or "segm".
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [MANY]
        evaluation.params.areaRng = [[0, 1e10], [0, 160**2 / 2], [160**2 / 2, 1e10]]
        evaluation.params.areaRngLbl = ["all", "small", "large"]
        evaluation.evaluate()
        evaluation.accumulate()
    recall, precision = evaluation.eval["recall"], evaluation.eval["precision"]
    found = {}
    for index, name in enumerate(("all", "small", "large")):
        for what, values in (("recall", recall[0, :, index, 0]),
                             ("AP", precision[0, :, :, index, 0])):  # fmt: skip
            kept = values[values > -1]
            found[f"{what} {name}"] = 100 * float(kept.mean()) if kept.size else float("nan")
    return found


def ours(
    predictor: Any, scene: Image.Image, tile: int, overlap: float
) -> Callable[[], list[dict[str, Any]]]:
    """Our prediction, as a function that gives COCO's results."""
    tiled = TiledPrediction(predictor, tile, overlap)

    def run() -> list[dict[str, Any]]:
        found = tiled(scene)
        assert isinstance(found, Objects)
        return [{"image_id": 1, **coco_result(found, index)} for index in range(len(found))]

    return run


def theirs(
    predictor: Any, scene: Image.Image, tile: int, overlap: float
) -> Callable[[], list[dict[str, Any]]]:
    """sahi's, with its own defaults and the same network; masks as run lengths, too."""
    from sahi.models.detectron2 import Detectron2DetectionModel
    from sahi.predict import get_sliced_prediction

    class Network:
        input_format = "BGR"

        def __call__(self, image: np.ndarray) -> dict[str, Any]:
            if max(image.shape[:2]) > tile:  # its prediction on the whole image, at a tile's size
                return {"instances": shrunk(predictor, image, tile)}
            return {"instances": predictor(image)}

    names = {str(index): name for index, name in enumerate(predictor.class_names)}
    model = Detectron2DetectionModel(
        load_at_init=False, category_mapping=names, confidence_threshold=SCORE, device="cpu"
    )
    model.model, model.category_names = Network(), list(names.values())

    def run() -> list[dict[str, Any]]:
        found = get_sliced_prediction(
            scene, model, tile, tile, overlap, overlap, verbose=0, postprocess_match_threshold=0.5
        ).object_prediction_list
        results = []
        for one in found:
            x0, y0, x1, y1 = one.bbox.to_xyxy()
            mask = MaskCrop.of(one.mask.bool_mask)
            results.append({
                "image_id": 1, "category_id": one.category.id + 1, "score": one.score.value,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": mask.run_lengths(scene.height, scene.width),
            })  # fmt: skip
        return results

    return run


def boxed(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with the boxes of their masks."""
    boxes = (coco_mask.toBbox(one["segmentation"]).tolist() for one in results)
    return [{**one, "bbox": box} for one, box in zip(results, boxes, strict=True)]


def shrunk(predictor: Any, image: np.ndarray, edge: int) -> Any:
    """What is found in a large image at a tile's size, at the image's own size."""
    from detectron2.structures import Boxes, Instances

    height, width = image.shape[:2]
    scale = edge / max(height, width)
    small = Image.fromarray(image[:, :, ::-1]).resize((round(width * scale), round(height * scale)))
    found = predictor(small)
    masks = torch.nn.functional.interpolate(found.pred_masks[:, None].float(), (height, width))
    return Instances(
        (height, width),
        pred_boxes=Boxes(found.pred_boxes.tensor / scale),
        scores=found.scores,
        pred_classes=found.pred_classes,
        pred_masks=masks[:, 0] > 0.5,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config-file", default="output/shapes/config.yaml")
    parser.add_argument("--size", type=int, default=3000, help="of the scene, in pixels")
    parser.add_argument("--large", type=int, default=4, help="enlarged images to try to place")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--overlap", type=float, default=0.2)
    parser.add_argument("--peak", action="store_true", help="only our peak memory")
    parser.add_argument("--scene", help="write the scene to this file, and its truth beside it")
    given = parser.parse_args()
    scene, data = compose(given.size, given.large)
    if given.scene:
        scene.save(given.scene, compress_level=1)
        Path(given.scene).with_suffix(".json").write_text(json.dumps(data))
    predictor = Predictor(given.config_file, confidence_threshold=SCORE, device="cpu")
    runs = {"projects_ext": ours(predictor, scene, given.tile, given.overlap)}
    print(environment())
    if not given.peak:
        with contextlib.suppress(ImportError):
            import sahi

            runs[f"sahi {sahi.__version__}"] = theirs(predictor, scene, given.tile, given.overlap)
    found, seconds = {}, {}
    for name, run in runs.items():
        start = time.process_time()
        wall = time_once(lambda run=run, name=name: found.update({name: run()}))
        seconds[name] = wall, time.process_time() - start
    rows = []
    for name, results in found.items():
        for kind, of in (("bbox", results), ("bbox of masks", boxed(results)), ("segm", results)):
            measured = scores(data, of, kind.split()[0])
            rows.append([name, kind, len(results), *measured.values(), *seconds[name]])
    count = len(data["annotations"])
    print(f"{count} objects, {given.size} x {given.size}, {given.tile}, {given.overlap}\n")
    print(table(rows, ["", "", "found", *measured, "s", "s of CPU"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
