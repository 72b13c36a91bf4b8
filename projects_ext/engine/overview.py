"""What a run is about to do, in a few lines that fit a terminal."""

from typing import Any

import torch
from omegaconf import DictConfig
from tabulate import tabulate
from torch import nn

import detectron2

Records = list[dict[str, Any]]


def describe_run(cfg: DictConfig, config_file: str) -> str:
    """Config, output folder, device and versions."""
    implementation = getattr(detectron2, "__implementation__", "upstream")
    rows = [
        ("config", config_file),
        ("output", cfg.train.output_dir),
        ("weights", cfg.train.init_checkpoint or "random"),
        ("device", _device(cfg.train.device)),
        ("torch", torch.__version__),
        ("detectron2", f"{implementation} {detectron2.__version__}"),
    ]
    return "\n" + tabulate(rows, tablefmt="plain")


def _device(name: str) -> str:
    if torch.device(name).type == "cuda" and torch.cuda.is_available():
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return f"{name} ({torch.get_num_threads()} threads)"


def describe_model(model: nn.Module, device: str) -> str:
    """Its name and its number of parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    total = sum(size for size, _ in sizes) / 1e6
    trained = sum(size for size, requires_grad in sizes if requires_grad) / 1e6
    name = type(model).__name__
    return f"{name}: {total:.2f} M parameters, {trained:.2f} M of them trained, on {device}"


def describe_training_set(cfg: DictConfig, records: Records) -> str:
    """How many images and instances there are, and how often the schedule sees them.

    The table of instances by class is Detectron2's own.
    """
    instances = sum(
        not annotation.get("iscrowd", 0)
        for record in records
        for annotation in record.get("annotations", ())
    )
    iterations, batch = cfg.train.max_iter, cfg.dataloader.train.total_batch_size
    epochs = iterations * batch / max(len(records), 1)
    return (
        f"Training set: {len(records)} images, {instances} instances (crowds not counted); "
        f"{iterations} iterations of {batch} images are {epochs:.1f} epochs"
    )
