"""The YAML route: the same model as by LazyConfig; trained, resumed and evaluated."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detectron2.config import CfgNode, LazyConfig, instantiate
from detectron2.config import LazyCall as L
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from detectron2.utils.events import EventStorage
from projects_ext.engine import YamlTrainer, load_config
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from projects_ext.errors import UserError

ROOT = Path(__file__).parents[3]
CONFIG = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")


def arguments(shapes_keys: list[str], output: Path, *more: str) -> Namespace:
    keys = [
        "SOLVER.MAX_ITER",
        "2",
        "SOLVER.IMS_PER_BATCH",
        "2",
        "TEST.EVAL_PERIOD",
        "2",
        "TEST.PICTURES",
        "1",
    ]
    keys += f"DATALOADER.NUM_WORKERS 0 MODEL.DEVICE cpu OUTPUT_DIR {output}".split()
    return parse_arguments(["--config-file", CONFIG, *shapes_keys, *keys, *more])


def lazy_model() -> nn.Module:
    """What ``mask_rcnn_shapes.yaml`` describes, from the LazyConfig of Mask R-CNN."""
    model = LazyConfig.load(str(ROOT / "configs" / "common" / "models" / "mask_rcnn_fpn.py")).model
    model.pixel_mean, model.pixel_std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model.input_format = "RGB"
    model.backbone.out_channels = 64
    model.backbone.bottom_up.freeze_at = 0
    model.backbone.bottom_up.stem = L(BasicStem)(in_channels=3, out_channels=64, norm="BN")
    model.backbone.bottom_up.stages = L(ResNet.make_default_stages)(depth=18, norm="BN")
    model.proposal_generator.update(
        batch_size_per_image=128, pre_nms_topk=(500, 200), post_nms_topk=(200, 100)
    )
    model.proposal_generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
    model.roi_heads.update(num_classes=5, batch_size_per_image=32)
    model.roi_heads.box_pooler.sampling_ratio = 1
    model.roi_heads.mask_pooler.sampling_ratio = 1
    model.roi_heads.box_head.update(conv_dims=[64], fc_dims=[256])
    model.roi_heads.box_predictor.input_shape = L(ShapeSpec)(channels=256)
    model.roi_heads.mask_head.update(conv_dims=[64, 64, 64, 64])
    return instantiate(model)


@pytest.fixture(scope="module")
def cfg(shapes_keys: list[str]) -> CfgNode:
    return load_config(CONFIG, [*shapes_keys, "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"])


def losses_of(model: nn.Module, batch: list[dict[str, Any]]) -> dict[str, float]:
    torch.manual_seed(0)
    with EventStorage():
        return {name: loss.item() for name, loss in model.train()(batch).items()}


def test_the_same_model_by_lazy_config_and_by_yaml(cfg: CfgNode) -> None:
    by_yaml, by_lazy = YamlTrainer.build_model(cfg), lazy_model()
    weights = by_yaml.state_dict()
    assert by_lazy.state_dict().keys() == weights.keys()
    by_lazy.load_state_dict(weights)
    batch = next(iter(YamlTrainer.build_train_loader(cfg)))[:2]
    losses = losses_of(by_yaml, batch)
    assert set(losses) == {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}
    assert losses_of(by_lazy, batch) == losses
    with torch.no_grad():
        expected, found = by_yaml.eval()(batch[:1])[0], by_lazy.eval()(batch[:1])[0]
    assert len(expected["instances"]) > 0
    for field, value in expected["instances"].get_fields().items():
        other = found["instances"].get(field)
        assert torch.equal(getattr(other, "tensor", other), getattr(value, "tensor", value))


def test_paths_give_data_sets_and_class_counts(cfg: CfgNode, shapes: Path) -> None:
    assert (f"{shapes}/annotations/instances_train.json ({shapes}/train)",) == cfg.DATASETS.TRAIN
    assert len(DatasetCatalog.get(cfg.DATASETS.TEST[0])) == 4
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == cfg.MODEL.RETINANET.NUM_CLASSES == 5
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 54


def test_train_resume_and_evaluate(shapes_keys: list[str], tmp_path: Path) -> None:
    metrics = run(arguments(shapes_keys, tmp_path))
    assert metrics is not None
    assert set(metrics) == {"bbox", "segm"}
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "last_checkpoint"} <= names
    assert {"model_final.pth", "coco_instances_results.json", "evaluation.json"} <= names
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    # The saved config says all: the data set by its paths, and this project's keys.
    saved = str(tmp_path / "config.yaml")
    again = parse_arguments(["--config-file", saved, "SOLVER.MAX_ITER", "3", "--resume"])
    assert run(again) is not None
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / "metrics.json").open()]
    assert iterations[-1] >= 2
    assert torch.load(tmp_path / "model_final.pth", weights_only=True)["iteration"] == 2

    predictions = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert predictions
    weights = f"MODEL.WEIGHTS={tmp_path / 'model_final.pth'}"
    alone = tmp_path / "alone"
    run(parse_arguments(["--eval-only", "--config-file", saved, weights, f"OUTPUT_DIR={alone}"]))
    assert json.loads((alone / "coco_instances_results.json").read_text()) == predictions


def test_unknown_kind_of_data_set_names_those_that_can_be_evaluated(cfg: CfgNode) -> None:
    MetadataCatalog.get("of_no_kind").set(evaluator_type="lvis")
    with pytest.raises(ValueError, match=r"of_no_kind has the evaluator_type 'lvis': set it to"):
        YamlTrainer.build_evaluator(cfg, "of_no_kind")


def test_scaling_by_processes_and_by_batch_exclude_each_other(cfg: CfgNode) -> None:
    both = cfg.clone()
    both.defrost()
    both.SOLVER.REFERENCE_WORLD_SIZE = 1
    both.SOLVER.REFERENCE_BATCH_SIZE = 4
    with pytest.raises(ValueError, match=r"set one of them to 0"):
        YamlTrainer.prepare(both)


CONDINST = [
    "MODEL.META_ARCHITECTURE=CondInst",
    "MODEL.BACKBONE.NAME=build_condinst_resnet_fpn_backbone",
]


@pytest.mark.parametrize("mask_on", [True, False])
def test_condinst_is_refused_without_masks_before_training(
    mask_on: bool, shapes: Path, tmp_path: Path
) -> None:
    """With the remedy that its own data need: boxes alone are no way for it."""
    content = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    if mask_on:
        for annotation in content["annotations"]:
            annotation["segmentation"] = []
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(content))
    paths = [f"DATASETS.COCO_FORMAT.{part}_JSON={boxes}" for part in ("TRAIN", "VAL")]
    paths += [f"DATASETS.COCO_FORMAT.{part}_IMAGES={shapes / 'train'}" for part in ("TRAIN", "VAL")]
    with pytest.raises(UserError) as caught:
        load_config(CONFIG, [*CONDINST, *paths, f"MODEL.MASK_ON={mask_on}"])
    said = caught.value.sentence
    if mask_on:
        assert "have no mask" in said
        assert "train a model of boxes only: --config-file configs/quickstart/" in said
    else:
        assert "the model needs masks" in said
        assert "YAML: MODEL.MASK_ON False): set it to True" in said
