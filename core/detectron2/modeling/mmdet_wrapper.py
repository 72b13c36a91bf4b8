"""Models of mmdetection, left out: see ``detectron2.utils.unavailable``."""

from detectron2.layers.shape_spec import ShapeSpec  # noqa: F401
from detectron2.modeling.backbone.backbone import Backbone  # noqa: F401
from detectron2.structures.boxes import Boxes  # noqa: F401
from detectron2.structures.image_list import ImageList  # noqa: F401
from detectron2.structures.instances import Instances  # noqa: F401
from detectron2.structures.masks import BitMasks  # noqa: F401
from detectron2.utils.events import get_event_storage  # noqa: F401
from detectron2.utils.unavailable import unavailable

(MMDetBackbone, MMDetDetector, _convert_mmdet_result, _parse_losses, _to_container) = unavailable(
    __name__,
    "mmdetection's models",
    "MMDetBackbone",
    "MMDetDetector",
    "_convert_mmdet_result",
    "_parse_losses",
    "_to_container",
)
