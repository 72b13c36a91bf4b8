"""Real photographs through training and evaluation: grey-scale, without objects, with crowds."""

import json
import math
from pathlib import Path

from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from tests.golden_files import DATA

CONFIG = Path(__file__).parents[3] / "configs" / "quickstart" / "mask_rcnn_coco_format.py"


def test_one_iteration_over_all_corner_cases(tmp_path: Path) -> None:
    coco = DATA / "coco"
    overrides = [
        f"data.train_json={coco}/annotations/instances_train2017.json",
        f"data.train_images={coco}/train2017",
        f"data.val_json={coco}/annotations/instances_train2017.json",
        f"data.val_images={coco}/train2017",
        # All four images in the one iteration, the one without objects as well.
        "+dataloader.train.dataset.filter_empty=False",
        "+dataloader.train.aspect_ratio_grouping=False",
        "dataloader.train.total_batch_size=4",
        "dataloader.train.num_workers=0",
        "dataloader.test.num_workers=0",
        "train.max_iter=1",
        "train.eval_period=0",
        "train.log_period=1",
        "train.device=cpu",
        f"train.output_dir={tmp_path}",
    ]
    run(parse_arguments(["--config-file", str(CONFIG), *overrides]))
    line = json.loads((tmp_path / "metrics.json").read_text().splitlines()[0])
    losses = {name: value for name, value in line.items() if "loss" in name}
    assert set(losses) >= {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
    assert all(math.isfinite(value) for value in losses.values())
    assert len(list((tmp_path / "pictures").iterdir())) == 4
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    # Upstream leaves out the masks where nothing was predicted.
    assert "bbox" in metrics
