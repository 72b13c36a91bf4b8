"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

_NAMES = "export_onnx_model export_caffe2_detection_model run_and_save_graph"
(export_onnx_model, export_caffe2_detection_model, run_and_save_graph) = unavailable(
    __name__, "Caffe2 export", _NAMES
)
