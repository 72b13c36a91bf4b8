"""Time of exported models beside the model that they are made from.

    python -m benchmarks.deploy [--model "Mask R50"] [--formats onnx openvino]

A model of `benchmarks.models` with random weights and a made-up picture of the size at which the
network sees it. All run in turns, with the same number of threads, from pixels to masks of the
picture; "x model" is the ratio to the model in PyTorch. OpenVINO also runs in the precision that it
prefers on this processor, such as bfloat16.
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
from projects_ext import Predictor
from projects_ext.deploy.formats import ENDINGS, export, runner
from projects_ext.deploy.metadata import Metadata
from projects_ext.deploy.paste import paste_in_boxes, paste_maps
from projects_ext.deploy.program import program_of


def with_masks(run: Callable[[np.ndarray], Any], metadata: Metadata, image: np.ndarray) -> int:
    """Run a file on an image, masks brought to its size included; how many objects."""
    found = run(image)
    count, size = int(found["count"]), (image.shape[0], image.shape[1])
    if "masks" not in found:
        return count
    masks = found["masks"][:count]
    if metadata.mask_stride:
        seen = (int(found["network_size"][0]), int(found["network_size"][1]))
        return len(paste_maps(masks, metadata.mask_stride, seen, size))
    return len(paste_in_boxes(masks, found["boxes"][:count], size))


def openvino_by_itself(path: Path, names: Any, threads: int) -> Callable[[np.ndarray], Any]:
    """An OpenVINO model in the precision that it chooses."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda image: dict(zip(names, compiled(image).values(), strict=True))


def predictor_of(name: str, folder: Path) -> Predictor:
    """The predictor of a model of the table, with random weights in a file in the folder."""
    config = MODELS[name].config
    weights = folder / "random.pth"
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
        path = folder / f"model{ENDINGS[form]}"
        export(program, metadata, form, path)
        add(form, runner(path, form, program.OUTPUTS, threads))
        if form == "openvino":
            name = "openvino, own precision"
            add(name, openvino_by_itself(path, program.OUTPUTS, threads))
    return runs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="Mask R50", choices=list(MODELS))
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
