"""Weights out: a model's weights into a file that loads without knowing where they came from."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.structures import Instances

from .conventions import INPUT_KEY, describe_input
from .detectron2_names import CLASSES_KEY
from .key_map import COUNTER, Target, discover
from .load import load_weights
from .report import LoadReport
from .sources import Source
from .writing import write_whole

SUFFIXES = (".pth", ".safetensors")
_AUTHOR = "projects_ext"


def convert(
    build: Callable[[], nn.Module],
    source: Source,
    output: str | Path,
    *,
    names: str = "",
    verify: bool = False,
    trust: bool = False,
) -> tuple[LoadReport, str]:
    """Write the weights of any known file under this project's names, or under another family's.

    The file holds what the source had a value for, and says on what images the backbone was
    trained. Where the source has them, it has the names of the classes.

    Args:
        build: makes the model that the weights are for.
        source: as for :func:`load_weights`.
        output: ``.pth``: Detectron2 reads it too; ``.safetensors``: reading it cannot run code.
        names: of another family, such as ``AdelaiDet``; empty: this project's.
        verify: load the file back into a second model and compare the outputs of both.
        trust: let the source run the code in it.

    Returns:
        what became of the source's weights, and one sentence on what was written and verified.

    Raises:
        ValueError: the source does not fit, the output's suffix is unknown, the model has no such
            names, or the outputs differ.
    """
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path} cannot be written: give a name that ends with .pth or .safetensors"
        )
    torch.manual_seed(0)
    model = build().eval()
    report = load_weights(model, source, trust=trust)
    entries = _entries(Target(model), report, names)
    write_weights(path, entries, _about(model, report))
    said = f"{len(entries)} entries written to {path}"
    if verify:
        torch.manual_seed(0)
        again = build().eval()
        load_weights(again, path)
        said += f"; {assert_same_outputs(model, again, path)}"
    return report, said


def _entries(target: Target, report: LoadReport, names: str) -> dict[str, Tensor]:
    """What the source gave the model, on the CPU."""
    if names:
        exports = {key: value for x in discover(target.model) for key, value in x.exports.items()}
        if names not in exports:
            known = " or ".join(sorted(exports)) or "none but this project's"
            raise ValueError(f"this model has no names of {names}: known are {known}")
        if report.missing or report.reinitialised:
            raise ValueError(
                f"{report.source} has no value for {(report.missing or report.reinitialised)[0]}: "
                f"under the names of {names} only whole models are written"
            )
        entries: Mapping[str, Tensor] = exports[names](target)
    else:
        loaded = set(report.loaded)
        modules = {name.rpartition(".")[0] for name in loaded}
        entries = {
            name: value
            for name, value in target.state.items()
            if name in loaded or (name.endswith(COUNTER) and name.rpartition(".")[0] in modules)
        }
    return {name: value.detach().cpu().contiguous() for name, value in entries.items()}


def _about(model: nn.Module, report: LoadReport) -> dict[str, Any]:
    """What the file says beside the weights: plain values."""
    said = {
        "__author__": _AUTHOR,
        "source": Path(report.source).name,
        "format": report.format,
        INPUT_KEY: describe_input(model),
        CLASSES_KEY: report.classes or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def write_weights(path: Path, entries: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write named tensors, and plain values beside them; the whole file or nothing.

    Args:
        path: ``.pth`` or ``.safetensors``.
        entries: name -> tensor on the CPU.
        about: further entries; in safetensors they are JSON in its header.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        header = {key: json.dumps(value) for key, value in about.items()}
        # Bytes, since safetensors' own files are private to the user.
        content = save(dict(entries), metadata={"format": "pt", **header})
        write_whole(path, lambda file: file.write(content))
    else:
        write_whole(path, lambda file: torch.save({"model": dict(entries), **about}, file))


@torch.no_grad()
def assert_same_outputs(first: nn.Module, second: nn.Module, path: Path) -> str:
    """Compare two models on a picture, from the backbone's maps to the predictions.

    Args:
        first, second: in evaluation mode.
        path: of the file that was loaded into the second, for messages.

    Returns:
        what was compared, for people.

    Raises:
        ValueError: an output differs in any bit.
    """
    one, other = _outputs(first), _outputs(second)
    for name, value in one.items():
        if not torch.equal(value, other[name]):
            raise ValueError(
                f"{path} does not give the outputs of its source: {name} differs; report it, and "
                "do not use the file"
            )
    return f"read back, its {len(one)} outputs on a picture are those of the source, bit for bit"


def _outputs(model: Any) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 12, 16, generator=generator) * 255
    picture = F.interpolate(coarse, size=(192, 256), mode="bilinear", align_corners=False)[0]
    inputs = [{"image": picture.round().to(torch.uint8), "height": 192, "width": 256}]
    found: dict[str, Tensor] = {}
    if hasattr(model, "preprocess_image"):
        images = model.preprocess_image(inputs).tensor
        found |= {f"backbone.{name}": value for name, value in model.backbone(images).items()}
    for kind, value in model(inputs)[0].items():
        fields = value.get_fields() if isinstance(value, Instances) else {"": value}
        for name, field in fields.items():
            field = getattr(field, "tensor", field)
            if isinstance(field, Tensor):
                found[f"{kind}.{name}".rstrip(".")] = field
    return found
