"""The page of a data set, ``report.html``."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from projects_ext.data.palette import distinct_colours
from projects_ext.data.statistics import LabelMapStatistics, ObjectStatistics, Oddity
from projects_ext.errors import UserError

from .sources import DataSet

PAGE = "report.html"


def write_page(
    data: DataSet,
    statistics: ObjectStatistics | LabelMapStatistics,
    oddities: Sequence[Oddity],
    folder: Path,
    most: int,
) -> Path:
    """Write the page into a folder, and return its path.

    Args:
        data: the data set.
        statistics, oddities: what was found in it.
        folder: made if it is not there.
        most: images in the gallery of all kinds.

    Raises:
        UserError: it cannot be written.
    """
    # They need libraries of an extra.
    from projects_ext.report.dataset_page import label_maps_page, objects_page
    from projects_ext.report.page import write

    page = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(statistics, LabelMapStatistics):
            given = data.metadata.get("stuff_colors") or distinct_colours(data.classes)
            colours = np.array(given, dtype=np.uint8)[: len(data.classes)]
            text = label_maps_page(
                data.name, statistics, oddities, colours, page, most=most, progress=_progress
            )
        else:
            text = objects_page(
                data.name, statistics, oddities, data.records, page, most=most, progress=_progress
            )
        return write(page, text)
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}): give another --output-dir"
        ) from error


def _progress(images: Iterable[Any], total: int) -> Iterable[Any]:
    return tqdm(images, "drawing", total, unit="image", file=sys.stderr)
