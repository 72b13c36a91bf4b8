"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    assemble_rcnn_outputs_by_name,
    set_caffe2_compatible_tensor_mode,
    convert_batched_inputs_to_c2_format,
    Caffe2MetaArch,
    Caffe2GeneralizedRCNN,
    Caffe2RetinaNet,
) = unavailable(
    __name__,
    "Caffe2 export",
    "assemble_rcnn_outputs_by_name",
    "set_caffe2_compatible_tensor_mode",
    "convert_batched_inputs_to_c2_format",
    "Caffe2MetaArch",
    "Caffe2GeneralizedRCNN",
    "Caffe2RetinaNet",
)
