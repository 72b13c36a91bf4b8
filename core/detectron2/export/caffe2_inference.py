"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(ProtobufModel, ProtobufDetectionModel) = unavailable(
    __name__, "Caffe2 export", "ProtobufModel", "ProtobufDetectionModel"
)
