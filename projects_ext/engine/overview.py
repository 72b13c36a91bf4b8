"""What a run is about to do, in a few lines that fit a terminal."""

from typing import Any

import torch
from omegaconf import DictConfig
from tabulate import tabulate
from torch import nn

import detectron2
from detectron2.data import MetadataCatalog

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
    """How many images, instances and iterations; a table of the instances of each class."""
    images_per_iteration = cfg.dataloader.train.total_batch_size
    iterations = cfg.train.max_iter
    counts = count_instances(records)
    lines = [
        f"training set: {len(records)} images, {sum(counts.values())} instances",
        f"schedule: {iterations} iterations of {images_per_iteration} images"
        f" = {iterations * images_per_iteration / max(len(records), 1):.1f} epochs",
    ]
    return "\n".join(lines)


def count_instances(records: Records) -> dict[int, int]:
    """``{contiguous category: number of annotations}``, crowds left out."""
    counts: dict[int, int] = {}
    for record in records:
        for annotation in record.get("annotations", ()):
            if not annotation.get("iscrowd", 0):
                category = annotation["category_id"]
                counts[category] = counts.get(category, 0) + 1
    return counts


def class_names(dataset_name: str) -> list[str]:
    """The names of the things in a registered data set, or none."""
    return list(MetadataCatalog.get(dataset_name).get("thing_classes", []))
