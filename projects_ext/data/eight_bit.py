"""Images of 16 bits, 32 bits or floating point as 8-bit images, all with one range of values.

    python -m projects_ext.data.eight_bit FOLDER NEW_FOLDER [--range LOW HIGH]

LOW becomes 0 and HIGH 255, linearly and rounded; what lies outside is cut off. Without ``--range``
it is the range of all values in the folder. Convert training and validation images, and those to
predict on, with the same range: a model takes brightness as it is. File names stay, so that
annotation files stay right; images that have 8 bits already are copied.
"""

import argparse
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from projects_ext.checkpoint.writing import write_whole
from projects_ext.errors import MissingFileError, UserError

from .image_files import is_deep, too_many_pixels
from .label_folders import IMAGE_SUFFIXES
from .preparation import told_in_one_sentence

Range = tuple[float, float]

# Of the formats that store more than 8 bits, those that also store 8-bit grey images.
_NAMED = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}


def convert_folder(source: Path, target: Path, value_range: Range | None = None) -> Range:
    """Write the images of a folder, and of those within, as 8-bit images of the same names.

    Args:
        source: folder of images.
        target: another folder; made if it is not there.
        value_range: the values that become 0 and 255; by default the lowest and the highest of all
            images that have more than 8 bits.

    Returns:
        the range that was used.

    Raises:
        MissingFileError: no such folder.
        UserError: it has no image of more than 8 bits; an image cannot be read or written; the
            range is empty.
    """
    if not source.is_dir():
        raise MissingFileError(f"no folder of images at {source}: correct its path")
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise UserError(f"{target} lies in the folder of the images: give another new folder")
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    modes = {path: _mode(path) for path in tqdm(files, "looking at", unit="image")}
    deep = [path for path, mode in modes.items() if is_deep(mode)]
    if not deep:
        raise UserError(
            f"no image in {source} has more than 8 bits per channel as Pillow reads it: use the "
            "folder as it is"
        )
    _require_one_kind(source, {path: modes[path] for path in deep})
    low, high = value_range or _range_of(deep)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(
            f"the range of values is {low:g} to {high:g}: give --range LOW HIGH, the values that "
            "become 0 and 255"
        )
    chosen = set(deep)
    for path in tqdm(files, "writing", unit="image"):
        _write(path, target / path.relative_to(source), (low, high), path in chosen)
    return low, high


def scale(values: np.ndarray, value_range: Range) -> np.ndarray:
    """Values as uint8: ``value_range`` becomes 0 to 255, NaN becomes 0."""
    low, high = value_range
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(np.nan_to_num(scaled, nan=0.0).clip(0, 255)).astype(np.uint8)


def _require_one_kind(folder: Path, modes: Mapping[Path, str]) -> None:
    """Refuse integers next to floating point: no range is right for both."""
    floating = [path for path, mode in modes.items() if mode == "F"]
    integers = [path for path, mode in modes.items() if mode != "F"]
    if floating and integers:
        raise UserError(
            f"{folder} has {len(integers)} images of integers (the first is {integers[0]}) and "
            f"{len(floating)} of floating point ({floating[0]}), which have no range in common: "
            "convert each kind in a folder of its own"
        )


def _mode(path: Path) -> str:
    with _opened(path) as image:
        return image.mode


def _values(path: Path) -> np.ndarray:
    with _opened(path) as image:
        # Upright, since the file that is written says nothing of an orientation.
        return np.array(ImageOps.exif_transpose(image))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file that is read within; what goes wrong is said with its name."""
    try:
        with Image.open(path) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise too_many_pixels(f"the image file {path}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"the image file {path} cannot be read ({error}): take it out, or copy it again"
        ) from error


def _range_of(files: Sequence[Path]) -> Range:
    """The lowest and the highest finite value of all images."""
    lows, highs = zip(*_extremes(files), strict=True)
    return min(lows), max(highs)


def _extremes(files: Sequence[Path]) -> Iterator[Range]:
    for path in tqdm(files, "range of values", unit="image"):
        values = _values(path)
        finite = values[np.isfinite(values)]
        if not finite.size:
            raise UserError(f"the image file {path} has no finite value: take it out")
        yield float(finite.min()), float(finite.max())


def _write(source: Path, target: Path, value_range: Range, deep: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not deep:
            shutil.copyfile(source, target)
            return
        kind = _NAMED.get(source.suffix.lower())
        if kind is None:
            raise UserError(
                f"{source} cannot be written as an 8-bit image of the same name: save it as PNG or "
                "TIFF, and correct its name in the annotation file"
            )
        image = Image.fromarray(scale(_values(source), value_range))
        write_whole(target, lambda file: image.save(file, kind), survive_power_cut=False)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{target} cannot be written ({error.strerror or error}): free space on the disk, or "
            "give a folder that can be written to"
        ) from error


def main(words: Sequence[str] | None = None) -> None:
    """The command line; ``words`` are in place of the program's own."""
    description, _, explanation = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m projects_ext.data.eight_bit",
        description=description,
        epilog=explanation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of the images")
    parser.add_argument("new_folder", type=Path, help="where the 8-bit images are written")
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="the values that become 0 and 255 (default: the lowest and highest of all images)",
    )
    arguments = parser.parse_args(words)
    with told_in_one_sentence():
        given = tuple(arguments.range) if arguments.range else None
        low, high = convert_folder(arguments.folder, arguments.new_folder, given)
    print(
        f"{low:g} became 0 and {high:g} became 255 in {arguments.new_folder}; convert all other "
        f"images for the same model with --range {low:g} {high:g}"
    )


if __name__ == "__main__":
    main()
