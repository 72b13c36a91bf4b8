"""The program behind ``demo/demo.py``."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from detectron2.utils.logger import setup_logger
from projects_ext.engine.faults import StoppedError, one_sentence
from projects_ext.errors import UserError

from .arguments import parse_arguments, require_outputs_for
from .frames import left_out
from .inputs import Input, find_inputs, listed
from .jobs import ImagesInTiles, Job, WholeImages
from .models import class_colours, load_model
from .objects import Objects
from .outputs import CocoOutput, LabelMapOutput, Output, TableOutput, make_folder, require_writable
from .pictures import PictureOutput, is_file, picture_paths, require_no_input
from .pipeline import Ahead, Behind, groups
from .tiling import TiledPrediction, require_tiles
from .video import VideoReader, opencv


class Prediction:
    """One run of the program: from inputs through the network to outputs.

    Args:
        network: whole images or tiles.
        outputs: take the results, in a thread.
        batch_size: images for the network at a time.
        fps: is filled with the frames per second of each video, by the name of the input.

    Attributes:
        failed: what could not be read, in a sentence each.
        done: how many images and frames are complete.
        objects: how many were found; of label maps none are counted.
    """

    def __init__(
        self,
        network: WholeImages | ImagesInTiles,
        outputs: Sequence[Output],
        batch_size: int,
        fps: dict[str, float],
    ) -> None:
        self._network, self._outputs = network, outputs
        self._batch_size, self._fps = batch_size, fps
        self.failed: list[str] = []
        self._with_more: dict[str, list[str]] = {}
        self.done = self.objects = 0

    def run(self, inputs: Sequence[Input]) -> None:
        """Predict on all images, then on one video after the other."""
        images = [x for x in inputs if x.kind == "image"]
        if images:
            self._predict(self._images(images), len(images), "images")
        for one in inputs:
            if one.kind != "image":
                self._video(one)

    @property
    def notes(self) -> list[str]:
        """What was left out of images that were read, in a sentence each."""
        return [note.format(listed(names)) for note, names in self._with_more.items()]

    def _video(self, source: Input) -> None:
        try:
            reader = VideoReader(int(source.source) if source.kind == "camera" else source.source)
        except UserError as error:
            self.failed.append(error.sentence)
            return
        with reader:
            self._fps[source.name] = reader.fps
            before = self.done
            self._predict(self._frames(source, reader), reader.frames, Path(source.source).name)
            if self.done - before < reader.frames:
                tqdm.write(
                    f"{source.source}: {self.done - before} frames could be decoded, of "
                    f"{reader.frames} that its header tells of",
                    file=sys.stderr,
                )

    def _images(self, inputs: Sequence[Input]) -> Iterator[Job]:
        for one in inputs:
            for job in self._prepared(Job(one)):
                note = left_out(one.source)
                if note:
                    self._with_more.setdefault(note, []).append(one.source)
                yield job

    def _frames(self, source: Input, reader: VideoReader) -> Iterator[Job]:
        try:
            for index, pixels in enumerate(reader):
                yield from self._prepared(Job(source, index, pixels))
        except UserError as error:
            self.failed.append(error.sentence)

    def _prepared(self, job: Job) -> Iterator[Job]:
        """The job, or nothing if it cannot be read."""
        try:
            self._network.prepare(job)
        except UserError as error:
            self.failed.append(error.sentence)
            return
        yield job

    def _predict(self, jobs: Iterator[Job], total: int, name: str) -> None:
        """Reading, network and drawing overlap."""
        ahead = max(self._network.ahead, self._batch_size)
        with (
            tqdm(total=total or None, desc=name, unit="image", file=sys.stderr) as progress,
            Behind(self._write, self._network.behind) as writing,
            Ahead(jobs, ahead) as reading,
        ):
            for group in groups(reading, self._batch_size):
                for job in self._network.predict(group, self.failed):
                    writing.put(job)
                progress.update(len(group))

    def _write(self, job: Job) -> None:
        for output in self._outputs:
            output.write(job)
        self.done += 1
        if isinstance(job.found, Objects):
            self.objects += len(job.found)


def run(arguments: Namespace) -> int:
    """Predict as the command line says.

    Returns:
        the exit code.
    """
    output = Path(arguments.output)
    inputs = find_inputs(arguments.input, arguments.video_input, arguments.webcam, output)
    paths = picture_paths(inputs, output)
    _require_no_input(arguments.save, inputs, paths, output)
    require_writable(_folder(output))
    if arguments.tile is not None:
        require_tiles(arguments.tile, arguments.overlap)
    if any(x.kind != "image" for x in inputs):
        opencv()
    setup_logger()
    model = load_model(arguments)
    require_outputs_for(model.kind, arguments)
    network = _network(model, arguments)
    fps: dict[str, float] = {}
    with ExitStack() as stack:
        opened = _outputs(model, arguments, paths, fps)
        outputs = [stack.enter_context(one) for one in opened]
        prediction = Prediction(network, outputs, arguments.batch_size, fps)
        try:
            prediction.run(inputs)
        except (KeyboardInterrupt, StoppedError) as stop:
            stack.close()
            print(f"stopped: {_summary(prediction, output)}", file=sys.stderr)
            return stop.exit_code if isinstance(stop, StoppedError) else 130
    print(_summary(prediction, output))
    for note in prediction.notes:
        print(note, file=sys.stderr)
    for sentence in prediction.failed:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if prediction.failed else 0


def _require_no_input(
    save: Sequence[str], inputs: Sequence[Input], pictures: dict[str, Path], output: Path
) -> None:
    """Refuse to overwrite an input by a picture or a label map."""
    if "images" in save:
        require_no_input(pictures.values(), inputs)
    if "label-maps" in save:
        maps = LabelMapOutput(_folder(output), class_count=1)
        require_no_input((maps.path(Job(one)) for one in inputs if one.kind == "image"), inputs)


def _folder(output: Path) -> Path:
    """Where the outputs go that are no pictures."""
    return output.parent if is_file(output) else output


def _network(model: Any, arguments: Namespace) -> WholeImages | ImagesInTiles:
    if arguments.tile is None:
        return WholeImages(model)
    return ImagesInTiles(
        TiledPrediction(
            model,
            arguments.tile,
            arguments.overlap,
            batch_size=arguments.batch_size,
            reduced=not arguments.tiles_only,
            show=_show_tiles,
        )
    )


def _show_tiles(tiles: Iterator[Any], count: int) -> Iterator[Any]:
    return iter(tqdm(tiles, "tiles", count, leave=False, unit="tile", file=sys.stderr))


def _outputs(
    model: Any, arguments: Namespace, paths: dict[str, Path], fps: dict[str, float]
) -> Iterator[Output]:
    """What the command line asks for, opened one after the other."""
    folder, names = _folder(Path(arguments.output)), model.class_names
    make_folder(folder)
    if "images" in arguments.save:
        yield PictureOutput(paths, names, class_colours(model), fps, arguments.tile)
    if "coco" in arguments.save:
        yield CocoOutput(folder, names)
    if "csv" in arguments.save:
        yield TableOutput(folder, names)
    if "label-maps" in arguments.save:
        yield LabelMapOutput(folder, len(names))


def _summary(prediction: Prediction, output: Path) -> str:
    count = prediction.objects
    objects = f", {count} object{'s' if count > 1 else ''}" if count else ""
    what = "image or frame" if prediction.done == 1 else "images or frames"
    return f"{prediction.done} {what}{objects}: {output}"


def main(words: Sequence[str] | None = None) -> None:
    """Parse the command line and predict.

    What is wrong with the user's input ends in one sentence on stderr.

    Args:
        words: a command line instead of the program's own.
    """
    arguments = parse_arguments(words)
    with one_sentence():
        code = run(arguments)
    if code:
        sys.exit(code)
