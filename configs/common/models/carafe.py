"""CARAFE (arXiv 1905.02188) in a model's pyramid and mask head."""

from typing import Any

from detectron2.config import LazyCall as L
from projects_ext.carafe import CARAFEFPN, CARAFEMaskHead
from projects_ext.layers import CARAFEUpsample


def use_carafe_pyramid(model: Any, extra_levels: int = 1, **upsampler: Any) -> None:
    """Exchange the FPN.

    Args:
        model: a LazyConfig whose ``backbone`` is an FPN; changed.
        extra_levels: learnt ones, in the place of the top block; with 0 it stays.
        upsampler: of ``projects_ext.layers.CARAFEUpsample``, where the paper's is not wanted.
    """
    pyramid = model.backbone
    if extra_levels > 0:
        pyramid.pop("top_block", None)
    pyramid.update(_target_=CARAFEFPN, extra_levels=extra_levels)
    if upsampler:
        steps = len(pyramid.in_features) - 1 + extra_levels
        pyramid.upsamplers = [
            L(CARAFEUpsample)(channels=pyramid.out_channels, **upsampler) for _ in range(steps)
        ]


def use_carafe_mask_head(model: Any, **upsampler: Any) -> None:
    """Exchange the mask head's transposed convolution.

    Args:
        model: a LazyConfig with ``roi_heads``; changed.
        upsampler: as above.
    """
    head = model.roi_heads.mask_head
    head._target_ = CARAFEMaskHead
    if upsampler:
        head.upsampler = L(CARAFEUpsample)(channels=head.conv_dims[-1], **upsampler)


def use_test_proposals(model: Any, count: int) -> None:
    """Let so many proposals of an image go to the RoI heads at test time.

    Args:
        model: a LazyConfig with an RPN; changed.
        count: also of candidates of a level before NMS.
    """
    generator = model.proposal_generator
    generator.pre_nms_topk = (generator.pre_nms_topk[0], count)
    generator.post_nms_topk = (generator.post_nms_topk[0], count)
