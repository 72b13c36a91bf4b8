"""Addresses of Caffe2's models, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(ModelCatalog, ModelCatalogHandler) = unavailable(
    __name__, "Caffe2's weight names", "ModelCatalog ModelCatalogHandler"
)
