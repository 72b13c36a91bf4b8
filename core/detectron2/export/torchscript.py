"""TorchScript of models: the classes that it needs; scripting whole models is left out."""

from detectron2.utils.file_io import PathManager  # noqa: F401
from detectron2.utils.unavailable import unavailable

from .torchscript_patch import freeze_training_mode, patch_instances  # noqa: F401

(dump_torchscript_IR, export_torchscript_with_instances, scripting_with_instances) = unavailable(
    __name__,
    "scripting of whole models",
    "dump_torchscript_IR export_torchscript_with_instances scripting_with_instances",
)
