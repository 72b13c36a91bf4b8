"""Time of exported models beside the model that they are made from.

    python -m benchmarks.deploy [--model "Mask R50"] [--formats onnx openvino]

A model of `benchmarks.models`, or the one of label maps, with random weights and a made-up picture
of the size at which the network sees it. All run in turns, with the same number of threads, from
pixels to masks of the picture; "x model" is the ratio to the model in PyTorch.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import environment, measure_in_turns, table
from benchmarks.models import CONFIGS, MODELS, build_model
from benchmarks.scenes import picture
from detectron2.config import LazyConfig, instantiate
from projects_ext import Predictor
from projects_ext.deploy.formats import ENDINGS, PRECISIONS, export, runner
from projects_ext.deploy.metadata import Metadata
from projects_ext.deploy.paste import paste_in_boxes, paste_maps
from projects_ext.deploy.program import program_of

LABEL_MAPS, SEMANTIC = "GCNet R50", "gcnet/semantic/gcnet_r50_d8_512x1024_40k_cityscapes"


def with_masks(run: Callable[[np.ndarray], Any], metadata: Metadata, image: np.ndarray) -> int:
    """Run a file on an image, masks brought to its size included; how many objects."""
    found = run(image)
    if "labels" in found:
        return 0
    count, size = int(found["count"]), (image.shape[0], image.shape[1])
    if "masks" not in found:
        return count
    masks = found["masks"][:count]
    if metadata.mask_stride:
        seen = (int(found["network_size"][0]), int(found["network_size"][1]))
        return len(paste_maps(masks, metadata.mask_stride, seen, size))
    return len(paste_in_boxes(masks, found["boxes"][:count], size))


def predictor_of(name: str, folder: Path) -> Predictor:
    """The predictor of a model of the table, with random weights in a file in the folder."""
    weights = folder / "random.pth"
    if name == LABEL_MAPS:
        config = LazyConfig.load(str(CONFIGS / f"{SEMANTIC}.py"))
        torch.manual_seed(0)
        torch.save({"model": instantiate(config.model).state_dict()}, weights)
        return Predictor(config, weights, "cpu")
    config = MODELS[name].config
    torch.save({"model": build_model(config, "cpu").state_dict()}, weights)
    return Predictor(str(CONFIGS / f"{config}.py"), weights, "cpu")


def runs_of(
    predictor: Predictor, forms: list[str], folder: Path, image: np.ndarray, threads: int
) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    program, metadata = program_of(predictor)
    pillow = Image.fromarray(image)
    runs: dict[str, Callable[[], object]] = {"model": lambda: predictor(pillow)}

    def add(name: str, run: Callable[[np.ndarray], Any]) -> None:
        runs[name] = lambda: with_masks(run, metadata, image)

    for form in forms:
        for precision in PRECISIONS[form]:
            path = folder / f"{precision}{ENDINGS[form]}"
            export(program, metadata, form, path, precision)
            add(f"{form}, {precision}", runner(path, form, program.OUTPUTS, threads))
    return runs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="Mask R50", choices=[*MODELS, LABEL_MAPS])
    parser.add_argument("--formats", nargs="+", default=["onnx", "openvino"], choices=ENDINGS)
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    height, width = given.size
    image = picture(np.random.RandomState(0), width, height)
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_of(given.model, Path(folder))
        runs = runs_of(predictor, given.formats, Path(folder), image, given.threads)
        results = measure_in_turns(runs, repeat=given.repeat)
    print(environment(), "", f"{given.model}, {height} x {width}", "", sep="\n")
    rows = [[x.case, x.seconds, x.seconds / results[0].seconds] for x in results]
    print(table(rows, ["", "s", "x model"]))


if __name__ == "__main__":
    main()
