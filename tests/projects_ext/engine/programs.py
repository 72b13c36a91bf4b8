"""Programs that the tests start in several processes: a spawned process has to import them."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from detectron2.config import instantiate
from detectron2.data import DatasetCatalog
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.utils import comm
from projects_ext.engine import Trainer, load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.launch import launch
from projects_ext.engine.main import run
from projects_ext.engine.parallel import share_buffers


def tell(arguments: Namespace) -> None:
    """Write what this process knows about itself and the others to ``<config_file>.<rank>``."""
    total = torch.tensor([comm.get_rank() + 1.0])
    if comm.get_world_size() > 1:
        dist.all_reduce(total)
    norm = nn.BatchNorm1d(1)
    nn.init.constant_(norm.running_mean, comm.get_rank() + 5.0)
    share_buffers(norm)
    told = {
        "rank": comm.get_rank(),
        "world_size": comm.get_world_size(),
        "local": [comm.get_local_rank(), comm.get_local_size()],
        "total": total.item(),
        "shared": norm.running_mean.item(),
    }
    Path(f"{arguments.config_file}.{comm.get_rank()}").write_text(json.dumps(told))


class Oracle(nn.Module):
    """Answers with a data set's ground truth, made worse from image to image."""

    def __init__(self, dataset_name: str) -> None:
        super().__init__()
        self.records = {record["image_id"]: record for record in DatasetCatalog.get(dataset_name)}

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        return [{"instances": self.answer(self.records[given["image_id"]])} for given in inputs]

    def answer(self, record: dict[str, Any]) -> Instances:
        height, width = record["height"], record["width"]
        things = [item for item in record["annotations"] if not item.get("iscrowd", 0)]
        boxes = [BoxMode.convert(item["bbox"], item["bbox_mode"], 0) for item in things]
        polygons = PolygonMasks([item["segmentation"] for item in things])
        answer = Instances((height, width))
        shift = 1.0 + record["image_id"] % 3
        answer.pred_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4) + shift)
        answer.scores = torch.linspace(0.9, 0.3, len(things))
        answer.pred_classes = torch.tensor([item["category_id"] for item in things]).long()
        masks = BitMasks.from_polygon_masks(polygons, height, width).tensor
        answer.pred_masks = masks.roll(int(shift), dims=-1)
        return answer


def train_and_evaluate(arguments: Namespace) -> None:
    """Train, then evaluate the oracle; its metrics go to ``oracle.json`` in the output folder."""
    run(arguments)
    cfg = load_config(arguments.config_file, arguments.opts)
    metrics = Trainer.test(cfg, Oracle(instantiate(cfg.dataloader.test.dataset.names)))
    if comm.is_main_process():
        (Path(cfg.train.output_dir) / "oracle.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    launch(tell, parse_arguments(), on_gpu=False)
