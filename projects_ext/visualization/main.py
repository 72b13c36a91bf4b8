"""The program behind ``tools/visualize_data.py``."""

import itertools
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from detectron2.utils.logger import setup_logger
from projects_ext.data import log_pending_warnings
from projects_ext.data.statistics import (
    LabelMapStatistics,
    ObjectStatistics,
    Oddity,
    count_label_maps,
    count_objects,
    find_oddities,
)
from projects_ext.engine.config_check import check_config
from projects_ext.engine.config_files import Config, load_config
from projects_ext.engine.faults import StoppedError, one_sentence
from projects_ext.errors import UserError
from projects_ext.report import require_libraries

from .arguments import parse_arguments
from .drawing import Drawing
from .first_screen import describe_label_maps, describe_objects
from .pages import write_page
from .sources import DataSet, as_rgb, image_format, load_data_set, training_samples
from .windows import Window

QUALITY = 92
"""Of the JPEG files."""

Named = tuple[str, Image.Image]


def run(arguments: Namespace) -> None:
    """Print the first screen and draw, as the command line says.

    Raises:
        UserError: the config or the data cannot be used, or nothing can be written.
    """
    _set_up_log()
    cfg = load_config(arguments.config_file, arguments.opts)
    log_pending_warnings()
    check_config(cfg, training=True)
    data = load_data_set(cfg, arguments.split)
    folder = Path(arguments.output_dir)
    if not arguments.show:
        _require_other_folder(folder, data)
    if arguments.report:
        require_libraries()
    window = Window() if arguments.show else None
    statistics, oddities = _count(data)
    print(_first_screen(data, statistics, oddities), flush=True)
    number = len(data.records) if arguments.number < 0 else arguments.number
    if arguments.report:
        print(f"open {write_page(data, statistics, oddities, folder, number)}")
        return
    if not number:
        return
    if window is None:
        _make_folder(folder)
    total = min(number, len(data.records)) if arguments.source == "annotation" else number
    drawn = itertools.islice(_drawn(cfg, data, arguments.source), total)
    # Closed before an error is said, which has a line of its own.
    with tqdm(drawn, "drawing", total, unit="image", file=sys.stderr) as progress:
        if window is not None:
            _show(progress, window)
            return
        written = _write(progress, folder)
    rest = len(data.records) - written
    more = f"; {rest:,} images are not drawn (--number -1 draws all)" if rest > 0 else ""
    print(f"{written:,} images: {folder}{more}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"{folder} cannot be written ({error.strerror or error}): give another --output-dir"
    )


def _set_up_log() -> None:
    """Warnings alone reach the terminal: the first screen tells the rest."""
    setup_logger()
    for handler in logging.getLogger("detectron2").handlers:
        handler.setLevel(logging.WARNING)


def _count(data: DataSet) -> tuple[ObjectStatistics | LabelMapStatistics, list[Oddity]]:
    """The data set in numbers, and what looks odd in it."""
    if data.is_semantic:

        def progress(counts: Iterable[np.ndarray], total: int) -> Iterable[np.ndarray]:
            return tqdm(counts, "reading label maps", total, unit="image", file=sys.stderr)

        maps = count_label_maps(data.records, data.classes, progress)
        return maps, maps.oddities()
    objects = count_objects(data.records, data.classes)
    return objects, find_oddities(objects)


def _first_screen(
    data: DataSet, statistics: ObjectStatistics | LabelMapStatistics, oddities: Sequence[Oddity]
) -> str:
    if isinstance(statistics, LabelMapStatistics):
        return describe_label_maps(data.name, statistics, oddities)
    return describe_objects(data.name, statistics, oddities)


def _drawn(cfg: Config, data: DataSet, source: str) -> Iterator[Named]:
    """The images with the ground truth on them; those of a data loader have no end."""
    drawing = Drawing(data)
    if source == "annotation":
        for record in data.records:
            yield _stem(record), drawing.annotation(record)
        return
    channels = image_format(cfg)
    for sample in training_samples(cfg):
        yield _stem(sample), drawing.sample(as_rgb(sample["image"], channels), sample)


def _stem(record: dict[str, Any]) -> str:
    return Path(str(record.get("file_name", record.get("image_id", "image")))).stem


def _write(images: Iterable[Named], folder: Path) -> int:
    """Write the images; those of one name get numbers. Returns how many there are."""
    times: dict[str, int] = {}
    for stem, image in images:
        times[stem] = times.get(stem, 0) + 1
        name = stem if times[stem] == 1 else f"{stem}_{times[stem]}"
        try:
            image.save(folder / f"{name}.jpg", quality=QUALITY)
        except OSError as error:
            raise _unwritable(folder, error) from error
    return sum(times.values())


def _show(images: Iterable[Named], window: Window) -> None:
    for stem, image in images:
        if not window.show(image, stem):
            return


def _require_other_folder(folder: Path, data: DataSet) -> None:
    """Refuse to write among the images of the data set, some of which would be replaced."""
    places = {os.path.dirname(str(record.get("file_name", ""))) for record in data.records}
    if os.path.realpath(folder) in {os.path.realpath(place) for place in places}:
        raise UserError(
            f"--output-dir {folder} holds images of the data set, which would be replaced by drawn "
            "ones: give another folder"
        )


def main(words: Sequence[str] | None = None) -> None:
    """Parse the command line and run.

    What is wrong with the user's input ends in one sentence on stderr.

    Args:
        words: a command line instead of the program's own.
    """
    arguments = parse_arguments(words)
    with one_sentence():
        try:
            run(arguments)
        except KeyboardInterrupt:
            raise StoppedError("stopped: the images drawn so far are complete", 2) from None
