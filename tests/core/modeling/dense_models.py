"""Small RetinaNet and FCOS models with procedural weights, and their inputs."""

import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling import FCOS, FPN, ResNet, RetinaNet
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import BasicStem
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicBlock
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.fcos import FCOSHead
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.structures import Boxes, Instances
from tests.procedural import procedural_image, procedural_state

NUM_CLASSES = 6
NAMES = ["p3", "p4", "p5", "p6", "p7"]
GAINS = (("cls_score.weight", 0.05), ("bbox_pred.weight", 0.05), ("subnet", 0.5))
PIXELS = {"pixel_mean": [103.5, 116.3, 123.7], "pixel_std": [57.0, 58.0, 59.0]}


def load_procedural(model, gains=GAINS):
    """Overwrite all weights by functions of their names."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = procedural_state(shapes, gains)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return model


def tiny_resnet(out_features, norm="FrozenBN"):
    """A ResNet of nine layers and 8 to 64 channels."""
    stages, channels = [], 8
    for index in range(4):
        out_channels = 8 * 2**index
        stages.append(
            ResNet.make_stage(
                BasicBlock, 1, in_channels=channels, out_channels=out_channels,
                stride_per_block=[1 if index == 0 else 2], norm=norm,
            )
        )  # fmt: skip
        channels = out_channels
    return ResNet(BasicStem(3, 8, norm=norm), stages, out_features=out_features)


def tiny_pyramid(top_in_channels, top_feature, channels=16):
    bottom_up = tiny_resnet(["res3", "res4", "res5"])
    top = LastLevelP6P7(top_in_channels, channels, top_feature)
    return FPN(bottom_up, ["res3", "res4", "res5"], channels, top_block=top)


def tiny_retinanet(norm="", **kwargs):
    head = RetinaNetHead(
        input_shape=[ShapeSpec(channels=16)] * 5, num_classes=NUM_CLASSES, num_anchors=9,
        conv_dims=[16, 16], norm=norm,
    )  # fmt: skip
    anchor_generator = DefaultAnchorGenerator(
        sizes=[[size * 2 ** (i / 3) for i in range(3)] for size in (32, 64, 128, 256, 512)],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
        offset=0.0,
    )
    model = RetinaNet(
        backbone=tiny_pyramid(64, "res5"), head=head, head_in_features=NAMES,
        anchor_generator=anchor_generator,
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        anchor_matcher=Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True),
        num_classes=NUM_CLASSES, smooth_l1_beta=0.1, **PIXELS, **kwargs,
    )  # fmt: skip
    return load_procedural(model)


def tiny_fcos(norm="", **kwargs):
    head = FCOSHead(
        input_shape=[ShapeSpec(channels=16)] * 5, num_classes=NUM_CLASSES, conv_dims=[16, 16],
        norm=norm,
    )  # fmt: skip
    model = FCOS(
        backbone=tiny_pyramid(16, "p5"), head=head, num_classes=NUM_CLASSES,
        test_score_thresh=0.05, **PIXELS, **kwargs,
    )  # fmt: skip
    return load_procedural(model)


def make_inputs(with_empty=False):
    """Two images of odd sizes with four and three (or no) objects."""
    inputs = []
    for index, (height, width, count) in enumerate([(130, 181, 4), (161, 101, 3)]):
        number = torch.arange(1, (0 if with_empty and index else count) + 1)
        left, top = 13.0 * number + 5 * index, 9.0 * number
        boxes = torch.stack([left, top, left + 17 * number, top + 12 * number + 7], dim=1)
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = (number * 5) % NUM_CLASSES
        pixels = procedural_image(f"dense/{index}", height, width)
        inputs.append(
            {
                "image": torch.from_numpy(pixels).permute(2, 0, 1),
                "instances": instances,
                "height": 2 * height,
                "width": 2 * width + 1,
            }
        )
    return inputs
