"""CARAFE: content-aware upsampling in the pyramid and in the mask head (arXiv 1905.02188)."""

from .config import add_carafe_config
from .fpn import CARAFEFPN
from .mask_head import CARAFEMaskHead

__all__ = ["CARAFEFPN", "CARAFEMaskHead", "add_carafe_config"]
