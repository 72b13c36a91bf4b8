"""GCNet (arXiv 1904.11492) for semantic segmentation: global context in the head, R50-D8."""

from projects_ext.gcnet import GCHead

from .fcn_semantic import model

model.sem_seg_head._target_ = GCHead
model.sem_seg_head.update(ratio=1 / 4, pooling="att", fusions=("channel_add",))
