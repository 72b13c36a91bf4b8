"""Helpers of tests, of this package and of projects on top of it."""

import io
import os
import tempfile
import unittest
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from detectron2 import model_zoo
from detectron2.config import CfgNode, LazyConfig, instantiate
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, ROIMasks
from detectron2.utils.file_io import PathManager
from detectron2.utils.torch_version_utils import min_torch_version
from detectron2.utils.unavailable import INTERNALS, unavailable

__all__ = [
    "assert_instances_allclose",
    "convert_scripted_instances",
    "get_model_no_weights",
    "get_sample_coco_image",
    "has_dynamic_axes",
    "random_boxes",
    "reload_lazy_config",
    "reload_script_model",
]


def get_model_no_weights(config_path: str) -> torch.nn.Module:
    """The model of a config of the model zoo, with random weights, on a GPU if there is one."""
    cfg = model_zoo.get_config(config_path)
    if not isinstance(cfg, CfgNode):
        return instantiate(cfg.model)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return build_model(cfg)


def random_boxes(
    num_boxes: int, max_coord: float = 100, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Boxes (num_boxes, 4) with sides of at least 1, all coordinates below ``max_coord``."""
    drawn = torch.rand(num_boxes, 4, device=device).mul(max_coord / 2).clamp(min=1.0)
    return torch.cat([drawn[:, :2], drawn.view(-1, 2, 2).sum(dim=1)], dim=1)


def get_sample_coco_image(tensor: bool = True) -> torch.Tensor | np.ndarray:
    """A photo of COCO in BGR: of the registered data set, or else downloaded.

    Returns:
        uint8, a tensor (3, H, W) or an array (H, W, 3).
    """
    try:
        path = DatasetCatalog.get("coco_2017_val_100")[0]["file_name"]
        found = PathManager.exists(path)
    except OSError:
        found = False
    if not found:
        address = "http://images.cocodataset.org/train2017/000000000009.jpg"
        path = PathManager.get_local_path(address)
    image = read_image(path, format="BGR")
    return torch.from_numpy(image.transpose(2, 0, 1).copy()) if tensor else image


def convert_scripted_instances(instances: Any) -> Instances:
    """The ``Instances`` that a scripted object of ``patch_instances`` stands for."""
    assert hasattr(instances, "image_size"), f"Expected Instances, got a {type(instances)}"
    converted = Instances(instances.image_size)
    for name in instances._field_names:
        value = getattr(instances, f"_{name}", None)
        if value is not None:
            converted.set(name, value)
    return converted


def assert_instances_allclose(
    input: Any, other: Any, *, rtol: float = 1e-5, msg: str = "", size_as_tensor: bool = False
) -> None:
    """Raise AssertionError unless two ``Instances`` have the same size and about the same fields.

    Args:
        input: ``Instances``, also scripted ones.
        other: likewise.
        rtol: tolerance: of boxes in hundreds of pixels, of other numbers relative to the largest.
        msg: begins the error's message.
        size_as_tensor: compare the image sizes as tensors, which tracing makes them.
    """
    pair = [
        x if isinstance(x, Instances) else convert_scripted_instances(x) for x in (input, other)
    ]
    first, second = pair
    message = f"{msg.rstrip() or 'Two Instances are different!'} "
    sizes = (first.image_size, second.image_size)
    same = torch.equal(*map(torch.tensor, sizes)) if size_as_tensor else sizes[0] == sizes[1]
    assert same, f"{message}image_size is {sizes[0]} vs. {sizes[1]}!"
    names = sorted(first.get_fields())
    assert names == sorted(second.get_fields()), f"{message}Their fields have different names!"
    for name in names:
        a, b = first.get(name), second.get(name)
        tolerance = rtol * 100
        if isinstance(a, (Boxes, ROIMasks)):
            a, b = a.tensor, b.tensor
        elif not isinstance(a, torch.Tensor):
            raise ValueError(f"Don't know how to compare type {type(a)}")
        elif a.is_floating_point():
            tolerance = rtol * float(a.abs().max())
        close = torch.allclose(a, b, atol=tolerance) if a.is_floating_point() else torch.equal(a, b)
        assert close, f"{message}Field {name} differs too much!"


def reload_script_model(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """A scripted module, saved and loaded again."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def reload_lazy_config(cfg: Any) -> Any:
    """A LazyConfig, saved and loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.yaml")
        LazyConfig.save(cfg, path)
        return LazyConfig.load(path)


def has_dynamic_axes(onnx_model: Any) -> bool:
    """Whether no input or output of an ONNX model has an axis of fixed length."""
    ends = [*onnx_model.graph.input, *onnx_model.graph.output]
    axes = [axis for end in ends for axis in end.type.tensor_type.shape.dim]
    return all(not axis.dim_param.isnumeric() for axis in axes)


skipIfOnCPUCI = unittest.skipIf(
    bool(os.environ.get("CI")) and not torch.cuda.is_available(), "The test is slow without a GPU."
)


def skipIfUnsupportedMinTorchVersion(min_version: str) -> Callable[[Any], Any]:
    """Decorator of tests that need at least this version of PyTorch."""
    reason = f"PyTorch is {torch.__version__}; the test needs {min_version}."
    return unittest.skipIf(not min_torch_version(min_version), reason)


(
    register_custom_op_onnx_export, unregister_custom_op_onnx_export,
    skipIfUnsupportedMinOpsetVersion, _pytorch1111_symbolic_opset9_to,
    _pytorch1111_symbolic_opset9_repeat_interleave,
) = unavailable(
    __name__, INTERNALS,
    "register_custom_op_onnx_export unregister_custom_op_onnx_export",
    "skipIfUnsupportedMinOpsetVersion _pytorch1111_symbolic_opset9_to",
    "_pytorch1111_symbolic_opset9_repeat_interleave",
)  # fmt: skip
