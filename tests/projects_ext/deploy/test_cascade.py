"""Cascades as programs: both ways of averaging the stages find what the models find."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import CascadeROIHeads
from projects_ext import Predictor
from projects_ext.deploy.program import program_of
from projects_ext.deploy.verify import compare
from projects_ext.modeling import StagewiseCascadeROIHeads
from tests.procedural import procedural_image
from tests.small_systems import CLASSES, CONFIGS

STAGES = 3


def cascade(kind: Any, folder: Path) -> Predictor:
    """The newcomer's model with a cascade of the given kind."""
    config = LazyConfig.load(str(CONFIGS / "quickstart" / "mask_rcnn_shapes.py"))
    heads = config.model.roi_heads
    heads.num_classes = CLASSES
    heads.box_predictor.update(cls_agnostic_bbox_reg=True, test_score_thresh=0.3)
    parts: Any = {
        name: OmegaConf.to_container(heads.pop(name)) for name in ("box_head", "box_predictor")
    }
    del heads.proposal_matcher
    parts["box_predictor"]["num_classes"] = CLASSES
    parts["box_head"]["input_shape"]["channels"] = config.model.backbone.out_channels
    heads.update(
        _target_=kind,
        box_heads=[parts["box_head"]] * STAGES,
        box_predictors=[parts["box_predictor"]] * STAGES,
        proposal_matchers=[L(Matcher)(thresholds=[0.5], labels=[0, 1])] * STAGES,
    )
    if kind is StagewiseCascadeROIHeads:
        mask_head: Any = OmegaConf.to_container(heads.pop("mask_head"))
        mask_head["num_classes"] = CLASSES
        mask_head["input_shape"]["channels"] = config.model.backbone.out_channels
        heads.mask_heads = [mask_head] * STAGES
    torch.manual_seed(0)
    model = instantiate(config.model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            for end, gain in (("bbox_pred.weight", 30), ("cls_score.weight", 20)):
                weight.mul_(gain if name.endswith(end) else 1)
    torch.save({"model": model.state_dict()}, folder / "cascade.pth")
    return Predictor(config, folder / "cascade.pth", "cpu")


@pytest.mark.parametrize("kind", [CascadeROIHeads, StagewiseCascadeROIHeads])
def test_a_cascade_finds_what_the_model_finds(kind: Any, tmp_path: Path) -> None:
    predictor = cascade(kind, tmp_path)
    assert isinstance(predictor.model.roi_heads, kind)
    program, metadata = program_of(predictor)
    for size in ((96, 128), (50, 61)):
        image = procedural_image("cascade", *size)
        with torch.no_grad():
            found = program(torch.from_numpy(image))
        outputs = {name: x.numpy() for name, x in zip(program.OUTPUTS, found, strict=True)}
        difference = compare("cascade", image, outputs, predictor, metadata)
        assert difference.found > 3
        assert difference.small, difference
        assert difference.boxes < 0.01
