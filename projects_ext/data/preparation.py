"""From a downloaded data set to label maps: what the scripts ``datasets/prepare_*.py`` share.

Every image is read to its end and every label map is checked, also when it was made by an earlier
run: afterwards, training and evaluation can rely on the files.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from projects_ext.checkpoint.writing import write_whole
from projects_ext.errors import UserError

from .labels import LabelStatistics, count_labels, read_label_map, unknown_labels

Convert = Callable[[Path], np.ndarray]
"""From an official annotation file to labels (H, W), uint8."""

PROBLEMS_ON_SCREEN = 20
# What damaged images, archives of MATLAB and json make their readers raise.
_UNREADABLE = (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, EOFError)


@dataclass(frozen=True)
class Item:
    """An image, its official annotation, and the label map that is made of it.

    Attributes:
        image, source, target: their paths.
        companions: further images that the download has for it; they must be readable, too.
    """

    image: Path
    source: Path
    target: Path
    companions: tuple[Path, ...] = ()


@dataclass
class Part:
    """A part of a data set.

    Attributes:
        name: "train" or "val".
        items: what was found, or has to be there.
        official_count: how many images the data set has.
        problems: what was found to be missing when looking for items, a line each.
    """

    name: str
    items: list[Item]
    official_count: int
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        counts: the pixels (256,) of each label; None if there is a problem.
        made: whether the label map was written now, not by an earlier run.
        problems: the files that are missing or damaged, a line each.
    """

    counts: np.ndarray | None
    made: bool = False
    problems: tuple[str, ...] = ()


def prepare_item(item: Item, *, convert: Convert, num_classes: int) -> Outcome:
    """Check one image and make its label map, unless a good one that is not older is there."""
    problems = []
    size: tuple[int, int] | None = None
    for path in (item.image, *item.companions):
        try:
            found = read_to_the_end(path)
            size = size or found
            if found != size:
                problems.append(f"{path}: {_text(found)}, but {item.image} is {_text(size)}")
        except _UNREADABLE as error:
            problems.append(describe(path, error))
    try:
        modified = item.source.stat().st_mtime
        earlier = _labels_of_earlier_run(item.target, modified, size, num_classes)
        labels = convert(item.source) if earlier is None else earlier
        problems += _problems_of_labels(item, labels, size, num_classes)
    except _UNREADABLE as error:
        problems.append(describe(item.source, error))
    if problems:
        return Outcome(None, problems=tuple(problems))
    if earlier is None:
        write_label_map(item.target, labels)
    return Outcome(count_labels(labels), made=earlier is None)


def _labels_of_earlier_run(
    target: Path, modified: float, size: tuple[int, int] | None, num_classes: int
) -> np.ndarray | None:
    """The label map that is there, if nothing is wrong with it."""
    try:
        if target.stat().st_mtime < modified:
            return None
        labels = read_label_map(target)
    except _UNREADABLE:
        return None
    good = labels.shape == size and not unknown_labels(count_labels(labels), num_classes)
    return labels if good else None


def _problems_of_labels(
    item: Item, labels: np.ndarray, size: tuple[int, int] | None, num_classes: int
) -> Iterator[str]:
    if size is not None and labels.shape != size:
        yield f"{item.source}: {_text(labels.shape)}, but {item.image} is {_text(size)}"
    odd = unknown_labels(count_labels(labels), num_classes)
    if odd:
        yield f"{item.source}: it gives the labels {odd}, which the data set does not have"


def _text(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} pixels"


def read_to_the_end(path: Path) -> tuple[int, int]:
    """Height and width of an image of which every pixel can be read.

    Raises:
        OSError: it is missing, truncated or no image.
    """
    with Image.open(path) as image:
        image.load()
        return image.height, image.width


def describe(path: Path, error: Exception) -> str:
    """One line: a file and why it cannot be used."""
    if isinstance(error, FileNotFoundError):
        return f"{path}: missing"
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return f"{path}: damaged or another format ({reason})".replace(f" '{path}'", "")


def write_label_map(path: Path, labels: np.ndarray) -> None:
    """Write an 8-bit grey PNG; where the program is interrupted, no half of it stays.

    Raises:
        UserError: it cannot be written.
    """
    image = Image.fromarray(labels.astype(np.uint8))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: image.save(file, "PNG"), survive_power_cut=False)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): free space on the disk, or "
            "correct the permissions of its folder, and run this again"
        ) from error


def prepare(
    parts: Iterable[Part],
    classes: Sequence[str],
    convert: Convert,
    *,
    problems_file: Path,
    workers: int = 1,
    any_count: bool = False,
) -> dict[str, LabelStatistics]:
    """Make all label maps; print a table by class for each part.

    Args:
        parts: what there is to do.
        classes: the names, by label.
        convert: makes the labels; with several workers it must be a function of a module.
        problems_file: where the list of problems is written, a line each; removed if there is none.
        workers: processes; 1 for this one.
        any_count: a subset of the official files is meant.

    Returns:
        what was counted, by part.

    Raises:
        UserError: files are missing, damaged or too few. All others are done by then.
    """
    one = partial(prepare_item, convert=convert, num_classes=len(classes))
    problems: list[str] = []
    counted = {}
    for part in parts:
        statistics = counted[part.name] = LabelStatistics(classes)
        made = 0
        for outcome in _progress(part, one, workers):
            problems += outcome.problems
            made += outcome.made
            if outcome.counts is not None:
                statistics.add(outcome.counts)
        count = statistics.maps
        print(f"\n{part.name}: {count} label maps, {made} of them made now\n{statistics.table()}\n")
        problems += part.problems
        if count != part.official_count and not any_count:
            problems.append(f"{part.name}: {count} good images, officially {part.official_count}")
    _report(problems, problems_file)
    return counted


def _progress(part: Part, one: Callable[[Item], Outcome], workers: int) -> Iterator[Outcome]:
    """The outcomes in order, with a bar that estimates the time left."""
    with _mapping(workers) as mapped:
        outcomes = mapped(one, part.items)
        yield from tqdm(outcomes, desc=part.name, total=len(part.items), unit="image")


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[..., Iterable[Outcome]]]:
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        yield partial(pool.map, chunksize=8)


def _report(problems: Sequence[str], file: Path) -> None:
    if not problems:
        file.unlink(missing_ok=True)
        return
    for line in problems[:PROBLEMS_ON_SCREEN]:
        print(line, file=sys.stderr)
    file.write_text("\n".join(problems) + "\n")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise UserError(
        f"{count} with the downloaded files, listed in {file}: copy or unpack these files again "
        "and run the script again, it goes on where it is; --any-count is for a subset of the data"
    )


def arguments(description: str, archives: str) -> argparse.Namespace:
    """The command line of such a script.

    Args:
        description: what the script does.
        archives: the names of the official downloads.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "archives", nargs="*", type=Path, help=f"unpack these first: {archives}"
    )  # fmt: skip
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))),
        help="folder of the data sets (default: $DETECTRON2_DATASETS, or datasets)",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)"
    )
    parser.add_argument(
        "--any-count", action="store_true", help="accept another number of images than the official"
    )
    return parser.parse_args()


@contextmanager
def told_in_one_sentence() -> Iterator[None]:
    """Within, what is wrong with the user's files ends the program without a traceback."""
    try:
        yield
    except UserError as error:
        raise SystemExit(error.sentence) from error
