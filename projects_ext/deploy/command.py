"""The command that exports a model: ``tools/deploy/export_model.py``."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from projects_ext.engine.faults import one_sentence
from projects_ext.errors import UserError
from projects_ext.prediction.predictor import Predictor

from .formats import ENDINGS, export, runner
from .metadata import Metadata
from .precision import BFLOAT16, FLOAT32
from .program import limit_detections, program_of
from .verify import HEAD, notes, verify

DESCRIPTION = """Write a trained model to a file that other runtimes read.

    python tools/deploy/export_model.py --config-file output/shapes/config.yaml \\
        --format onnx --output shapes.onnx --verify

The file takes an image of any size, (height, width, 3) uint8 RGB, and gives boxes, scores, classes,
masks and their count, or a label map: resizing, normalisation and suppression are in it.
`python -m projects_ext.deploy` runs ONNX files without torch.
"""


def parser() -> ArgumentParser:
    """The command's arguments."""
    found = ArgumentParser(description=DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    found.add_argument(
        "--config-file", required=True, metavar="CONFIG", help="as for projects_ext.Predictor"
    )
    found.add_argument(
        "--weights", metavar="FILE", help="as for projects_ext.Predictor; default: the config's own"
    )
    found.add_argument("--format", required=True, choices=list(ENDINGS))
    endings = ", ".join(f"{ending} ({form})" for form, ending in ENDINGS.items())
    found.add_argument("--output", required=True, metavar="FILE", help=f"ends with {endings}")
    found.add_argument(
        "--max-detections", type=int, metavar="N", help="of an image; default: the model's own"
    )
    found.add_argument(
        "--precision",
        default=FLOAT32,
        choices=(FLOAT32, BFLOAT16),
        help="of the network; bfloat16: OpenVINO alone, on processors that have it; faster, with "
        "scores and boxes less exact (default: %(default)s)",
    )
    found.add_argument(
        "--verify",
        nargs="*",
        metavar="IMAGE",
        help="compare the file with the model on these images, or on made-up ones; differences end "
        "in exit code 1",
    )
    found.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="keys of the config to change"
    )
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: in place of the program's own.

    Returns:
        the exit code: 1 if the file's results differ from the model's.
    """
    with one_sentence():
        return run(parser().parse_args(words))


def run(given: Namespace) -> int:
    """Export, and compare if that is wanted; see :func:`main`.

    Raises:
        UserError: something that cannot be used.
    """
    if given.max_detections is not None and given.max_detections < 1:
        raise UserError(f"--max-detections is {given.max_detections}: give 1 or more")
    if Path(given.output).suffix != ENDINGS[given.format]:
        raise UserError(
            f"--output is {given.output}, but files of the format {given.format} end with "
            f"{ENDINGS[given.format]}: name it so"
        )
    predictor = Predictor(given.config_file, given.weights, "cpu", opts=given.opts)
    if given.max_detections is not None:
        limit_detections(predictor.model, given.max_detections)
    program, metadata = program_of(predictor)
    export(program, metadata, given.format, given.output, given.precision)
    files = Path(given.output).parent.glob(f"{Path(given.output).stem}.*")
    megabytes = sum(file.stat().st_size for file in files if _belongs(file, given)) / 1e6
    print(f"{given.output}: {given.format}, {megabytes:.1f} MB, of {predictor.weights}")
    if given.verify is None:
        return 0
    return _compare(given, predictor, metadata, program.OUTPUTS)


def _belongs(file: Path, given: Namespace) -> bool:
    """Whether a file holds the program or its weights."""
    return file == Path(given.output) or (given.format == "openvino" and file.suffix == ".bin")


def _compare(
    given: Namespace, predictor: Predictor, metadata: Metadata, names: Sequence[str]
) -> int:
    file = runner(given.output, given.format, names)
    differences = verify(file, predictor, metadata, given.verify, given.precision)
    print(HEAD)
    for difference in differences:
        print(difference.row())
    for note in notes(differences, metadata, given.precision):
        print(note)
    return 0 if all(difference.small for difference in differences) else 1
