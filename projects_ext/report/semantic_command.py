"""``tools/report.py`` for evaluations of label maps."""

from collections.abc import Sequence
from pathlib import Path

from projects_ext.errors import UserError

from .run import is_run, read_run
from .semantic_page import semantic_page
from .semantic_results import read_segmentation, segmentation_file


def segmentation_text(sources: Sequence[str], page: Path, most: int) -> str:
    """The page of one evaluation.

    Args:
        sources: the output folder of a run, or the file of an evaluation; one of them.
        page: where it will lie.
        most: images in the gallery.

    Raises:
        UserError: there are two, or the file is not of its form.
    """
    if len(sources) > 1:
        raise UserError(
            "evaluations of label maps cannot be compared on one page, nor one with detections: "
            "give one, and make a page of each"
        )
    path = Path(sources[0])
    file = segmentation_file(path) if path.is_dir() else path
    assert file is not None  # the caller has looked
    run = read_run(file.parent) if is_run(file.parent) else None
    return semantic_page(read_segmentation(file), page, run=run, most=most)
