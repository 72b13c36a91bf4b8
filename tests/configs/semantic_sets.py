"""The shapes data with label maps, under the names and the class counts that configs want."""

from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

PARTS = {"train": "train", "test": "val"}
"""A loader and the part of the data that it reads."""


def is_semantic(cfg: Any) -> bool:
    """Whether the model gives every pixel a class and finds no objects."""
    return "sem_seg_head" in cfg.model and "roi_heads" not in cfg.model


def folder_keys(shapes: Path) -> list[str]:
    """Command-line keys of a config that names folders of images and of label maps."""
    return [
        f"data.{part}_{what}={folder}"
        for part in PARTS.values()
        for what, folder in (("images", shapes / part), ("labels", shapes / "labels" / part))
    ] + ["data.classes=[background,disc,box,triangle,star,cross]"]


def name_keys(cfg: Any, shapes: Path) -> list[str]:
    """Keys that give a config's built-in data set the shapes in its place, scored by Detectron2."""
    count = cfg.model.sem_seg_head.num_classes
    names = {loader: register(shapes, part, count) for loader, part in PARTS.items()}
    evaluator = "_target_:projects_ext.evaluation.SemanticEvaluator"
    return [
        *(f"dataloader.{loader}.dataset.names={name}" for loader, name in names.items()),
        f"dataloader.evaluator=[{{{evaluator},dataset_name:{names['test']}}}]",
    ]


def register(shapes: Path, part: str, count: int) -> str:
    """One part of the shapes with so many classes; a second time it stays as it is."""
    name = f"shapes_{part}_of_{count}_classes"
    if name not in DatasetCatalog.list():
        labels = sorted((shapes / "labels" / part).glob("*.png"))
        records = [
            {"file_name": str(shapes / part / path.name), "sem_seg_file_name": str(path)}
            for path in labels
        ]
        DatasetCatalog.register(name, lambda: [dict(record) for record in records])
        MetadataCatalog.get(name).set(
            stuff_classes=[f"class {index}" for index in range(count)],
            ignore_label=255,
            evaluator_type="sem_seg",
        )
    return name
