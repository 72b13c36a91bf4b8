"""The head of CondInst: FCOS and the controller of the mask heads (arXiv 2003.05664, Fig. 3)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.fcos import FCOSHead


class Predictions(NamedTuple):
    """What the head says, a list of one tensor a level each.

    Attributes:
        logits: (N, K, Hi, Wi) of the classes.
        distances: (N, 4, Hi, Wi) to the left, top, right and bottom side of the box, in strides.
        centerness: (N, 1, Hi, Wi) logits.
        parameters: (N, P, Hi, Wi) of the instance's mask head.
    """

    logits: list[Tensor]
    distances: list[Tensor]
    centerness: list[Tensor]
    parameters: list[Tensor]


class CondInstHead(FCOSHead):
    """FCOS's towers, with a scale for each level's boxes, and a controller on the box tower.

    Args:
        input_shape: the feature maps, all of the same channels.
        num_parameters: of a mask head.
        others: ``num_classes``, ``conv_dims``, ``norm`` and ``prior_prob`` of ``FCOSHead``.
    """

    @configurable
    def __init__(
        self, *, input_shape: list[ShapeSpec], num_parameters: int = 169, **others: Any
    ) -> None:
        super().__init__(input_shape=input_shape, **others)
        last = others["conv_dims"][-1]
        self.controller = nn.Conv2d(last, num_parameters, 3, padding=1)
        nn.init.normal_(self.controller.weight, std=0.01)
        assert self.controller.bias is not None
        nn.init.zeros_(self.controller.bias)
        self.scales = nn.ParameterList(torch.ones(()) for _ in input_shape)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: list[ShapeSpec], **others: Any) -> dict:
        """The arguments that ``cfg.MODEL.CONDINST`` holds.

        Args:
            cfg: the whole config.
            input_shape: the feature maps.
            others: further arguments.
        """
        options = cfg.MODEL.CONDINST
        return {
            "input_shape": input_shape,
            "num_classes": options.NUM_CLASSES,
            "conv_dims": [input_shape[0].channels] * options.NUM_CONVS,
            "norm": options.NORM,
            "prior_prob": options.PRIOR_PROB,
            **others,
        }

    def forward(self, features: list[Tensor]) -> Predictions:
        """Predict on every level.

        Args:
            features: one (N, C, Hi, Wi) map a level.
        """
        towers = [self.bbox_subnet(feature) for feature in features]
        return Predictions(
            [self.cls_score(self.cls_subnet(feature)) for feature in features],
            [
                # Outside of autocast's half precision: large boxes have large distances.
                (scale * self.bbox_pred(tower).float()).clamp(min=0)
                for scale, tower in zip(self.scales, towers, strict=True)
            ],
            [self.ctrness(tower) for tower in towers],
            [self.controller(tower) for tower in towers],
        )
