"""AP of exported files beside the model that they are made from.

    python -m benchmarks.deploy_accuracy --config-file output/shapes/config.yaml

The images of a json in COCO's format, by default the validation images of the shapes data: model
and files find objects in the same pixels, and pycocotools evaluates them.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.measure import environment, table
from projects_ext import Predictor
from projects_ext.deploy.formats import ENDINGS, PRECISIONS, export, runner
from projects_ext.deploy.images import rgb_pixels
from projects_ext.deploy.matching import Objects, of_file, of_model
from projects_ext.deploy.program import program_of

SHAPES = Path(__file__).parents[1] / "datasets" / "shapes"

Find = Callable[[np.ndarray], Objects]


def results_of(found: Objects, image_id: int, categories: list[int]) -> list[dict[str, Any]]:
    """Objects as COCO's results."""
    results = []
    for index, (box, score, label) in enumerate(
        zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True)
    ):
        x0, y0, x1, y1 = box
        result = {"image_id": image_id, "category_id": categories[label], "score": score}
        result["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        if found.masks is not None:
            result["segmentation"] = coco_mask.encode(np.asfortranarray(found.masks[index]))
        results.append(result)
    return results


def average_precision(truth: COCO, results: list[dict[str, Any]], kind: str) -> float:
    """AP of COCO, in percent, of the images that have results; kind: "bbox" or "segm"."""
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.params.imgIds = sorted({result["image_id"] for result in results})
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * float(evaluation.stats[0])


def ways_of(predictor: Predictor, forms: list[str], folder: Path) -> dict[str, Find]:
    """The model and its files, by name."""
    program, metadata = program_of(predictor)
    ways: dict[str, Find] = {"model": lambda image: of_model(predictor(Image.fromarray(image)))}
    for form in forms:
        for precision in PRECISIONS[form]:
            path = folder / f"{precision}{ENDINGS[form]}"
            export(program, metadata, form, path, precision)
            run = runner(path, form, program.OUTPUTS)

            def find(image: np.ndarray, run: Any = run) -> Objects:
                return of_file(run(image), metadata, (image.shape[0], image.shape[1]))

            ways[f"{form}, {precision}"] = find
    return ways


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="as for projects_ext.Predictor")
    parser.add_argument("--weights", help="default: the config's own")
    parser.add_argument("--formats", nargs="+", default=["onnx", "openvino"], choices=ENDINGS)
    parser.add_argument("--json", default=SHAPES / "annotations" / "instances_val.json")
    parser.add_argument("--folder", type=Path, default=SHAPES / "val", help="of the images")
    parser.add_argument("--images", type=int, help="so many of them (default: all)")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    predictor = Predictor(given.config_file, given.weights, "cpu", opts=given.opts)
    truth = COCO(given.json)
    categories = sorted(truth.getCatIds())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, find in ways_of(predictor, given.formats, Path(folder)).items():
            results = []
            for image_id in sorted(truth.imgs)[: given.images]:
                image = rgb_pixels(given.folder / truth.imgs[image_id]["file_name"])
                results += results_of(find(image), image_id, categories)
            kinds = ("bbox", "segm") if "segmentation" in results[0] else ("bbox",)
            rows.append([name, *(average_precision(truth, results, kind) for kind in kinds)])
    print(environment(), "", sep="\n")
    print(table(rows, ["", "box AP", "mask AP"][: len(rows[0])]))


if __name__ == "__main__":
    main()
