"""Pairs of boxes for trackers, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

create_prediction_pairs = unavailable(__name__, "tracking", "create_prediction_pairs")
LARGE_COST_VALUE = 100000
