"""Programs in files of several formats, and such files as functions of an image."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from projects_ext.errors import UserError, user_errors
from projects_ext.layers.exporting import standard_operators

from .metadata import KEY, Metadata
from .precision import BFLOAT16, FLOAT32, keep_float32, precision_of

ENDINGS = {"onnx": ".onnx", "torch_export": ".pt2", "openvino": ".xml", "torchscript": ".ts"}
"""Formats, and how their files' names end."""

PRECISIONS = dict.fromkeys(ENDINGS, (FLOAT32,)) | {"openvino": (FLOAT32, BFLOAT16)}
"""Of each format, the precisions of its files' networks; the first one is usual."""

EXAMPLE = (480, 640)
"""Height and width of the image that programs are recorded with; files take any size."""

Outputs = dict[str, np.ndarray]
Runner = Callable[[np.ndarray], Outputs]
"""An image (H, W, 3) uint8 RGB -> the program's outputs by name."""


def export(
    program: Any, metadata: Metadata, form: str, path: str | Path, precision: str = FLOAT32
) -> None:
    """Write a program to a file.

    Args:
        program: of ``program.program_of``.
        metadata: goes into the file.
        form: one of ENDINGS.
        path: of the file; an OpenVINO model has a second one, of the ending ``.bin``.
        precision: of the network between image and boxes; one of PRECISIONS.

    Raises:
        UserError: another ending, a precision that the format has not, a package that is missing,
            or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix != ENDINGS[form]:
        raise UserError(
            f"--output is {path}, but files of the format {form} end with {ENDINGS[form]}"
        )
    if precision not in PRECISIONS[form]:
        raise UserError(
            f"--precision is {precision}, but files of the format {form} are in "
            f"{' or '.join(PRECISIONS[form])}: take --format openvino for {BFLOAT16}"
        )
    writer = {
        "onnx": _to_onnx,
        "torch_export": _to_torch_export,
        "openvino": _to_openvino,
        "torchscript": _to_torchscript,
    }[form]
    with user_errors((OSError,), "--output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad(), _quiet(), _without_gradients(program):
            writer(program, metadata, path)
            if form == "openvino":
                keep_float32(path, precision)


def runner(path: str | Path, form: str, names: Any, threads: int | None = None) -> Runner:
    """A file of :func:`export`, to be called with images.

    Args:
        path: of the file.
        form: one of ENDINGS.
        names: of the outputs, in order.
        threads: of ONNX Runtime and OpenVINO; None: as many as they like.
    """
    opener = {
        "onnx": _open_onnx,
        "torch_export": _open_torch_export,
        "openvino": _open_openvino,
        "torchscript": _open_torchscript,
    }[form]
    run = opener(Path(path), threads)

    def named(image: np.ndarray) -> Outputs:
        # A copy, since torch warns of images that cannot be written to.
        with torch.no_grad():
            return dict(zip(names, run(np.array(image, order="C")), strict=True))

    return named


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say of themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _without_gradients(program: nn.Module) -> Iterator[None]:
    """Files hold plain numbers, whose users need no ``torch.no_grad()``."""
    trainable = [parameter for parameter in program.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _example() -> torch.Tensor:
    return torch.zeros(*EXAMPLE, 3, dtype=torch.uint8)


def _recorded(program: nn.Module) -> Any:
    """The program for images of any size."""
    sides = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    return torch.export.export(program, (_example(),), dynamic_shapes=(sides,), strict=False)


def _to_torch_export(program: nn.Module, metadata: Metadata, path: Path) -> None:
    torch.export.save(_recorded(program), path, extra_files={KEY: metadata.text()})


def _to_torchscript(program: nn.Module, metadata: Metadata, path: Path) -> None:
    # Whoever loads the file may not have this package, nor its operators.
    with standard_operators():
        traced = torch.jit.trace(program, (_example(),), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={KEY: metadata.text()})


def _to_onnx(program: Any, metadata: Metadata, path: Path) -> None:
    _require("onnx", "onnxscript")
    written: Any = torch.onnx.export(
        _recorded(program),
        (_example(),),
        dynamo=True,
        verbose=False,
        input_names=["image"],
        output_names=list(program.OUTPUTS),
    )
    written.model.metadata_props[KEY] = metadata.text()
    written.save(str(path))


def _to_openvino(program: Any, metadata: Metadata, path: Path) -> None:
    _require("openvino", "onnx", "onnxscript")
    import openvino

    # OpenVINO has no rule for torch.export's NMS, but for ONNX's.
    between = path.with_suffix(".between.onnx")
    try:
        _to_onnx(program, metadata, between)
        model = openvino.convert_model(between)
    finally:
        between.unlink(missing_ok=True)
    model.set_rt_info(metadata.text(), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def _require(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"this format needs {package} ({error}): install it with "
                f"`pip install {' '.join(packages)}`"
            ) from error


def _open_onnx(path: Path, threads: int | None) -> Any:
    from .runtime import open_session

    session = open_session(str(path), threads, ("CPUExecutionProvider",))
    return lambda image: session.run(None, {"image": image})


def _open_openvino(path: Path, threads: int | None) -> Any:
    _require("openvino")
    import openvino

    # Left to itself, OpenVINO takes bfloat16 where a processor has it: pixels would be wrong by a
    # level or two, and boxes by pixels.
    options: dict[str, Any] = {}
    if precision_of(path) == FLOAT32:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda image: list(compiled(image).values())


def _open_torch_export(path: Path, threads: int | None) -> Any:
    module = torch.export.load(path).module()
    return lambda image: [x.numpy() for x in module(torch.from_numpy(image))]


def _open_torchscript(path: Path, threads: int | None) -> Any:
    with _quiet():
        module = torch.jit.load(str(path))
    return lambda image: [x.numpy() for x in module(torch.from_numpy(image))]
