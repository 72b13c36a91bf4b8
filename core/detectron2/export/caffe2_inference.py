"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

_NAMES = "ProtobufModel ProtobufDetectionModel"
(ProtobufModel, ProtobufDetectionModel) = unavailable(__name__, "Caffe2 export", _NAMES)
