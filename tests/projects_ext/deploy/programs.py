"""Small programs with random weights that find something, written to ONNX files."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from projects_ext.condinst.export import FixedCondInst
from projects_ext.deploy.metadata import KEY, Metadata
from tests.projects_ext.condinst.test_condinst import small_model as small_condinst

NAMES = ("disc", "box", "star")


class Unresized(nn.Module):
    """Normalises and pads; the image keeps its size."""

    def __init__(self, model: Any, step: int = 1) -> None:
        super().__init__()
        self.mean, self.std, self.step = model.pixel_mean, model.pixel_std, step

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        pixels = (image.permute(2, 0, 1).float() - self.mean) / self.std
        height, width = (torch.scalar_tensor(side, dtype=torch.int64) for side in image.shape[:2])
        padding = (0, self.padded(width) - image.shape[1], 0, self.padded(height) - image.shape[0])
        return F.pad(pixels, padding)[None], (height, width)

    def padded(self, side: Tensor) -> Any:
        # A symbol of its own: sides are then plain multiples of it.
        count = ((side + self.step - 1) // self.step).item()
        torch._check(count >= 1)
        return self.step * count


def condinst(centerness_first: bool = False, **selection: Any) -> Any:
    """A CondInst whose predictions differ in classes, boxes and masks."""
    model = small_condinst().eval()
    with torch.no_grad():
        for part, gain in (("cls_score", 30), ("bbox_pred", 30), ("controller", 4)):
            model.head.get_submodule(part).weight.mul_(gain)
        model.head.bbox_pred.bias.fill_(2.0)
    options = {"score_thresh": 0.05, "max_detections": 40, **selection}
    options["centerness_first"] = centerness_first
    model.selection = dataclasses.replace(model.selection, **options)
    return model


def condinst_program(model: Any) -> FixedCondInst:
    return FixedCondInst(model, Unresized(model, model.backbone.size_divisibility)).eval()


def pixels(image: Tensor) -> Tensor:
    """(3, H, W) -> (H, W, 3), as programs take them."""
    return image.permute(1, 2, 0).contiguous()


def write_onnx(program: Any, path: Path, metadata: Metadata, size: tuple[int, int]) -> Path:
    """An ONNX file of open sizes."""
    example = torch.zeros(*size, 3, dtype=torch.uint8)
    open_size = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        recorded = torch.export.export(program, (example,), dynamic_shapes=open_size)
        written = torch.onnx.export(
            recorded,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=list(program.OUTPUTS),
        )
    assert written is not None
    proto = written.model_proto
    onnx.helper.set_model_props(proto, {KEY: metadata.text()})
    onnx.save(proto, path)
    return path


def as_array(image: Tensor) -> np.ndarray:
    return pixels(image).numpy()
