"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(export_onnx_model, export_caffe2_detection_model, run_and_save_graph) = unavailable(
    __name__,
    "Caffe2 export",
    "export_onnx_model",
    "export_caffe2_detection_model",
    "run_and_save_graph",
)
