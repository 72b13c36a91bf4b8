"""The program behind ``tools/report.py`` and ``train_net.py --report``."""

import logging
import os
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from projects_ext.errors import MissingFileError, UserError

from . import require_libraries

logger = logging.getLogger("detectron2.projects_ext")

PAGE, COMPARISON = "report.html", "comparison.html"
SEGMENTATION = "sem_seg_report.json"
DETECTIONS = ("coco_instances_results.json", "inference/coco_instances_results.json")

EPILOG = """\
examples:
  a run         python tools/report.py output/shapes
  two runs      python tools/report.py output/shapes output/longer
  label maps    python tools/report.py output/gcnet/semantic/shapes
  results       python tools/report.py results.json --truth val.json --images val/

The page opens from disk and loads nothing from the network. Unless --output says otherwise it is
written as report.html into the run's folder, or beside the results; that of two runs is
comparison.html in the folder of the second.
"""


def argument_parser() -> ArgumentParser:
    """The options of ``tools/report.py``."""
    parser = ArgumentParser(
        usage="%(prog)s RUN_OR_RESULTS [RUN_OR_RESULTS] [options]",
        description="Show how good a run is, and where it fails, on one page; or compare two.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        metavar="RUN_OR_RESULTS",
        nargs="+",
        help="the output folder of a run of train_net.py, or a file in COCO's results format",
    )
    parser.add_argument(
        "--truth", metavar="FILE", help="the ground truth in COCO format; a run's config knows it"
    )
    parser.add_argument("--images", metavar="FOLDER", help="the images of the ground truth")
    parser.add_argument("--output", metavar="FILE", help="the page to write, FILE.html")
    parser.add_argument(
        "--gallery",
        metavar="N",
        type=int,
        default=36,
        help="images in each gallery (default: 36); many go into a folder beside the page",
    )
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Write the page and say where it is.

    Args:
        words: a command line in place of the program's own.
    """
    from projects_ext.engine.faults import one_sentence

    arguments = argument_parser().parse_args(words)
    with one_sentence():
        print(f"open {write_report(arguments)}")


def write_report(arguments: Namespace) -> Path:
    """Write the page of one run or of two, and return its path.

    Raises:
        UserError: a library or a file is missing, or the files do not belong together.
    """
    require_libraries()
    if len(arguments.sources) > 2:
        raise UserError("a report is of one run or of two: give at most two")
    if arguments.gallery < 0:
        raise UserError(f"--gallery {arguments.gallery}: give the number of images, 0 for none")
    if arguments.images and not Path(arguments.images).is_dir():
        raise MissingFileError(f"--images {arguments.images} is no folder: correct the path")
    page = _page(arguments)
    # Only now, as they need the libraries.
    from .page import write
    from .results import Results, read_results
    from .run import Run, read_run

    segmented = [source for source in arguments.sources if _is_segmentation(source)]
    if segmented:
        from .semantic_command import segmentation_text

        if arguments.truth or arguments.images:
            raise UserError(
                f"--truth and --images do not apply to {segmented[0]}: evaluations of label maps "
                "name their own files; leave both out"
            )

        return write(page, segmentation_text(arguments.sources, page, arguments.gallery))

    def read(source: str) -> tuple[Results, Run | None]:
        if not Path(source).exists():
            raise MissingFileError(f"{source} does not exist: correct the path")
        run = read_run(source) if Path(source).is_dir() else None
        results = run.results_file if run else Path(source)
        if results is None:
            raise MissingFileError(
                f"{source} has no coco_instances_results.json (of label maps: no "
                f"{SEGMENTATION}): evaluate the run with "
                "`python train_net.py --eval-only --resume --config-file "
                f"{Path(source) / 'config.yaml'}`, and an evaluator that has an output_dir"
            )
        return read_results(results, *_truth(arguments, run, source)), run

    if len(arguments.sources) == 1:
        from .detection import detection_page

        results, run = read(arguments.sources[0])
        return write(page, detection_page(results, page, run=run, most=arguments.gallery))
    from .comparison_page import comparison_page

    pair = [read(source) for source in arguments.sources]
    names = [
        run.name if run else Path(source).stem
        for (_, run), source in zip(pair, arguments.sources, strict=True)
    ]
    (first, run_a), (second, run_b) = pair
    text = comparison_page(first, second, page, names, runs=(run_a, run_b), most=arguments.gallery)
    return write(page, text)


def _is_segmentation(source: str) -> bool:
    """Whether it is an evaluation of label maps: the file of one, or a run with that alone."""
    path = Path(source)
    if path.is_dir():
        return (path / SEGMENTATION).is_file() and not any((path / x).is_file() for x in DETECTIONS)
    return path.name == SEGMENTATION


def _page(arguments: Namespace) -> Path:
    last = Path(arguments.sources[-1])
    folder = last if last.is_dir() else last.parent
    name = PAGE if len(arguments.sources) == 1 else COMPARISON
    page = Path(arguments.output) if arguments.output else folder / name
    if page.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {page}: the page is HTML: give a name that ends with .html")
    if not page.parent.is_dir():
        raise MissingFileError(f"{page.parent} is no folder: make it, or correct --output")
    if not os.access(page.parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{page.parent} cannot be written to: name a file in another folder with --output"
        )
    return page


def _truth(arguments: Namespace, run: object, source: str) -> tuple[str, str]:
    from .run import Run
    from .truth import images_of, truth_of

    if arguments.truth:
        beside = str(Path(arguments.truth).parent)
        known = images_of(run, arguments.truth) if isinstance(run, Run) else beside
        return arguments.truth, arguments.images or known
    if not isinstance(run, Run):
        raise UserError(
            f"{source} has detections only: name the ground truth with --truth FILE and --images "
            "FOLDER"
        )
    return truth_of(run, arguments.images or "")


def report_on_run(folder: str) -> Path:
    """Write ``report.html`` into the output folder of a run that has been evaluated.

    Raises:
        UserError: as :func:`write_report`.
    """
    path = write_report(argument_parser().parse_args([folder]))
    logger.info(f"Report: open {path}")
    return path
