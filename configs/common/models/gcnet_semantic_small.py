"""A small GCNet for small pictures, to be trained from random weights on a CPU.

A dilated residual network of 4 bottleneck blocks with a quarter of the usual channels, light heads.
"""

from .gcnet_semantic import model

model.backbone.stem.update(norm="BN", out_channels=32)
model.backbone.stages.update(blocks=(1, 1, 1, 1), width=16, stem_channels=32)
model.sem_seg_head.update(channels=64)
model.sem_seg_head.input_shape.channels = 512
model.auxiliary_head.update(channels=32)
model.auxiliary_head.input_shape.channels = 256
