"""Decoding of box deltas with limits on both sides."""

import torch
from torch import Tensor

from detectron2.modeling.box_regression import Box2BoxTransform


class TwoSidedBox2BoxTransform(Box2BoxTransform):
    """Box2BoxTransform whose dw and dh are limited below as well as above, as in OpenMMLab.

    A box then shrinks to no less than 16/1000 of its reference box.
    """

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Turn boxes by deltas.

        Args:
            deltas: (N, k * 4), k deltas for every box.
            boxes: (N, 4), x0, y0, x1, y1 in pixels.

        Returns:
            (N, k * 4) boxes.
        """
        dx, dy, dw, dh = deltas.float().unflatten(-1, (-1, 4)).unbind(-1)
        *_, width_weight, height_weight = self.weights
        dw = dw.clamp(min=-self.scale_clamp * width_weight)
        dh = dh.clamp(min=-self.scale_clamp * height_weight)
        limited = torch.stack((dx, dy, dw, dh), dim=-1)
        return super().apply_deltas(limited.flatten(-2), boxes)
