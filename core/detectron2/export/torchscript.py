"""Scripting of whole models, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    dump_torchscript_IR, export_torchscript_with_instances, scripting_with_instances,
) = unavailable(
    __name__, 'scripting of whole models',
    "dump_torchscript_IR export_torchscript_with_instances scripting_with_instances",
)  # fmt: skip
