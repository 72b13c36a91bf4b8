"""CondInst R50-FPN, multi-scale training, 90,000 iterations: OpenMMLab's experiment.

Published on COCO val2017: box AP 39.8, mask AP 36.0.
"""

from ..common.condinst_1x import dataloader, lr_multiplier, optimizer, train
from ..common.data.opencv import resize_as_opencv
from ..common.models.condinst_r50_fpn import model

resize_as_opencv(dataloader)
train.output_dir = "output/condinst/condinst_r50_fpn_ms_1x"
