"""Configs train two iterations and evaluate on a few photographs of COCO.

These are all of them, except those with GC blocks of ratio 1/16 that have a twin of ratio 1/4: one
number differs, and ``test_all_configs`` builds both.

Segmentation takes the shapes, which have label maps.

The models are those of the configs; pictures, proposals and batch are small, and ImageNet weights
cannot be had: instead, a file sets the last norm of each residual branch to zero, without which
frozen statistics let random weights grow without bound.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from detectron2.config import LazyConfig
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from tests.configs.semantic_sets import folder_keys, is_semantic, name_keys
from tests.configs.test_all_configs import LEAVES, NAMES, state_shapes
from tests.golden_files import DATA

RESIZE = (
    "[{_target_:detectron2.data.transforms.ResizeShortestEdge,short_edge_length:128,max_size:224}]"
)
FEW_REGIONS = [
    "model.proposal_generator.post_nms_topk=[40,20]",
    "model.proposal_generator.batch_size_per_image=32",
    "model.roi_heads.batch_size_per_image=16",
]
SMALL = [
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "dataloader.test.num_workers=0",
    f"dataloader.train.mapper.augmentations={RESIZE}",
    f"dataloader.test.mapper.augmentations={RESIZE}",
    "train.max_iter=2",
    "train.reference_batch_size=0",
    "train.eval_period=0",
    "train.log_period=1",
    "train.device=cpu",
    "train.seed=1",
]


DEFORMABLE = pytest.mark.core_only(
    reason="upstream's deformable convolution has no gradient on the CPU"
)
CASES = [
    pytest.param(path, id=name, marks=DEFORMABLE if "dconv" in name else ())
    for path, name in zip(LEAVES, NAMES, strict=True)
    if not ("_r16_" in name and name.replace("_r16_", "_r4_") in NAMES)
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: Any) -> Iterator[Path]:
    """COCO's json files of the photographs that are here, as "sweep_train" and "sweep_val"."""
    folder = tmp_path_factory.mktemp("photographs")
    for part in ("train", "val"):
        json_file = DATA / f"coco/annotations/instances_{part}2017.json"
        content = json.loads(json_file.read_text())
        here = {path.name for path in (DATA / f"coco/{part}2017").iterdir()}
        content["images"] = [image for image in content["images"] if image["file_name"] in here]
        ids = {image["id"] for image in content["images"]}
        content["annotations"] = [x for x in content["annotations"] if x["image_id"] in ids]
        (folder / f"{part}.json").write_text(json.dumps(content))
        root = str(DATA / f"coco/{part}2017")
        register_coco_instances(f"sweep_{part}", {}, str(folder / f"{part}.json"), root)
    yield folder
    for part in ("train", "val"):
        DatasetCatalog.remove(f"sweep_{part}")
        MetadataCatalog.remove(f"sweep_{part}")


def data_keys(cfg: Any, photographs: Path, shapes: Path) -> list[str]:
    """Some configs name their data by paths, the others by a registered name."""
    if is_semantic(cfg):
        return folder_keys(shapes) if "data" in cfg else name_keys(cfg, shapes)
    keys = []
    for part, loader in (("train", "train"), ("val", "test")):
        if "data" in cfg:
            keys += [
                f"data.{part}_json={photographs / part}.json",
                f"data.{part}_images={DATA / 'coco'}/{part}2017",
            ]
        else:
            keys.append(f"dataloader.{loader}.dataset.names=sweep_{part}")
    return keys


def quiet_branches(cfg: Any) -> dict[str, torch.Tensor]:
    """Detectron2 weights: the last norm of each bottleneck."""
    return {
        name: torch.zeros(shape)
        for name, shape in state_shapes(cfg).items()
        if name.endswith(".conv3.norm.weight")
    }


@pytest.mark.parametrize("path", CASES)
def test_config_trains_and_evaluates(
    path: Path, photographs: Path, shapes: Path, tmp_path: Path
) -> None:
    cfg = LazyConfig.load(str(path))
    keys = data_keys(cfg, photographs, shapes)
    cfg = LazyConfig.apply_overrides(cfg, keys)
    overrides = [*SMALL, *keys]
    if "roi_heads" in cfg.model:
        overrides += FEW_REGIONS
    start = quiet_branches(cfg)
    torch.save(start, tmp_path / "start.pth")
    overrides.append(f"train.init_checkpoint={tmp_path / 'start.pth' if start else ''}")
    output = tmp_path / "output"
    run(parse_arguments(["--config-file", str(path), *overrides, f"train.output_dir={output}"]))

    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    losses = [{k: v for k, v in line.items() if "loss" in k} for line in lines]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1]
    assert all(math.isfinite(value) for line in losses for value in line.values())
    task = "sem_seg" if is_semantic(cfg) else "bbox"
    assert task in json.loads((output / "evaluation.json").read_text())["metrics"]
    trained = torch.load(output / "model_final.pth", weights_only=True)["model"]
    assert {name: value.shape for name, value in trained.items()} == state_shapes(cfg)
    shutil.rmtree(output)  # hundreds of megabytes
