"""What a run is about to do, in a few lines that fit a terminal."""

from typing import Any

import torch
from tabulate import tabulate
from torch import nn

import detectron2
from detectron2.utils import comm

from .settings import Settings

Records = list[dict[str, Any]]


def describe_run(settings: Settings, config_file: str) -> str:
    """Config, output folder, device, processes and versions."""
    implementation = getattr(detectron2, "__implementation__", "upstream")
    rows = [
        ("config", config_file),
        ("output", settings.output_dir),
        ("weights", settings.init_checkpoint or "random"),
        ("device", _device(settings.device)),
        ("torch", torch.__version__),
        ("detectron2", f"{implementation} {detectron2.__version__}"),
    ]
    if comm.get_world_size() > 1:
        rows.insert(4, ("processes", _processes(settings)))
    return "\n" + tabulate(rows, tablefmt="plain")


def _device(name: str) -> str:
    if torch.device(name).type == "cuda" and torch.cuda.is_available():
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return f"{name} ({torch.get_num_threads()} threads)"


def _processes(settings: Settings) -> str:
    count = comm.get_world_size()
    where = "a GPU each, connected by NCCL" if settings.on_gpu else "on the CPU, connected by gloo"
    return f"{count} of them, {where}; batches of {settings.batch_size / count:g} each"


def describe_model(model: nn.Module, device: str) -> str:
    """Its name and its number of parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    total = sum(size for size, _ in sizes) / 1e6
    trained = sum(size for size, requires_grad in sizes if requires_grad) / 1e6
    name = type(model).__name__
    return f"{name}: {total:.2f} M parameters, {trained:.2f} M of them trained, on {device}"


def describe_training_set(settings: Settings, records: Records) -> str:
    """How many images and instances there are, and how often the schedule sees them.

    The table of instances by class is Detectron2's own. Of label maps only the number is told.
    """
    instances = sum(
        not annotation.get("iscrowd", 0)
        for record in records
        for annotation in record.get("annotations", ())
    )
    annotated = f"{instances} instances (crowds not counted)"
    if not instances:
        label_maps = sum("sem_seg_file_name" in record for record in records)
        annotated = f"{label_maps} label maps" if label_maps else annotated
    iterations, batch = settings.max_iter, settings.images_per_update
    epochs = iterations * batch / max(len(records), 1)
    return (
        f"Training set: {len(records)} images, {annotated}; "
        f"{iterations} iterations of {batch} images are {epochs:.1f} epochs"
    )
