"""``python -m projects_ext.deploy model.onnx IMAGE… --output FOLDER``: predict without torch."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from projects_ext.errors import UserError, user_errors

from .drawing import draw
from .runtime import Detections, ExportedModel, Result

THRESHOLD = 0.5
"""From which score on objects are drawn, unless the user says otherwise."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = argparse.ArgumentParser(
        prog="python -m projects_ext.deploy",
        description="Predict with an exported ONNX model and draw the results. Needs onnxruntime, "
        "NumPy and Pillow, not torch.",
    )
    found.add_argument("model", help="ONNX file of tools/deploy/export_model.py")
    found.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    found.add_argument(
        "--output", required=True, metavar="FOLDER", help="where the drawn images go, as PNG"
    )
    found.add_argument(
        "--confidence-threshold",
        type=float,
        metavar="SCORE",
        help=f"objects of lower scores are left out (default: {THRESHOLD})",
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0, or 1 with one sentence on stderr.
    """
    given = parser().parse_args(arguments)
    try:
        predict(given.model, given.images, Path(given.output), given.confidence_threshold)
    except UserError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    return 0


def predict(model: str, images: Sequence[str], folder: Path, threshold: float | None) -> None:
    """Predict on each image, print what was found, and save the drawn image to the folder.

    Raises:
        UserError: something that cannot be used.
    """
    names = drawn_names(images)
    exported = ExportedModel(model)
    if threshold is None and exported.kind == "instances":
        threshold = max(THRESHOLD, exported.metadata.score_threshold)
    exported.confidence_threshold = threshold
    with user_errors((OSError,), "--output"):
        folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(images, names, strict=True):
        prepared = exported.prepare(image)
        (result,) = exported.predict([prepared])
        drawn = draw(prepared["image"], result, exported.class_names)
        with user_errors((OSError,), "--output"):
            drawn.save(folder / name)
        print(f"{image}: {summary(result, exported.class_names)} -> {folder / name}")


def drawn_names(images: Sequence[str]) -> list[str]:
    """A name for each drawn image, with a number where two images have the same name."""
    seen: Counter[str] = Counter()
    names = []
    for image in images:
        stem = Path(image).stem
        seen[stem] += 1
        names.append(f"{stem}.png" if seen[stem] == 1 else f"{stem}_{seen[stem]}.png")
    return names


def summary(result: Result, class_names: Sequence[str]) -> str:
    """What was found, in a few words."""
    if not isinstance(result, Detections):
        shares = [((result == index).mean(), name) for index, name in enumerate(class_names)]
        seen = sorted((pair for pair in shares if pair[0] > 0), reverse=True)
        return ", ".join(f"{name} {share:.0%}" for share, name in seen)
    counts = Counter(class_names[index] for index in result.classes)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
