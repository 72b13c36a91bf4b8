"""CondInst: instance masks without RoIs (arXiv 2003.05664)."""

from .backbone import build_condinst_resnet_fpn_backbone
from .condinst import CondInst
from .config import add_condinst_config
from .head import CondInstHead, Predictions
from .inference import Selection
from .mask_branch import MaskBranch, SemanticBranch
from .mask_head import DynamicMaskHead
from .training import Criterion

__all__ = [
    "CondInst",
    "CondInstHead",
    "Criterion",
    "DynamicMaskHead",
    "MaskBranch",
    "Predictions",
    "Selection",
    "SemanticBranch",
    "add_condinst_config",
    "build_condinst_resnet_fpn_backbone",
]
