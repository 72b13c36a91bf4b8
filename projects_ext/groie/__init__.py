"""GRoIE: region features from every pyramid level (arXiv 2004.13665)."""

from .config import add_groie_config
from .roi_pooler import GRoIEPooler

__all__ = ["GRoIEPooler", "add_groie_config"]
