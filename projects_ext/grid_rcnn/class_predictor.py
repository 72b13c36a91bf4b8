"""The box branch of Grid R-CNN: classes alone, for the grid finds the boxes (arXiv 1811.12030)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Instances


class ClassPredictor(nn.Module):
    """One linear layer on box features; detections keep their proposals' boxes.

    In the place of Detectron2's ``FastRCNNOutputLayers``, without regression.

    Args:
        input_shape: of one region's features.
        num_classes: K; class K is background.
        test_score_thresh: detections need a higher score.
        test_nms_thresh: IoU of the NMS within a class.
        test_topk_per_image: detections of an image.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        test_score_thresh: float = 0.03,
        test_nms_thresh: float = 0.3,
        test_topk_per_image: int = 100,
    ) -> None:
        super().__init__()
        size = (input_shape.height or 1) * (input_shape.width or 1)
        self.cls_score = nn.Linear((input_shape.channels or 0) * size, num_classes + 1)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.zeros_(self.cls_score.bias)
        self.num_classes = num_classes
        self.test_score_thresh = test_score_thresh
        self.test_nms_thresh = test_nms_thresh
        self.test_topk_per_image = test_topk_per_image

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        """The arguments, from Detectron2's keys."""
        heads = cfg.MODEL.ROI_HEADS
        return {
            "input_shape": input_shape,
            "num_classes": heads.NUM_CLASSES,
            "test_score_thresh": heads.SCORE_THRESH_TEST,
            "test_nms_thresh": heads.NMS_THRESH_TEST,
            "test_topk_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
        }

    def forward(self, x: Tensor) -> Tensor:
        """(M, …) region features -> (M, K + 1) class logits."""
        return self.cls_score(x.flatten(1))

    def losses(self, logits: Tensor, proposals: list[Instances]) -> dict[str, Tensor]:
        """Cross entropy, the mean over the proposals (with ``gt_classes``)."""
        logits = logits.float()
        if len(logits) == 0:
            return {"loss_cls": logits.sum() * 0}
        return {"loss_cls": F.cross_entropy(logits, torch.cat([x.gt_classes for x in proposals]))}

    def inference(
        self, logits: Tensor, proposals: list[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        """Detections (``pred_boxes``, ``scores``, ``pred_classes``) and the proposals they are."""
        counts = [len(x) for x in proposals]
        scores = logits.float().softmax(dim=-1).split(counts)
        return fast_rcnn_inference(
            [x.proposal_boxes.tensor for x in proposals],
            list(scores),
            [x.image_size for x in proposals],
            self.test_score_thresh,
            self.test_nms_thresh,
            self.test_topk_per_image,
        )
