"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    Caffe2Boxes,
    InstancesList,
    Caffe2Compatible,
    Caffe2RPN,
    Caffe2ROIPooler,
    caffe2_fast_rcnn_outputs_inference,
    Caffe2FastRCNNOutputsInference,
    caffe2_mask_rcnn_inference,
    Caffe2MaskRCNNInference,
    caffe2_keypoint_rcnn_inference,
    Caffe2KeypointRCNNInference,
) = unavailable(
    __name__,
    "Caffe2 export",
    "Caffe2Boxes",
    "InstancesList",
    "Caffe2Compatible",
    "Caffe2RPN",
    "Caffe2ROIPooler",
    "caffe2_fast_rcnn_outputs_inference",
    "Caffe2FastRCNNOutputsInference",
    "caffe2_mask_rcnn_inference",
    "Caffe2MaskRCNNInference",
    "caffe2_keypoint_rcnn_inference",
    "Caffe2KeypointRCNNInference",
)
