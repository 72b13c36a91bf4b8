"""CondInst with outputs of fixed sizes, for ``torch.export`` and ONNX."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .condinst import CondInst
from .locations import boxes_at, locations_of
from .training import flatten


class TopPredictions(NamedTuple):
    """The best predictions of an image, by falling score.

    Attributes:
        boxes: (count, 4) in pixels; not clipped.
        scores: (count,).
        classes: (count,) int64.
        masks: (count, H / s, W / s) probabilities, s (4) the stride of the masks that are trained.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor


class TopPredictor(nn.Module):
    """From an image to its best predictions, as many as it is told, without choices by value.

    What the model's own detections are chosen from: NMS, the score threshold and the masks' final
    size are left to the program around it.

    Args:
        model: whose parts are used.
        count: how many predictions; no more than there are locations times classes.
    """

    def __init__(self, model: CondInst, count: int = 100) -> None:
        super().__init__()
        self.model, self.count = model.eval(), count

    def forward(self, image: Tensor) -> TopPredictions:
        """Predict.

        Args:
            image: (3, H, W) as the model takes it, of sides that need no padding.
        """
        model = self.model
        normalised = (image - model.pixel_mean) / model.pixel_std
        pyramid = model.backbone(normalised[None])
        features = [pyramid[name] for name in model.head_in_features]
        predictions = model.head(features)
        locations = locations_of(predictions.logits, model.strides)
        flat = flatten(predictions)
        product = flat.logits[0].sigmoid() * flat.centerness[0].sigmoid()
        scores, best = (product**model.selection.score_exponent).flatten().topk(self.count)
        places = torch.div(best, model.num_classes, rounding_mode="floor")
        points, strides = locations.points[places], locations.strides[places]
        mask_features = model.mask_branch([features[level] for level in model.mask_levels])
        logits = model.mask_head(mask_features[0], flat.parameters[0, places], points, strides)
        return TopPredictions(
            boxes_at(points, flat.distances[0, places] * strides[:, None]),
            scores,
            best - places * model.num_classes,
            model.mask_head.probabilities(logits),
        )
