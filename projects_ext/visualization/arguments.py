"""The command line of ``tools/visualize_data.py``."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence

DEFAULT_OUTPUT, DEFAULT_NUMBER = "output/visualize_data", 100

EPILOG = """\
examples:
  what the model will see   python tools/visualize_data.py --config-file CONFIG
  the annotations           python tools/visualize_data.py --config-file CONFIG --source annotation
  of the validation set     python tools/visualize_data.py --config-file CONFIG --source annotation
                                --split val
  figures only              python tools/visualize_data.py --config-file CONFIG --number 0
  a page to look at         python tools/visualize_data.py --config-file CONFIG --report
  your own data             python tools/visualize_data.py
                                --config-file configs/quickstart/mask_rcnn_coco_format.py
                                data.train_json=… data.train_images=… data.val_json=…
                                data.val_images=…

First the classes, the counts, the sizes and what looks odd are printed; then images are drawn.
"""


def argument_parser() -> ArgumentParser:
    """Detectron2's options, and this project's own."""
    parser = ArgumentParser(
        usage="%(prog)s --config-file CONFIG [options] [KEY=VALUE ... | KEY VALUE ...]",
        description="Draw the data of a config, before or after augmentation, and say what is odd.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file", metavar="CONFIG", required=True,
        help="a LazyConfig (.py), a YAML config or the config.yaml of a run",
    )  # fmt: skip
    parser.add_argument(
        "--source",
        choices=["annotation", "dataloader"],
        default="dataloader",
        help="annotation: images as they are stored, in the order of the data set; dataloader (the "
        "default): after augmentation, as the first iterations of training get them",
    )
    parser.add_argument(
        "--split", choices=["train", "val"], default="train",
        help="val: the validation set, with --source annotation (default: train)",
    )  # fmt: skip
    parser.add_argument(
        "--output-dir", metavar="DIR", default=DEFAULT_OUTPUT,
        help=f"folder for the drawn images (default: {DEFAULT_OUTPUT})",
    )  # fmt: skip
    parser.add_argument(
        "--number", metavar="N", type=int, default=DEFAULT_NUMBER,
        help=f"draw at most N images (default: {DEFAULT_NUMBER}); 0: none, -1: as many as there "
        "are",
    )  # fmt: skip
    parser.add_argument(
        "--show", action="store_true",
        help="show the images in a window instead of writing them; q or Escape ends",
    )  # fmt: skip
    parser.add_argument(
        "--report", action="store_true",
        help="write DIR/report.html instead of drawn images: the figures as charts, and thumbnails "
        "of what is odd",
    )  # fmt: skip
    parser.add_argument(
        "opts", metavar="KEY=VALUE", nargs="*",
        help="keys of the config to change: KEY=VALUE for a LazyConfig, KEY VALUE for YAML",
    )  # fmt: skip
    return parser


def parse_arguments(words: Sequence[str] | None = None) -> Namespace:
    """Parse the command line.

    Args:
        words: those after the program's name; None takes them from ``sys.argv``.
    """
    parser = argument_parser()
    given = parser.parse_intermixed_args(words)
    if given.number < -1:
        parser.error(f"--number {given.number}: give the number of images, or -1 for all")
    if given.report and given.show:
        parser.error("--report writes a page and --show opens windows: give one of them")
    if given.split == "val" and given.source == "dataloader" and not given.report:
        parser.error(
            "--split val: the data loader of the validation set leaves annotations out; add "
            "--source annotation"
        )
    return given
