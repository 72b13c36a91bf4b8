"""Proposals with an angle, left out: see ``detectron2.utils.unavailable``."""

from detectron2.config.config import configurable  # noqa: F401
from detectron2.layers.nms import batched_nms_rotated  # noqa: F401
from detectron2.layers.shape_spec import ShapeSpec  # noqa: F401
from detectron2.layers.wrappers import cat  # noqa: F401
from detectron2.modeling.box_regression import Box2BoxTransformRotated  # noqa: F401
from detectron2.modeling.proposal_generator.build import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator.proposal_utils import _is_tracing  # noqa: F401
from detectron2.modeling.proposal_generator.rpn import RPN  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.structures.rotated_boxes import RotatedBoxes, pairwise_iou_rotated  # noqa: F401
from detectron2.utils.memory import retry_if_cuda_oom  # noqa: F401
from detectron2.utils.unavailable import unavailable

(RRPN, find_top_rrpn_proposals) = unavailable(
    __name__, "rotated boxes", "RRPN", "find_top_rrpn_proposals"
)
PROPOSAL_GENERATOR_REGISTRY.register(RRPN)
