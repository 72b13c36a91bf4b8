"""Keypoints of instances, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(Keypoints, _keypoints_to_heatmap, heatmaps_to_keypoints) = unavailable(
    __name__, "keypoints", "Keypoints _keypoints_to_heatmap heatmaps_to_keypoints"
)
