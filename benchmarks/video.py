"""Prediction on a video: for which share of the time the network waits.

    python -m benchmarks.video --config-file output/shapes --frames 60 --size 480 640

The clip is made of images of the shapes data, enlarged. The same frames are also decoded, predicted
on and drawn one after the other, without threads. Between two calls of the network lie waiting for
a frame, making mask crops of its results, and waiting for the drawing of earlier frames.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import environment, table
from projects_ext import Predictor
from projects_ext.prediction.inputs import find_inputs
from projects_ext.prediction.jobs import WholeImages
from projects_ext.prediction.main import Prediction
from projects_ext.prediction.models import class_colours
from projects_ext.prediction.pictures import PictureOutput
from projects_ext.prediction.video import VideoWriter

SHAPES = Path(__file__).parents[1] / "datasets" / "shapes" / "val"


class Timed:
    """A model that notes when it is at work.

    Args:
        model: a predictor.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.spans: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, inputs: list[Any]) -> Any:
        """As the model does."""
        start = time.perf_counter()
        found = self._model.predict(inputs)
        self.spans.append((start, time.perf_counter()))
        return found

    @property
    def idle(self) -> float:
        """Which share of the time from its first to its last call the model was not at work."""
        gaps = sum(second[0] - first[1] for first, second in pairwise(self.spans))
        return gaps / (self.spans[-1][1] - self.spans[0][0])


class AtOnce(WholeImages):
    """Everything in one thread: nothing is drawn while the network is at work."""

    ahead, behind = 1, 0


def write_clip(path: Path, frames: int, height: int, width: int, images: Path) -> None:
    """A video of enlarged images of the shapes data, each for five frames."""
    files = sorted(images.glob("*.png"))
    with VideoWriter(path, 25) as writer:
        for index in range(frames):
            image = Image.open(files[index // 5 % len(files)]).convert("RGB")
            writer.write(np.asarray(image.resize((width, height)))[:, :, ::-1])


def measure(predictor: Any, clip: Path, output: Path, threads: bool) -> tuple[float, float]:
    """Seconds for a video, and the share of it in which the network waits."""
    model = Timed(predictor)
    inputs, fps = find_inputs([str(clip)]), dict[str, float]()
    names, colours = model.class_names, class_colours(model)
    start = time.perf_counter()
    with PictureOutput({inputs[0].name: output}, names, colours, fps) as drawing:
        network = WholeImages(model) if threads else AtOnce(model)
        Prediction(network, [drawing], 1, fps).run(inputs)
    return time.perf_counter() - start, model.idle


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config-file", default="output/shapes/config.yaml")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width")
    parser.add_argument("--images", type=Path, default=SHAPES, help="to make the video of")
    parser.add_argument("--threshold", type=float, default=0.5)
    given = parser.parse_args(words)
    predictor = Predictor(given.config_file, confidence_threshold=given.threshold)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, given.frames, *given.size, given.images)
        for threads in (True, False):
            seconds, idle = measure(predictor, clip, Path(folder) / "drawn.mp4", threads)
            name = "reading and drawing overlap" if threads else "drawing in turns"
            rows.append([name, seconds, given.frames / seconds, 100 * idle])
    print(environment())
    print(table(rows, ["", "s", "frames per s", "network waits, %"]))


if __name__ == "__main__":
    main()
