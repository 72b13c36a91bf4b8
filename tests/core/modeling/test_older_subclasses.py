"""Subclasses of RoI heads as older projects write them."""

import pytest

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import StandardROIHeads


@pytest.mark.parametrize("name", ["_init_mask_head", "_init_box_head"])
def test_an_instance_method_is_left_to_the_subclass(name):
    def instance_method(self, cfg, input_shape):
        raise AssertionError("it is the subclass that calls it")

    kind = type("Heads", (StandardROIHeads,), {name: instance_method})
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2"]
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
    shape = {"p2": ShapeSpec(channels=4, stride=4)}
    arguments = kind.from_config(cfg, shape)
    left, built = ("mask", "box") if name == "_init_mask_head" else ("box", "mask")
    assert f"{left}_head" not in arguments
    assert f"{built}_head" in arguments
