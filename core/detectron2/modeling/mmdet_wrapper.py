"""Models of mmdetection, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    MMDetBackbone, MMDetDetector, _convert_mmdet_result, _parse_losses, _to_container,
) = unavailable(
    __name__, "mmdetection's models",
    "MMDetBackbone MMDetDetector _convert_mmdet_result _parse_losses _to_container",
)  # fmt: skip
