"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(Caffe2Tracer, Caffe2Model) = unavailable(__name__, "Caffe2 export", "Caffe2Tracer Caffe2Model")
