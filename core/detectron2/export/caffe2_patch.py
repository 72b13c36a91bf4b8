"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    GenericMixin,
    Caffe2CompatibleConverter,
    patch,
    patch_generalized_rcnn,
    mock_fastrcnn_outputs_inference,
    mock_mask_rcnn_inference,
    mock_keypoint_rcnn_inference,
    ROIHeadsPatcher,
) = unavailable(
    __name__,
    "Caffe2 export",
    "GenericMixin",
    "Caffe2CompatibleConverter",
    "patch",
    "patch_generalized_rcnn",
    "mock_fastrcnn_outputs_inference",
    "mock_mask_rcnn_inference",
    "mock_keypoint_rcnn_inference",
    "ROIHeadsPatcher",
)
