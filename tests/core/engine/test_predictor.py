"""DefaultPredictor from a LazyConfig."""

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import LazyConfig, instantiate
from detectron2.data import transforms as T
from detectron2.engine import DefaultPredictor
from projects_ext import Predictor
from tests.conftest import ROOT

pytestmark = pytest.mark.core_only(reason="upstream's takes YAML-style configurations only")
CONFIG = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.py")


@pytest.fixture
def cfg(tmp_path):
    cfg = LazyConfig.load(CONFIG)
    cfg.model.roi_heads.num_classes = 5
    cfg.dataloader.test.dataset.names = "shapes_of_default_predictor"
    cfg.train.device, cfg.train.init_checkpoint = "cpu", str(tmp_path / "model.pth")
    torch.save({"model": instantiate(cfg.model).state_dict()}, cfg.train.init_checkpoint)
    return cfg


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_images_are_treated_as_the_test_mapper_says(cfg, shapes, image_format):
    resize = "detectron2.data.transforms.ResizeShortestEdge"
    keys = [
        f"dataloader.train.mapper.image_format={image_format}",
        f"model.input_format={image_format}",
        f"dataloader.test.mapper.augmentations=[{{_target_: {resize}, short_edge_length: 100}}]",
    ]
    cfg = LazyConfig.apply_overrides(cfg, [key.replace(": ", ":") for key in keys])
    before = str(cfg)
    path = next((shapes / "val").iterdir())
    rgb = np.asarray(Image.open(path).convert("RGB"))
    predictor = DefaultPredictor(cfg)
    found = predictor(np.ascontiguousarray(rgb[:, :, ::-1]))["instances"]
    expected = Predictor(cfg)(path)
    assert len(found)
    assert found.image_size == rgb.shape[:2]
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(found.pred_masks, expected.pred_masks)
    assert predictor.metadata.name == "shapes_of_default_predictor"
    assert str(cfg) == before
    predictor.aug = T.ResizeShortestEdge(144)
    assert predictor(rgb)["instances"].image_size == rgb.shape[:2]


def test_what_a_config_lacks_is_named(cfg):
    with pytest.raises(ValueError, match=r"image_format is 'L'; it is 'RGB' or 'BGR'"):
        DefaultPredictor(
            LazyConfig.apply_overrides(cfg, ["dataloader.train.mapper.image_format=L"])
        )
    cfg.dataloader.test.mapper = {"_target_": "builtins.dict"}
    with pytest.raises(ValueError, match=r"mapper is a dict without augmentations"):
        DefaultPredictor(cfg)
    del cfg.dataloader.test
    with pytest.raises(ValueError, match=r"needs dataloader\.test\.mapper, which the LazyConfig"):
        DefaultPredictor(cfg)
