"""Proposals with an angle, left out: see ``detectron2.utils.unavailable``."""

from detectron2.modeling.proposal_generator.build import PROPOSAL_GENERATOR_REGISTRY
from detectron2.utils.unavailable import unavailable

(RRPN, find_top_rrpn_proposals) = unavailable(
    __name__, "rotated boxes", "RRPN find_top_rrpn_proposals"
)
PROPOSAL_GENERATOR_REGISTRY.register(RRPN)
