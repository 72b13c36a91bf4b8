"""The command line of ``demo/demo.py``."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence

from projects_ext.errors import UserError

SAVES = ("images", "coco", "csv", "label-maps")
_OF_OBJECTS, _OF_LABELS = {"coco", "csv"}, {"label-maps"}
DEFAULT_OUTPUT, DEFAULT_THRESHOLD, DEFAULT_OVERLAP = "predictions", 0.5, 0.2

EPILOG = """\
examples:
  a trained run     python demo/demo.py --config-file output/shapes/config.yaml --input photos/
  a config          python demo/demo.py --config-file configs/quickstart/mask_rcnn_shapes.py
                        --weights output/shapes/model_final.pth --input 'photos/*.jpg'
  an exported model python demo/demo.py --weights model.onnx --input photo.jpg
  a video           python demo/demo.py --config-file … --input clip.mp4 --output clip_drawn.mp4
  a camera          python demo/demo.py --config-file … --webcam
  results as data   python demo/demo.py --config-file … --input photos/ --save images coco csv
  a large image     python demo/demo.py --config-file … --input map.png --tile 1024 --overlap 0.25

what is written into the output folder:
  images      NAME.jpg or .png, the image with what was found; of a video or a camera NAME.mp4
              (codec mp4v, frames per second of the original, no sound)
  coco        coco_instances_results.json (masks as run lengths) and coco_images.json (the images,
              with frame_index for those of a video, and the classes, numbered from 1)
  csv         predictions.csv: file, frame, class, score, x0, y0, x1, y1, mask_area (pixels)
  label-maps  label_maps/NAME.png: the class of each pixel, 8 bits (16 for more than 256 classes)
Files there that have these names are replaced; an input never is.

The exit code is 0 if all went well, 1 if an input could not be read (it is named at the end; all
others are done) or anything else is wrong, 130 after Ctrl-C (all files are complete until then).
"""


def argument_parser() -> ArgumentParser:
    """Detectron2's options, and this project's own."""
    parser = ArgumentParser(
        usage="%(prog)s --config-file CONFIG [--weights FILE] --input FILE ... [options]",
        description="Predict with a trained model on images, folders, videos or a camera.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    _add_model(parser)
    _add_inputs(parser)
    _add_outputs(parser)
    large = parser.add_argument_group("large images")
    large.add_argument(
        "--tile",
        metavar="SIZE",
        type=int,
        help="predict in tiles of SIZE x SIZE pixels, and on the image reduced to that size for "
        "objects that are larger than the overlap; choose the size of the training images",
    )
    large.add_argument(
        "--overlap",
        metavar="F",
        type=float,
        help=f"of neighbouring tiles, as a share of SIZE (default: {DEFAULT_OVERLAP}); best: a "
        "little more than most objects",
    )
    large.add_argument(
        "--tiles-only", action="store_true", help="do not predict on the reduced image"
    )
    return parser


def _add_model(parser: ArgumentParser) -> None:
    model = parser.add_argument_group("the model")
    model.add_argument(
        "--config-file",
        metavar="CONFIG",
        help="a LazyConfig (.py), a YAML config, the config.yaml or the folder of a run, or a name "
        "of the zoo (`python -m projects_ext.zoo` lists them); not needed for an exported model",
    )
    model.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of any family that training takes, the folder of a run, a name of the zoo, "
        "or an exported model (.onnx); by default what belongs to the config: the newest "
        "checkpoint beside a run's config.yaml, the published weights of a config of the zoo",
    )
    model.add_argument(
        "--device", metavar="NAME", help="cuda, cpu, …; by default the GPU if there is one"
    )
    model.add_argument(
        "--batch-size", metavar="N", type=int, default=1,
        help="images for the network at a time (default: 1); more can be faster on a GPU",
    )  # fmt: skip
    model.add_argument(
        "--confidence-threshold",
        metavar="P",
        type=float,
        help=f"show objects whose score is at least P (default: {DEFAULT_THRESHOLD}; for CondInst, "
        "whose scores are products of two probabilities, 0.3 shows about as much)",
    )
    model.add_argument(
        "--opts",
        metavar="KEY=VALUE",
        nargs="*",
        default=[],
        help="keys of the config to change: KEY=VALUE for a LazyConfig, KEY VALUE for YAML",
    )


def _add_inputs(parser: ArgumentParser) -> None:
    inputs = parser.add_argument_group("inputs (any number of each)")
    inputs.add_argument(
        "--input",
        metavar="FILE",
        nargs="+",
        default=[],
        help="images, videos, patterns such as 'a/*.jpg', folders (with the folders in them, "
        "without hidden files), camera:0",
    )
    inputs.add_argument(
        "--video-input", metavar="FILE", action="append", default=[],
        help="a video, whatever its name ends in; of an animated GIF or PNG all frames",
    )  # fmt: skip
    inputs.add_argument(
        "--webcam", metavar="N", type=int, nargs="?", const=0, action="append",
        help="a camera by its number (default: 0), until Ctrl-C",
    )  # fmt: skip


def _add_outputs(parser: ArgumentParser) -> None:
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument(
        "--output",
        metavar="PATH",
        default=DEFAULT_OUTPUT,
        help="a folder, or for a single input a file .jpg, .png or .mp4 (default: the folder "
        f"{DEFAULT_OUTPUT}); no window is opened",
    )
    outputs.add_argument(
        "--save",
        nargs="+",
        choices=SAVES,
        default=["images"],
        help="what to write (default: images)",
    )


def parse_arguments(words: Sequence[str] | None = None) -> Namespace:
    """Parse the command line.

    Args:
        words: those after the program's name; None takes them from ``sys.argv``.
    """
    parser = argument_parser()
    arguments = parser.parse_args(words)
    arguments.webcam = arguments.webcam or []
    if not arguments.input and not arguments.video_input and not arguments.webcam:
        parser.error("there is nothing to predict on: add --input, --video-input or --webcam")
    if not arguments.config_file and not (arguments.weights or "").endswith(".onnx"):
        parser.error("add --config-file, or --weights with an exported model (.onnx)")
    if arguments.batch_size < 1:
        parser.error(f"--batch-size {arguments.batch_size}: give at least 1")
    if arguments.tile is None and (arguments.overlap is not None or arguments.tiles_only):
        parser.error("--overlap and --tiles-only belong to --tile SIZE: add it")
    if arguments.overlap is None:
        arguments.overlap = DEFAULT_OVERLAP
    return arguments


def require_outputs_for(kind: str, arguments: Namespace) -> None:
    """Refuse outputs that this kind of model does not have.

    Args:
        kind: "instances" or "semantic".
        arguments: of the command line.

    Raises:
        UserError: one of ``--save``, or an option of tiles.
    """
    semantic = kind == "semantic"
    wrong = set(arguments.save) & (_OF_OBJECTS if semantic else _OF_LABELS)
    if wrong:
        other = "images label-maps" if semantic else "images coco csv"
        what = "a label map, no objects" if semantic else "objects, no label map"
        raise UserError(
            f"--save {' '.join(sorted(wrong))}: this model predicts {what}; there are {other}"
        )
    if semantic and arguments.tiles_only:
        raise UserError("--tiles-only: label maps are made of tiles only; leave it out")
